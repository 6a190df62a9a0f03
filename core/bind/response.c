/* What a handler returned -> an answer: the table of return forms in the user contract.
 *
 * Runs inside the task, so that a value that cannot be sent is an error of the handler like any
 * other, with a traceback. Bodies are encoded into the state's scratch buffer, whose memory is kept
 * from one request to the next. */
#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "bind/handler.h"
#include "bind/json.h"
#include "bind/schema.h"
#include "bind/timing.h"
#include "script/error.h"
#include "script/vm.h"

#define FIELDS_MAX   64
#define SCRATCH_KEEP (256u * 1024)

enum { SLOT_ANSWER_META = 1, SLOT_OUT_META = 2 };

static int ref_of(struct tg_vm *vm, int slot) {
  return (int)(intptr_t)vm->bind[slot];
}

static const struct tg_slice type_json = {"application/json", 16};
/* A comment of server-sent events. */
static const struct tg_slice text_keepalive = {": keepalive\n\n", 13};
static const struct tg_slice type_text = {"text/plain; charset=utf-8", 25};

/* ---- headers ---- */

struct fields {
  struct tg_response_field at[FIELDS_MAX];
  size_t count;
  struct tg_slice content_type; /* given by the script; ptr NULL: not given */
};

static struct tg_slice string_at(lua_State *L, int index) {
  struct tg_slice s;
  s.ptr = lua_tolstring(L, index, &s.len);
  return s;
}

static void add_field(lua_State *L, struct fields *fields, struct tg_slice name, int value) {
  if (lua_type(L, value) != LUA_TSTRING)
    tg_error_throw(L, "bad_header", "header '%.64s': the value is a %s; give a string", name.ptr,
                   luaL_typename(L, value));
  struct tg_slice text = string_at(L, value);
  if (!tg_response_valid_field(name, text))
    tg_error_throw(L, "bad_header",
                   "header '%.64s' cannot be sent: a name is a token, and a value holds no control "
                   "bytes such as CR, LF or NUL",
                   name.ptr);
  if (tg_slice_ieq(name, TG_SLICE("content-type"))) {
    fields->content_type = text;
    return;
  }
  if (fields->count == FIELDS_MAX)
    tg_error_throw(L, "bad_header", "more than %d headers", FIELDS_MAX);
  fields->at[fields->count++] = (struct tg_response_field){name, text};
}

/* Reads {name = value | list of values}. Numbers become strings in place, so that the slices stay
 * anchored by the table. */
static void read_fields(lua_State *L, int table, struct fields *fields) {
  if (lua_isnoneornil(L, table)) return;
  if (lua_type(L, table) != LUA_TTABLE)
    tg_error_throw(L, "bad_header", "headers are a %s; give a table", luaL_typename(L, table));
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {  // .. name value
    int value = lua_gettop(L);
    if (lua_type(L, value - 1) != LUA_TSTRING)
      tg_error_throw(L, "bad_header", "a header's name is a %s; give a string",
                     luaL_typename(L, value - 1));
    struct tg_slice name = string_at(L, value - 1);
    if (lua_type(L, value) == LUA_TTABLE) {
      for (int i = 1; i <= (int)lua_objlen(L, value); i++) {
        lua_rawgeti(L, value, i);  // .. name value item
        add_field(L, fields, name, value + 1);
        lua_pop(L, 1);
      }
    } else if (lua_type(L, value) == LUA_TNUMBER) {
      lua_pushvalue(L, value - 1);
      lua_pushvalue(L, value);
      (void)lua_tostring(L, -1);  // .. name value name text
      lua_pushvalue(L, -1);
      lua_insert(L, -3);     // .. name value text name text
      lua_rawset(L, table);  // .. name value text
      add_field(L, fields, name, lua_gettop(L));
      lua_pop(L, 1);
    } else {
      add_field(L, fields, name, value);
    }
  }
}

/* ---- sending ---- */

static void check(lua_State *L, tg_status status) {
  if (status == TG_OK || status == TG_ECLOSED || status == TG_ECONFLICT) return;
  if (status == TG_EINVALID)
    tg_error_throw(L, "bad_answer", "the status must be a whole number from 200 to 599");
  tg_error_throw(L, "bad_answer", "the answer could not be sent: %s", tg_status_text(status));
}

