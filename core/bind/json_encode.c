/* The JSON encoder: one walk over a value, straight into the buffer.
 *
 * It uses only those functions of the Lua API that neither allocate nor call back (raw access,
 * lua_next, no string conversion of numbers), so that it cannot throw and no script code runs while
 * it walks. The frames of the tables it is inside of are linked on the C stack: they find cycles
 * and spell the path of an error. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bind/json_encoder.h"
#include "script/plain.h"

static tg_status put_line(struct tg_json_encoder *enc) {
  size_t width = 1 + 2 * (size_t)enc->depth;
  tg_status status = tg_json_room(enc, width);
  if (status) return status;
  char *tail = tg_buffer_tail(enc->out);
  tail[0] = '\n';
  memset(tail + 1, ' ', width - 1);
  tg_buffer_wrote(enc->out, width);
  return TG_OK;
}

/* --- tables --- */

/* The values of members go out in the order of lua_next; sorting then moves their finished texts.
 */
struct member {
  struct tg_slice key;
  size_t start, len; /* text of key and value, in bytes of the buffer's content */
};

struct members {
  struct member *list;
  size_t count, cap;
};

static int compare_members(const void *a, const void *b) {
  const struct tg_slice x = ((const struct member *)a)->key, y = ((const struct member *)b)->key;
  int order = memcmp(x.ptr, y.ptr, x.len < y.len ? x.len : y.len);
  return order ? order : (x.len > y.len) - (x.len < y.len);
}

static tg_status note_member(struct tg_json_encoder *enc, struct members *members,
                             struct tg_slice key, size_t start) {
  if (members->count == members->cap) {
    size_t cap = members->cap ? members->cap * 2 : 16;
    struct member *list = realloc(members->list, cap * sizeof *list);
    if (!list) return tg_json_fail(enc, TG_ENOMEM, "out of memory", 0);
    members->list = list;
    members->cap = cap;
  }
  size_t len = tg_buffer_size(enc->out) - start;
  members->list[members->count++] = (struct member){key, start, len};
  return TG_OK;
}

/* What stands between two members is the same everywhere, so the sorted text is as long as it was.
 */
static tg_status sort_members(struct tg_json_encoder *enc, struct members *members) {
  if (members->count < 2) return TG_OK;
  const struct member *list = members->list;
  size_t first = list[0].start, total = tg_buffer_size(enc->out) - first;
  size_t gap_start = list[0].start + list[0].len, gap = list[1].start - gap_start;
  char *text = enc->out->data + enc->out->head;
  char *copy = malloc(total + gap);
  if (!copy) return tg_json_fail(enc, TG_ENOMEM, "out of memory", 0);
  qsort(members->list, members->count, sizeof *list, compare_members);
  char *p = copy;
  for (size_t i = 0; i < members->count; i++) {
    memcpy(p, text + list[i].start, list[i].len);
    p += list[i].len;
    memcpy(p, text + gap_start, gap);
    p += gap;
  }
  memcpy(text + first, copy, total);
  free(copy);
  return TG_OK;
}

/* The stack holds table, key, value; `frame` has the key. */
static tg_status write_member(struct tg_json_encoder *enc, const struct tg_json_frame *frame,
                              struct members *members) {
  tg_status status = enc->pretty ? put_line(enc) : TG_OK;
  size_t start = tg_buffer_size(enc->out);
  if (!status) status = tg_json_put_string(enc, frame->key.ptr, frame->key.len);
  if (!status) status = enc->pretty ? tg_json_put(enc, ": ", 2) : tg_json_put_char(enc, ':');
  if (!status) status = tg_json_put_value(enc);
  if (!status && enc->sorted) status = note_member(enc, members, frame->key, start);
  return status;
}

