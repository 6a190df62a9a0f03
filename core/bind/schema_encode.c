/* JSON by a schema: only what is declared, in the order of the declaration.
 *
 * What an object does not declare is left out, whatever the handler returned; an absent field gets
 * its default or is left out; an empty list is [] where a list is declared. Scalars are written as
 * they are, also where another type is declared: the answer goes out, and `dev` has told the author
 * (tg_schema_promise). A table where none is declared is refused, because nobody has said what of
 * it may be shown. */
#include <lauxlib.h>
#include <math.h>

#include "base/number.h"
#include "bind/json_encoder.h"
#include "bind/pattern.h"
#include "bind/schema_program.h"
#include "script/plain.h"

struct writer {
  struct tg_json_encoder json;
  struct tg_schema_pass pass; /* looks at alternatives */
};

static tg_status write_node(struct writer *w, const struct tg_schema_node *node);

static const struct tg_schema_node *node_at(const struct writer *w, uint32_t number) {
  return &w->pass.program->nodes[number];
}

/* --- tables --- */

static tg_status enter(struct writer *w, struct tg_json_frame *frame) {
  struct tg_json_encoder *enc = &w->json;
  if (enc->depth >= enc->depth_max) return tg_json_fail(enc, TG_ERANGE, "nested too deep", 0);
  if (!lua_checkstack(enc->L, TG_SCHEMA_STACK))
    return tg_json_fail(enc, TG_ENOMEM, "out of memory", 0);
  *frame = (struct tg_json_frame){.up = enc->frame, .table = lua_topointer(enc->L, -1)};
  enc->frame = frame;
  enc->depth++;
  return TG_OK;
}

static void leave(struct writer *w, const struct tg_json_frame *frame) {
  w->json.depth--;
  w->json.frame = frame->up;
}

static tg_status write_array(struct writer *w, const struct tg_schema_node *node) {
  lua_State *L = w->json.L;
  int table = lua_gettop(L);
  size_t n = lua_objlen(L, table);
  struct tg_json_frame frame = {0};
  tg_status status = enter(w, &frame);
  if (status) return status;
  status = tg_json_put(&w->json, "[", 1);
  for (size_t i = 1; i <= n && !status; i++) {
    frame.index = i;
    if (i > 1) status = tg_json_put(&w->json, ",", 1);
    if (status) break;
    lua_rawgeti(L, table, (int)i);
    status = write_node(w, node_at(w, node->item));
    lua_settop(L, table);
  }
  if (!status) status = tg_json_put(&w->json, "]", 1);
  leave(w, &frame);
  return status;
}

/* The value on top, under a key that is escaped already. */
static tg_status write_member(struct writer *w, struct tg_slice key_text, bool *first,
                              const struct tg_schema_node *node) {
  tg_status status = *first ? TG_OK : tg_json_put(&w->json, ",", 1);
  *first = false;
  if (!status) status = tg_json_put(&w->json, key_text.ptr, key_text.len);
  if (status) return status;
  return node ? write_node(w, node) : tg_json_put_value(&w->json);
}

static tg_status write_field(struct writer *w, const struct tg_schema_field *field, int table,
                             bool *first) {
  lua_State *L = w->json.L;
  const struct tg_schema_node *node = node_at(w, field->node);
  struct tg_slice text = {w->pass.program->text + field->text, field->text_len};
  lua_rawgeti(L, w->pass.values, field->place);
  lua_rawget(L, table);
  if (!lua_isnil(L, -1)) return write_member(w, text, first, node);
  if (!(node->flags & TG_SCHEMA_DEFAULT)) return TG_OK;
  lua_rawgeti(L, w->pass.values, node->fallback);
  return write_member(w, text, first, node);
}

/* A member of any name, on top with its key below. */
static tg_status write_named(struct writer *w, struct tg_json_frame *frame, bool *first,
                             const struct tg_schema_node *node) {
  lua_State *L = w->json.L;
  if (lua_type(L, -2) != LUA_TSTRING)
    return tg_json_fail(&w->json, TG_EINVALID, "an object with a key that is no string", 0);
  struct tg_slice key;
  key.ptr = lua_tolstring(L, -2, &key.len);
  frame->key = key;
  tg_status status = *first ? TG_OK : tg_json_put(&w->json, ",", 1);
  if (!status) status = tg_json_put_string(&w->json, key.ptr, key.len);
  if (status) return status;
  *first = true;
  return write_member(w, TG_SLICE(":"), first, node);
}

/* What is declared nowhere, where that is allowed. */
static tg_status write_extra(struct writer *w, const struct tg_schema_node *node,
                             struct tg_json_frame *frame, int table, bool *first) {
  lua_State *L = w->json.L;
  tg_status status = TG_OK;
  for (lua_pushnil(L); !status && lua_next(L, table);) {  // .. key value
    bool declared = lua_type(L, -2) == LUA_TSTRING &&
                    tg_schema_find_field(w->pass.program, node, lua_tostring(L, -2));
    if (!declared) status = write_named(w, frame, first, NULL);
    lua_settop(L, table + 1);
  }
  return status;
}