static tg_status give(struct tg_handling *handling, int status, struct tg_slice type,
                      struct fields *fields, struct tg_slice body) {
  struct tg_exchange *x = handling->exchange;
  char timing[TG_TRACE_HEADER_MAX];
  fields->count = tg_timing_add(handling, fields->at, fields->count, FIELDS_MAX, timing);
  struct tg_answer answer = {.status = status,
                             .content_type = fields->content_type.ptr ? fields->content_type : type,
                             .fields = fields->at,
                             .field_count = fields->count,
                             .body = body};
  return x->port->respond(x, &answer);
}

static void send_bytes(lua_State *L, struct tg_handling *handling, int status, struct tg_slice type,
                       struct fields *fields, struct tg_slice body) {
  uint64_t most = handling->vm->settings->limits_response;
  if (body.len > most)
    tg_error_throw(
        L, "too_large",
        "the body has %zu bytes, and limits.response allows %llu; use tg.stream for more", body.len,
        (unsigned long long)most);
  check(L, give(handling, status, type, fields, body));
}

/* Into the state's scratch buffer. `schema`: the stack index of a program, or 0. */
static tg_status encode(lua_State *L, struct tg_handling *handling, int value, int schema,
                        struct tg_json_error *error) {
  const struct tg_settings *settings = handling->vm->settings;
  struct tg_json_options options = {.max_depth = (unsigned)settings->limits_json_depth,
                                    .max_size = (size_t)settings->limits_response};
  tg_buffer_clear(&handling->vm->scratch);
  struct tg_buffer *scratch = &handling->vm->scratch;
  return schema ? tg_schema_encode(L, schema, value, scratch, &options, error)
                : tg_json_encode(L, value, scratch, &options, error);
}

static void let_go(struct tg_buffer *scratch) {
  if (scratch->cap > SCRATCH_KEEP) tg_buffer_deinit(scratch);
}

/* In `dev`, a handler that breaks its own promise is told so. */
static void check_promise(lua_State *L, struct tg_handling *handling, int schema, int value) {
  if (tg_schema_promise(L, schema, value)) return;  // .. rows
  const struct tg_route *route = handling->exchange->route;
  int rows = lua_gettop(L);
  tg_schema_push_sentence(L, rows);
  tg_error_push(L, "response_schema", "the answer is not what the route's response declares: %s",
                lua_tostring(L, -1));
  lua_pushlstring(L, route->place.ptr, route->place.len);
  lua_setfield(L, -2, "place");
  lua_pushvalue(L, rows);
  lua_setfield(L, -2, "errors");
  lua_error(L);
}

/* `schema`: a program, or 0. */
static void send_json(lua_State *L, struct tg_handling *handling, int status, struct fields *fields,
                      int value, int schema) {
  struct tg_json_error error;
  if (schema && handling->vm->host->dev) check_promise(L, handling, schema, value);
  tg_status encoded = encode(L, handling, value, schema, &error);
  if (encoded) {
    tg_json_push_error(L, encoded, &error);
    lua_error(L);
  }
  send_bytes(L, handling, status, type_json, fields, tg_buffer_slice(&handling->vm->scratch));
  let_go(&handling->vm->scratch);
}

/* ---- answer objects: tg.html, tg.json, tg.stream ... ---- */

static int raw_field(lua_State *L, int table, const char *name) {  // .. -> .. value
  lua_pushstring(L, name);
  lua_rawget(L, table);
  return lua_gettop(L);
}

static bool is_answer(lua_State *L, struct tg_vm *vm, int value) {
  if (!lua_getmetatable(L, value)) return false;                    // .. meta
  lua_rawgeti(L, LUA_REGISTRYINDEX, ref_of(vm, SLOT_ANSWER_META));  // .. meta ours
  bool same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same;
}

/* The function of a streamed answer, and what it writes to. */
static void push_run(lua_State *L, struct tg_handling *handling, int object) {
  raw_field(L, object, "run");                                    // .. run
  struct tg_exchange_ref *out = lua_newuserdata(L, sizeof *out);  // .. run out
  *out = (struct tg_exchange_ref){0};
  lua_rawgeti(L, LUA_REGISTRYINDEX, ref_of(handling->vm, SLOT_OUT_META));  // .. run out meta
  lua_setmetatable(L, -2);
  tg_handler_refer(L, handling, out);
}

