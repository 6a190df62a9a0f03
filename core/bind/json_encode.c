/* The JSON encoder: one walk over a value, straight into the buffer.
 *
 * It uses only those functions of the Lua API that neither allocate nor call back (raw access,
 * lua_next, no string conversion of numbers), so that it cannot throw and no script code runs while
 * it walks. The frames of the tables it is inside of are linked on the C stack: they find cycles
 * and spell the path of an error. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/number.h"
#include "base/utf8.h"
#include "bind/json.h"
#include "script/plain.h"

#define TYPE_CDATA  10 /* LuaJIT's, without a name in lua.h */
#define STACK_LEVEL 10 /* stack slots of one level: table, key, value, and those of plain.h */

struct frame {
  const struct frame *up;
  const void *table;
  struct tg_slice key; /* of the member being written */
  size_t index;        /* of the element being written, from 1; 0: the key counts */
};

struct encoder {
  lua_State *L;
  struct tg_buffer *out;
  size_t size_max; /* of the buffer's content */
  unsigned depth, depth_max;
  bool pretty, sorted;
  const struct frame *frame;
  struct tg_json_error *err;
};

static tg_status write_value(struct encoder *enc);

/* --- errors --- */

struct path {
  char *text;
  size_t len, cap;
};

static void path_add(struct path *path, const char *text, size_t len) {
  size_t room = path->cap - path->len;
  if (len >= room) len = room - 1;
  memcpy(path->text + path->len, text, len);
  path->len += len;
  path->text[path->len] = 0;
}

static bool is_name(struct tg_slice key) {
  for (size_t i = 0; i < key.len; i++) {
    char c = key.ptr[i];
    bool letter = ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_';
    if (!letter && (i == 0 || c < '0' || c > '9')) return false;
  }
  return key.len > 0;
}

/* A key of any bytes becomes one line of valid UTF-8. */
static void path_add_key(struct path *path, struct tg_slice key) {
  size_t len = key.len > 60 ? 60 : key.len;
  if (is_name(key)) {
    path_add(path, ".", 1);
    path_add(path, key.ptr, len);
    return;
  }
  path_add(path, "[\"", 2);
  for (size_t i = 0, n; i < len; i += n) {
    n = tg_utf8_sequence(key.ptr + i, key.len - i);
    char c = key.ptr[i];
    bool plain = n > 1 || (n == 1 && c >= 0x20 && c != 0x7f && c != '"');
    path_add(path, plain ? key.ptr + i : "?", plain ? n : 1);
    if (!n) n = 1;
  }
  path_add(path, "\"]", 2);
}

static void path_add_frame(struct path *path, const struct frame *frame) {
  if (!frame) return;
  path_add_frame(path, frame->up);
  if (frame->index) {
    char text[TG_NUMBER_LEN + 2] = "[";
    size_t len = 1 + tg_number_write_u64(frame->index, text + 1);
    text[len++] = ']';
    path_add(path, text, len);
  } else if (frame->key.ptr) {
    path_add_key(path, frame->key);
  }
}

static tg_status fail(struct encoder *enc, tg_status status, const char *text, size_t offset) {
  struct tg_json_error *err = enc->err;
  if (!err) return status;
  *err = (struct tg_json_error){.text = text, .offset = offset};
  struct path path = {err->path, 0, sizeof err->path};
  path_add(&path, "$", 1);
  path_add_frame(&path, enc->frame);
  if (path.len + 1 == path.cap) {
    size_t whole = path.len - 3;
    whole = tg_utf8_check(path.text, whole);
    memcpy(path.text + whole, "...", 4);
  }
  return status;
}

/* --- bytes --- */

static tg_status grow(struct encoder *enc, size_t extra) {
  if (tg_buffer_size(enc->out) + extra > enc->size_max + 64)
    return fail(enc, TG_ETOO_LARGE, "the text is too long", 0);
  tg_status status = tg_buffer_reserve(enc->out, extra);
  return status ? fail(enc, status, "out of memory", 0) : TG_OK;
}