static tg_status write_obj(struct writer *w, const struct tg_schema_node *node) {
  const struct tg_schema_field *fields = w->pass.program->fields + node->first;
  lua_State *L = w->json.L;
  int table = lua_gettop(L);
  bool first = true;
  struct tg_json_frame frame = {0};
  tg_status status = enter(w, &frame);
  if (status) return status;
  status = tg_json_put(&w->json, "{", 1);
  for (uint32_t i = 0; i < node->count && !status; i++) {
    struct tg_slice text = {w->pass.program->text + fields[i].text, fields[i].text_len};
    frame.key = tg_slice(text.ptr + 1, text.len - 3); /* without quotes and colon */
    status = write_field(w, &fields[i], table, &first);
    lua_settop(L, table);
  }
  if (!status && node->extra == TG_SCHEMA_ALLOW)
    status = write_extra(w, node, &frame, table, &first);
  if (!status) status = tg_json_put(&w->json, "}", 1);
  leave(w, &frame);
  return status;
}

static tg_status write_map(struct writer *w, const struct tg_schema_node *node) {
  lua_State *L = w->json.L;
  int table = lua_gettop(L);
  bool first = true;
  struct tg_json_frame frame = {0};
  tg_status status = enter(w, &frame);
  if (status) return status;
  status = tg_json_put(&w->json, "{", 1);
  for (lua_pushnil(L); !status && lua_next(L, table);) {  // .. key value
    status = write_named(w, &frame, &first, node_at(w, node->item));
    lua_settop(L, table + 1);
  }
  lua_settop(L, table);
  if (!status) status = tg_json_put(&w->json, "}", 1);
  leave(w, &frame);
  return status;
}

/* --- unions --- */

/* A union that contains itself goes deeper, too, though the value does not. */
static tg_status write_union(struct writer *w, const struct tg_schema_node *node) {
  lua_State *L = w->json.L;
  const struct tg_schema_node *chosen = tg_schema_choose(&w->pass, node);
  if (chosen) {
    if (w->json.depth >= w->json.depth_max)
      return tg_json_fail(&w->json, TG_ERANGE, "nested too deep", 0);
    w->json.depth++;
    tg_status status = write_node(w, chosen);
    w->json.depth--;
    return status;
  }
  if (lua_istable(L, -1))
    return tg_json_fail(&w->json, TG_EINVALID, "a table that fits no alternative of its schema", 0);
  return tg_json_put_scalar(&w->json);
}

/* --- any value --- */

/* A number that stands for a 64-bit integer, in full. */
static tg_status write_int64(struct writer *w) {
  double value = lua_tonumber(w->json.L, -1);
  char text[TG_NUMBER_LEN];
  if (value != floor(value) || value < -0x1p63 || value >= 0x1p63)
    return tg_json_put_scalar(&w->json);
  return tg_json_put(&w->json, text, tg_number_write_i64((int64_t)value, text));
}

static tg_status write_scalar(struct writer *w, const struct tg_schema_node *node) {
  if (node->kind == TG_SCHEMA_INT64 && lua_type(w->json.L, -1) == LUA_TNUMBER)
    return write_int64(w);
  return tg_json_put_scalar(&w->json);
}

/* The value on top. */
static tg_status write_node(struct writer *w, const struct tg_schema_node *node) {
  if (node->kind == TG_SCHEMA_ANY) return tg_json_put_value(&w->json);
  if (node->kind == TG_SCHEMA_UNION) return write_union(w, node);
  if (!lua_istable(w->json.L, -1)) return write_scalar(w, node);
  switch (node->kind) {
    case TG_SCHEMA_ARRAY: return write_array(w, node);
    case TG_SCHEMA_OBJ: return write_obj(w, node);
    case TG_SCHEMA_MAP: return write_map(w, node);
    default: return tg_json_fail(&w->json, TG_EINVALID, "a table, where its schema has none", 0);
  }
}

tg_status tg_schema_encode(lua_State *L, int program, int index, struct tg_buffer *out,
                           const struct tg_json_options *opts, struct tg_json_error *err) {
  struct writer w = {.pass = {.L = L, .budget = TG_PATTERN_BUDGET}};
  size_t before = tg_buffer_size(out);
  int top = lua_gettop(L);
  tg_json_encoder_init(&w.json, L, out, opts, err);
  w.pass.program = tg_schema_find(L, program);
  if (!w.pass.program) return tg_json_fail(&w.json, TG_EINVALID, "a schema that is none", 0);
  if (!lua_checkstack(L, TG_SCHEMA_STACK))
    return tg_json_fail(&w.json, TG_ENOMEM, "out of memory", 0);
  lua_pushvalue(L, index);
  lua_getfenv(L, program);
  lua_insert(L, top + 1);  // values value
  w.pass.values = top + 1;
  tg_status status = write_node(&w, w.pass.program->nodes);
  lua_settop(L, top);
  return tg_json_encoder_end(&w.json, status, before);
}