/* A stream is bounded by timeouts.write and by its own code, not by the route's timeout. */
static void stream_from_now(struct tg_handling *handling) {
  handling->streaming = true;
  (void)!tg_scope_deadline(&handling->scope, 0);
}

static int begin_stream(lua_State *L, struct tg_handling *handling, int object, int status,
                        struct tg_slice type, struct fields *fields) {
  struct tg_exchange *x = handling->exchange;
  char timing[TG_TRACE_HEADER_MAX];
  fields->count = tg_timing_add(handling, fields->at, fields->count, FIELDS_MAX, timing);
  struct tg_answer answer = {.status = status,
                             .content_type = fields->content_type.ptr ? fields->content_type : type,
                             .fields = fields->at,
                             .field_count = fields->count};
  int length = raw_field(L, object, "length");
  answer.has_length = lua_type(L, length) == LUA_TNUMBER;
  if (answer.has_length) answer.length = (uint64_t)lua_tonumber(L, length);
  int keepalive = raw_field(L, object, "keepalive");
  if (lua_type(L, keepalive) == LUA_TNUMBER) {
    answer.keepalive = (uint64_t)(lua_tonumber(L, keepalive) * (double)TG_SECOND);
    answer.keepalive_text = text_keepalive;
  }
  push_run(L, handling, object);  // .. run out
  tg_status begun = x->port->begin(x, &answer);
  check(L, begun);
  if (begun) return 0;
  stream_from_now(handling);
  if (x->request->method == TG_METHOD_HEAD) {
    x->port->end(x, TG_OK);
    return 0;
  }
  return 2;  // run out
}

/* A backend has agreed to leave HTTP: what follows is carried to and fro. */
static int begin_tunnel(lua_State *L, struct tg_handling *handling, int object,
                        struct fields *fields) {
  struct tg_exchange *x = handling->exchange;
  struct tg_answer answer = {.status = 101, .fields = fields->at, .field_count = fields->count};
  push_run(L, handling, object);  // .. run out
  tg_status status = x->port->upgrade(x, &answer);
  if (status == TG_ECLOSED) return 0;
  if (status) tg_error_throw_status(L, status, "tg.proxy: leaving HTTP");
  stream_from_now(handling);
  return 2;  // run out
}

/* The stack index of an answer's program; 0: it has none. */
static int find_schema(lua_State *L, int object) {
  int schema = raw_field(L, object, "schema");
  if (lua_isnil(L, schema)) return 0;
  if (!tg_schema_find(L, schema))
    tg_error_throw(L, "bad_answer", "the schema of an answer is the program of a schema, not a %s",
                   luaL_typename(L, schema));
  return schema;
}

static int send_object(lua_State *L, struct tg_handling *handling, int object, int status,
                       struct fields *fields) {
  raw_field(L, object, "kind");  // .. kind
  const char *kind = lua_tostring(L, -1);
  int own_status = raw_field(L, object, "status");  // .. kind status
  if (lua_type(L, own_status) == LUA_TNUMBER) status = (int)lua_tointeger(L, own_status);
  read_fields(L, raw_field(L, object, "headers"), fields);  // .. kind status headers
  int type_index = raw_field(L, object, "type");
  struct tg_slice type = lua_isstring(L, type_index) ? string_at(L, type_index) : tg_slice(NULL, 0);
  if (kind && strcmp(kind, "stream") == 0)
    return begin_stream(L, handling, object, status, type, fields);
  if (kind && strcmp(kind, "tunnel") == 0) return begin_tunnel(L, handling, object, fields);
  if (kind && strcmp(kind, "websocket") == 0)
    return tg_websocket_begin(L, handling, object, fields->at, fields->count);
  int body = raw_field(L, object, "body");
  if (kind && strcmp(kind, "json") == 0)
    send_json(L, handling, status, fields, body, find_schema(L, object));
  else
    send_bytes(L, handling, status, type, fields,
               lua_isstring(L, body) ? string_at(L, body) : tg_slice("", 0));
  return 0;
}

/* ---- return forms ---- */