/* The stack holds table, key, value of the first member; afterwards the table. */
static tg_status write_object(struct tg_json_encoder *enc, struct tg_json_frame *frame) {
  lua_State *L = enc->L;
  int table = lua_gettop(L) - 2;
  struct members members = {0};
  tg_status status = tg_json_put_char(enc, '{');
  for (bool more = true; more && !status;) {
    if (lua_type(L, -2) != LUA_TSTRING) {
      frame->key = (struct tg_slice){0};
      status = tg_json_fail(enc, TG_EINVALID, "a table with keys of different kinds", 0);
      break;
    }
    frame->key.ptr = lua_tolstring(L, -2, &frame->key.len);
    status = write_member(enc, frame, &members);
    lua_pop(L, 1);
    if (status) break;
    more = lua_next(L, table);
    if (more) status = tg_json_put_char(enc, ',');
  }
  if (!status && enc->sorted) status = sort_members(enc, &members);
  free(members.list);
  return status;
}

/* Are the keys exactly 1..n? The stack holds table, key, value of the first; afterwards the table.
 */
static tg_status measure_array(struct tg_json_encoder *enc, size_t *length) {
  lua_State *L = enc->L;
  int table = lua_gettop(L) - 2;
  lua_Number count = 0, last = 0;
  do {
    lua_Number key = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : 0;
    if (!(key >= 1) || key != floor(key)) {
      lua_settop(L, table);
      return tg_json_fail(enc, TG_EINVALID, "a table with keys of different kinds", 0);
    }
    if (key > last) last = key;
    count++;
    lua_pop(L, 1);
  } while (lua_next(L, table));
  *length = (size_t)count;
  if (last == count) return TG_OK;
  return tg_json_fail(enc, TG_EINVALID, "an array with holes (fill them with tg.null)", 0);
}

static tg_status write_array(struct tg_json_encoder *enc, struct tg_json_frame *frame) {
  lua_State *L = enc->L;
  int table = lua_gettop(L) - 2;
  size_t length = 0;
  tg_status status = measure_array(enc, &length);
  for (size_t i = 1; i <= length && !status; i++) {
    frame->index = i;
    status = tg_json_put_char(enc, i == 1 ? '[' : ',');
    if (!status && enc->pretty) status = put_line(enc);
    if (status) break;
    lua_rawgeti(L, table, (int)i);
    status = tg_json_put_value(enc);
    lua_settop(L, table);
  }
  return status;
}

static bool is_inside(const struct tg_json_frame *frame, const void *table) {
  for (; frame; frame = frame->up)
    if (frame->table == table) return true;
  return false;
}

static tg_status write_table(struct tg_json_encoder *enc) {
  lua_State *L = enc->L;
  struct tg_json_frame frame = {.up = enc->frame, .table = lua_topointer(L, -1)};
  if (is_inside(frame.up, frame.table))
    return tg_json_fail(enc, TG_EINVALID, "a table that contains itself", 0);
  if (enc->depth >= enc->depth_max) return tg_json_fail(enc, TG_ERANGE, "nested too deep", 0);
  if (!lua_checkstack(L, TG_JSON_STACK)) return tg_json_fail(enc, TG_ENOMEM, "out of memory", 0);
  bool array = tg_plain_is_array(L, -1);
  lua_pushnil(L);
  if (!lua_next(L, -2)) return tg_json_put(enc, array ? "[]" : "{}", 2);
  array = array || lua_type(L, -2) == LUA_TNUMBER;
  enc->frame = &frame;
  enc->depth++;
  tg_status status = array ? write_array(enc, &frame) : write_object(enc, &frame);
  enc->depth--;
  if (!status && enc->pretty) status = put_line(enc);
  enc->frame = frame.up;
  return status ? status : tg_json_put_char(enc, array ? ']' : '}');
}

tg_status tg_json_put_value(struct tg_json_encoder *enc) {
  return lua_istable(enc->L, -1) ? write_table(enc) : tg_json_put_scalar(enc);
}

tg_status tg_json_encode(lua_State *L, int index, struct tg_buffer *out,
                         const struct tg_json_options *opts, struct tg_json_error *err) {
  struct tg_json_encoder enc;
  size_t before = tg_buffer_size(out);
  int top = lua_gettop(L);
  tg_json_encoder_init(&enc, L, out, opts, err);
  if (!lua_checkstack(L, TG_JSON_STACK)) return tg_json_fail(&enc, TG_ENOMEM, "out of memory", 0);
  lua_pushvalue(L, index);
  tg_status status = tg_json_put_value(&enc);
  lua_settop(L, top);
  return tg_json_encoder_end(&enc, status, before);
}