static inline tg_status room(struct encoder *enc, size_t extra) {
  if (TG_LIKELY(enc->out->cap - enc->out->len >= extra)) return TG_OK;
  return grow(enc, extra);
}

static inline tg_status put(struct encoder *enc, const char *text, size_t len) {
  tg_status status = room(enc, len);
  if (status) return status;
  memcpy(tg_buffer_tail(enc->out), text, len);
  tg_buffer_wrote(enc->out, len);
  return TG_OK;
}

static tg_status put_line(struct encoder *enc) {
  size_t width = 1 + 2 * (size_t)enc->depth;
  tg_status status = room(enc, width);
  if (status) return status;
  char *tail = tg_buffer_tail(enc->out);
  tail[0] = '\n';
  memset(tail + 1, ' ', width - 1);
  tg_buffer_wrote(enc->out, width);
  return TG_OK;
}

/* --- strings --- */

#define ONES  0x0101010101010101u
#define HIGHS 0x8080808080808080u

/* Nonzero when one of eight bytes is no ASCII character that stands for itself. */
static inline uint64_t is_special(uint64_t word) {
  uint64_t quote = word ^ (ONES * '"'), slash = word ^ (ONES * '\\');
  return ((word - ONES * 0x20) | (quote - ONES) | (slash - ONES) | word) & HIGHS;
}