static int send_value(lua_State *L, struct tg_handling *handling, int status, struct fields *fields,
                      int value) {
  switch (lua_type(L, value)) {
    case LUA_TNIL:
    case LUA_TNONE:
      send_bytes(L, handling, status, tg_slice(NULL, 0), fields, tg_slice("", 0));
      return 0;
    case LUA_TSTRING:
      send_bytes(L, handling, status, type_text, fields, string_at(L, value));
      return 0;
    case LUA_TTABLE:
      if (is_answer(L, handling->vm, value)) return send_object(L, handling, value, status, fields);
      send_json(L, handling, status, fields, value, 0);
      return 0;
    default:
      tg_error_throw(L, "bad_answer",
                     "the handler returned a %s%s; return a table, a string, nothing, or a status "
                     "and one of these",
                     luaL_typename(L, value), lua_type(L, value) == LUA_TNUMBER ? " alone" : "");
  }
}

int tg_response_respond(lua_State *L) {
  struct tg_handling *handling = lua_touserdata(L, 1);
  struct fields fields;
  fields.count = 0;
  fields.content_type.ptr = NULL;
  int count = lua_gettop(L) - 1;
  if (!handling->settled && tg_handler_unfinished(handling)) {
    handling->settled = true;
    lua_pushboolean(L, true);
    return 1;
  }
  if (handling->exchange->answer_done) return 0; /* the client is gone, or was told already */
  if (count >= 2 && lua_type(L, 2) == LUA_TNUMBER) {
    lua_Number status = lua_tonumber(L, 2);
    if (status != floor(status) || status < 200 || status > 599)
      tg_error_throw(L, "bad_answer", "the status must be a whole number from 200 to 599");
    lua_settop(L, 4);
    read_fields(L, 4, &fields);
    return send_value(L, handling, (int)status, &fields, 3);
  }
  bool nothing = count == 0 || lua_isnil(L, 2);
  lua_settop(L, 2);
  int status = handling->exchange->route->status;
  return send_value(L, handling, status ? status : nothing ? 204 : 200, &fields, 2);
}

/* A table with a metatable may be an answer object; what is wrong or too long is for `respond`. */
static bool give_plain(lua_State *co, struct tg_handling *handling, int status, int type,
                       int value) {
  struct fields none;
  struct tg_slice body = {"", 0};
  struct tg_buffer *scratch = &handling->vm->scratch;
  none.count = 0;
  none.content_type.ptr = NULL;
  if (type == LUA_TTABLE) {
    if (lua_getmetatable(co, value)) return false;
    bool encoded = encode(co, handling, value, 0, NULL) == TG_OK;
    body = tg_buffer_slice(scratch);
    bool given = encoded && body.len <= handling->vm->settings->limits_response &&
                 give(handling, status, type_json, &none, body) == TG_OK;
    let_go(scratch);
    return given;
  }
  if (type == LUA_TSTRING) body = string_at(co, value);
  if (type > LUA_TNIL && type != LUA_TSTRING) return false;
  return body.len <= handling->vm->settings->limits_response &&
         give(handling, status, body.ptr && type == LUA_TSTRING ? type_text : tg_slice(NULL, 0),
              &none, body) == TG_OK;
}

bool tg_response_plain(lua_State *co, struct tg_handling *handling) {
  if (handling->exchange->answer_done) return true;
  int type = lua_type(co, 1);
  int status = handling->exchange->route->status;
  if (type != LUA_TNUMBER)
    return give_plain(co, handling, status ? status : type <= LUA_TNIL ? 204 : 200, type, 1);
  lua_Number given = lua_tonumber(co, 1);
  if (!(given >= 200 && given <= 599) || given != floor(given)) return false;
  if (lua_type(co, 2) == LUA_TNONE || lua_type(co, 3) > LUA_TNIL) return false;
  return give_plain(co, handling, (int)given, lua_type(co, 2), 2);
}

void tg_response_open(lua_State *L) {  // .. module
  struct tg_vm *vm = tg_vm_of(L);
  lua_newtable(L);  // .. module meta
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "answer_meta"); /* given to tidegate/answers.lua */
  vm->bind[SLOT_ANSWER_META] = (void *)(intptr_t)luaL_ref(L, LUA_REGISTRYINDEX);
  luaL_newmetatable(L, TG_OUT_OBJECT);  // .. module meta
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_setfield(L, -4, "out_methods"); /* filled by _core/entry.lua */
  lua_setfield(L, -2, "__index");
  lua_pushliteral(L, "tg.out");
  lua_setfield(L, -2, "__metatable");
  vm->bind[SLOT_OUT_META] = (void *)(intptr_t)luaL_ref(L, LUA_REGISTRYINDEX);
}