static inline bool is_plain(unsigned char c) {
  return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static tg_status put_escape(struct encoder *enc, unsigned char c) {
  static const char letters[] = "btn?fr"; /* from 8 on */
  static const char hex[] = "0123456789abcdef";
  char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
  if (c == '"' || c == '\\') {
    text[1] = (char)c;
  } else if (c >= 8 && c <= 13 && c != 11) {
    text[1] = letters[c - 8];
  } else {
    return put(enc, text, 6);
  }
  return put(enc, text, 2);
}

/* The rest of a string, from its first byte at `i` that is not plain. */
static tg_status put_string_rest(struct encoder *enc, const char *ptr, size_t i, size_t len) {
  size_t run = i;
  tg_status status = TG_OK;
  while (i < len && !status) {
    unsigned char c = (unsigned char)ptr[i];
    if (is_plain(c)) {
      i++;
    } else if (c >= 0x80) {
      size_t n = tg_utf8_sequence(ptr + i, len - i);
      if (!n) return fail(enc, TG_EINVALID, "invalid UTF-8", i + 1);
      i += n;
    } else {
      status = put(enc, ptr + run, i - run);
      if (!status) status = put_escape(enc, c);
      run = ++i;
    }
  }
  if (!status) status = put(enc, ptr + run, i - run);
  return status ? status : put(enc, "\"", 1);
}

static tg_status put_string(struct encoder *enc, const char *ptr, size_t len) {
  tg_status status = room(enc, len + 2);
  if (status) return status;
  char *start = tg_buffer_tail(enc->out), *p = start;
  *p++ = '"';
  size_t i = 0;
  for (; len - i >= 8; i += 8, p += 8) {
    uint64_t word;
    memcpy(&word, ptr + i, 8);
    if (is_special(word)) break;
    memcpy(p, &word, 8);
  }
  while (i < len && is_plain((unsigned char)ptr[i])) *p++ = ptr[i++];
  if (TG_LIKELY(i == len)) *p++ = '"';
  tg_buffer_wrote(enc->out, (size_t)(p - start));
  return i == len ? TG_OK : put_string_rest(enc, ptr, i, len);
}

/* --- scalars --- */

static tg_status put_number(struct encoder *enc, double value) {
  if (!isfinite(value)) return fail(enc, TG_EINVALID, isnan(value) ? "NaN" : "an infinity", 0);
  tg_status status = room(enc, TG_NUMBER_LEN);
  if (status) return status;
  tg_buffer_wrote(enc->out, tg_number_write(value, tg_buffer_tail(enc->out)));
  return TG_OK;
}

static tg_status put_int64(struct encoder *enc) {
  uint64_t bits;
  bool is_unsigned;
  if (!tg_plain_get_int64(enc->L, -1, &bits, &is_unsigned))
    return fail(enc, TG_EINVALID, "a cdata that is no 64-bit integer", 0);
  tg_status status = room(enc, TG_NUMBER_LEN);
  if (status) return status;
  char *tail = tg_buffer_tail(enc->out);
  tg_buffer_wrote(enc->out, is_unsigned ? tg_number_write_u64(bits, tail)
                                        : tg_number_write_i64((int64_t)bits, tail));
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

static tg_status note_member(struct encoder *enc, struct members *members, struct tg_slice key,
                             size_t start) {
  if (members->count == members->cap) {
    size_t cap = members->cap ? members->cap * 2 : 16;
    struct member *list = realloc(members->list, cap * sizeof *list);
    if (!list) return fail(enc, TG_ENOMEM, "out of memory", 0);
    members->list = list;
    members->cap = cap;
  }
  size_t len = tg_buffer_size(enc->out) - start;
  members->list[members->count++] = (struct member){key, start, len};
  return TG_OK;
}

/* What stands between two members is the same everywhere, so the sorted text is as long as it was.
 */
static tg_status sort_members(struct encoder *enc, struct members *members) {
  if (members->count < 2) return TG_OK;
  const struct member *list = members->list;
  size_t first = list[0].start, total = tg_buffer_size(enc->out) - first;
  size_t gap_start = list[0].start + list[0].len, gap = list[1].start - gap_start;
  char *text = enc->out->data + enc->out->head;
  char *copy = malloc(total + gap);
  if (!copy) return fail(enc, TG_ENOMEM, "out of memory", 0);
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
static tg_status write_member(struct encoder *enc, const struct frame *frame,
                              struct members *members) {
  tg_status status = enc->pretty ? put_line(enc) : TG_OK;
  size_t start = tg_buffer_size(enc->out);
  if (!status) status = put_string(enc, frame->key.ptr, frame->key.len);
  if (!status) status = put(enc, ": ", enc->pretty ? 2 : 1);
  if (!status) status = write_value(enc);
  if (!status && enc->sorted) status = note_member(enc, members, frame->key, start);
  return status;
}

/* The stack holds table, key, value of the first member; afterwards the table. */
static tg_status write_object(struct encoder *enc, struct frame *frame) {
  lua_State *L = enc->L;
  int table = lua_gettop(L) - 2;
  struct members members = {0};
  tg_status status = put(enc, "{", 1);
  for (bool more = true; more && !status;) {
    if (lua_type(L, -2) != LUA_TSTRING) {
      frame->key = (struct tg_slice){0};
      status = fail(enc, TG_EINVALID, "a table with keys of different kinds", 0);
      break;
    }
    frame->key.ptr = lua_tolstring(L, -2, &frame->key.len);
    status = write_member(enc, frame, &members);
    lua_pop(L, 1);
    if (status) break;
    more = lua_next(L, table);
    if (more) status = put(enc, ",", 1);
  }
  if (!status && enc->sorted) status = sort_members(enc, &members);
  free(members.list);
  return status;
}

/* Are the keys exactly 1..n? The stack holds table, key, value of the first; afterwards the table.
 */
static tg_status measure_array(struct encoder *enc, size_t *length) {
  lua_State *L = enc->L;
  int table = lua_gettop(L) - 2;
  lua_Number count = 0, last = 0;
  do {
    lua_Number key = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : 0;
    if (!(key >= 1) || key != floor(key)) {
      lua_settop(L, table);
      return fail(enc, TG_EINVALID, "a table with keys of different kinds", 0);
    }
    if (key > last) last = key;
    count++;
    lua_pop(L, 1);
  } while (lua_next(L, table));
  *length = (size_t)count;
  if (last == count) return TG_OK;
  return fail(enc, TG_EINVALID, "an array with holes (fill them with tg.null)", 0);
}

static tg_status write_array(struct encoder *enc, struct frame *frame) {
  lua_State *L = enc->L;
  int table = lua_gettop(L) - 2;
  size_t length = 0;
  tg_status status = measure_array(enc, &length);
  for (size_t i = 1; i <= length && !status; i++) {
    frame->index = i;
    status = put(enc, i == 1 ? "[" : ",", 1);
    if (!status && enc->pretty) status = put_line(enc);
    if (status) break;
    lua_rawgeti(L, table, (int)i);
    status = write_value(enc);
    lua_settop(L, table);
  }
  return status;
}

static bool is_inside(const struct frame *frame, const void *table) {
  for (; frame; frame = frame->up)
    if (frame->table == table) return true;
  return false;
}

static tg_status write_table(struct encoder *enc) {
  lua_State *L = enc->L;
  struct frame frame = {.up = enc->frame, .table = lua_topointer(L, -1)};
  if (is_inside(frame.up, frame.table))
    return fail(enc, TG_EINVALID, "a table that contains itself", 0);
  if (enc->depth >= enc->depth_max) return fail(enc, TG_ERANGE, "nested too deep", 0);
  if (!lua_checkstack(L, STACK_LEVEL)) return fail(enc, TG_ENOMEM, "out of memory", 0);
  bool array = tg_plain_is_array(L, -1);
  lua_pushnil(L);
  if (!lua_next(L, -2)) return put(enc, array ? "[]" : "{}", 2);
  array = array || lua_type(L, -2) == LUA_TNUMBER;
  enc->frame = &frame;
  enc->depth++;
  tg_status status = array ? write_array(enc, &frame) : write_object(enc, &frame);
  enc->depth--;
  if (!status && enc->pretty) status = put_line(enc);
  enc->frame = frame.up;
  return status ? status : put(enc, array ? "]" : "}", 1);
}

/* Writes the value on top of the stack. A table's inside may be left there on failure. */
static tg_status write_value(struct encoder *enc) {
  lua_State *L = enc->L;
  size_t len;
  const char *ptr;
  switch (lua_type(L, -1)) {
    case LUA_TSTRING: ptr = lua_tolstring(L, -1, &len); return put_string(enc, ptr, len);
    case LUA_TNUMBER: return put_number(enc, lua_tonumber(L, -1));
    case LUA_TTABLE: return write_table(enc);
    case LUA_TBOOLEAN: return lua_toboolean(L, -1) ? put(enc, "true", 4) : put(enc, "false", 5);
    case LUA_TNIL: return put(enc, "null", 4);
    case LUA_TLIGHTUSERDATA:
      if (!lua_touserdata(L, -1)) return put(enc, "null", 4);
      return fail(enc, TG_EINVALID, "a userdata", 0);
    case TYPE_CDATA: return put_int64(enc);
    case LUA_TFUNCTION: return fail(enc, TG_EINVALID, "a function", 0);
    case LUA_TTHREAD: return fail(enc, TG_EINVALID, "a coroutine", 0);
    default: return fail(enc, TG_EINVALID, "a userdata", 0);
  }
}

tg_status tg_json_encode(lua_State *L, int index, struct tg_buffer *out,
                         const struct tg_json_options *opts, struct tg_json_error *err) {
  static const struct tg_json_options defaults;
  if (!opts) opts = &defaults;
  unsigned depth = opts->max_depth ? opts->max_depth : TG_JSON_DEPTH;
  size_t before = tg_buffer_size(out);
  size_t size_max = opts->max_size ? opts->max_size : TG_JSON_SIZE_MAX;
  struct encoder enc = {.L = L,
                        .out = out,
                        .size_max = before + size_max,
                        .depth_max = depth < TG_JSON_DEPTH_MAX ? depth : TG_JSON_DEPTH_MAX,
                        .pretty = opts->pretty,
                        .sorted = opts->sorted,
                        .err = err};
  int top = lua_gettop(L);
  if (!lua_checkstack(L, STACK_LEVEL)) return fail(&enc, TG_ENOMEM, "out of memory", 0);
  lua_pushvalue(L, index);
  tg_status status = write_value(&enc);
  lua_settop(L, top);
  if (!status && tg_buffer_size(out) > enc.size_max)
    status = fail(&enc, TG_ETOO_LARGE, "the text is too long", 0);
  if (status) out->len = out->head + before;
  return status;
}
