/* Waiting for the head of the reply to a call that was started. */
#include <lauxlib.h>
#include <stdlib.h>

#include "await/http_call.h"
#include "script/error.h"
#include "script/module.h"

/// For http.lua: http_head(call, decode) -> status, minor, headers, repeated, coding.
TG_AWAITABLE(http_head)

struct head_op {
  struct tg_op op;
  struct tg_http_object *object;
  bool decode;
};

/* Gives the call up at once: nobody will see its reply. */
static void cancel(struct tg_op *op) {
  struct head_op *waits = TG_CONTAINER(op, struct head_op, op);
  tg_http_release(waits->object); /* wakes the waiter, which is this one */
}

static char lower(char c) {
  return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

static void push_lower(lua_State *L, struct tg_slice name) {
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  for (size_t i = 0; i < name.len; i++) luaL_addchar(&buffer, lower(name.ptr[i]));
  luaL_pushresult(&buffer);
}

static void push_value(lua_State *L, struct tg_slice value) {
  lua_pushlstring(L, value.ptr ? value.ptr : "", value.len);
}

/* Adds the value at the top to the list of its name at the top but one, which it pops both. */
static void add_repeated(lua_State *L, int repeated) {  // .. name first value
  lua_pushvalue(L, -3);
  lua_rawget(L, repeated);  // .. name first value list
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    lua_createtable(L, 2, 0);  // .. name first value list
    lua_pushvalue(L, -3);
    lua_rawseti(L, -2, 1);
    lua_pushvalue(L, -4);
    lua_pushvalue(L, -2);
    lua_rawset(L, repeated);
  }
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
  lua_pop(L, 1);  // .. name first value
}

/* headers: by lower-case name, values of equal ones joined; repeated: name -> list of those, nil
 * where no name came twice. Pushes both. */
static void push_fields(lua_State *L, const struct tg_field *fields, uint32_t count) {
  lua_createtable(L, 0, (int)count);  // .. headers
  lua_pushnil(L);                     // .. headers repeated
  int headers = lua_gettop(L) - 1;
  for (uint32_t i = 0; i < count; i++) {
    push_lower(L, fields[i].name);
    lua_pushvalue(L, -1);
    lua_rawget(L, headers);          // .. headers repeated name first
    push_value(L, fields[i].value);  // .. headers repeated name first value
    if (!lua_isnil(L, -2)) {
      if (lua_isnil(L, headers + 1)) {
        lua_newtable(L);
        lua_replace(L, headers + 1);
      }
      add_repeated(L, headers + 1);
      lua_pushliteral(L, ", ");
      lua_insert(L, -2);
      lua_concat(L, 3);  // .. headers repeated name value
    } else {
      lua_remove(L, -2);
    }
    lua_rawset(L, headers);
  }
}

static void open_decoder(lua_State *L, struct tg_http_object *object) {  // -> coding
  struct tg_http_call *http = object->http;
  struct tg_slice value = tg_reply_find(http->call.reply, TG_SLICE("content-encoding"));
  enum tg_coding coding = tg_coding_of(value);
  if (coding == TG_CODING_IDENTITY || coding == TG_CODING_UNKNOWN || !http->call.reply->has_body) {
    lua_pushnil(L);
    return;
  }
  http->decoder = tg_decoder_new(coding);
  if (!http->decoder) tg_http_throw(L, object, TG_ENOMEM);
  push_value(L, value);
}

static int answer(lua_State *L, struct tg_http_object *object, bool decode) {
  struct tg_http_call *http = object->http;
  if (http->state != TG_HTTP_REPLIED) tg_http_throw(L, object, http->failure);
  const struct tg_reply *reply = http->call.reply;
  if (!reply->has_body) tg_http_turn_leave(&http->turn); /* all of it is there, and the link free */
  lua_pushinteger(L, reply->status);
  lua_pushinteger(L, reply->minor);
  push_fields(L, reply->fields, reply->field_count);
  if (decode)
    open_decoder(L, object);
  else
    lua_pushnil(L);
  return 5;
}

static int finish(struct tg_op *op, lua_State *L) {
  struct head_op *waits = TG_CONTAINER(op, struct head_op, op);
  struct tg_http_object *object = waits->object;
  bool cancelled = op->cancelled, decode = waits->decode;
  free(waits);
  if (!L) return 0;
  if (cancelled) tg_op_throw_cancelled(L);
  if (!object->http) tg_http_throw_over(L);
  return answer(L, object, decode);
}

static const struct tg_op_kind kind = {.name = "tg.http", .cancel = cancel, .finish = finish};

int tg_await_http_head(lua_State *L) {
  struct tg_http_object *object = tg_http_check(L, 1);
  bool decode = lua_toboolean(L, 2);
  tg_op_begin(L);
  struct tg_http_call *http = object->http;
  if (!http) tg_http_throw_over(L);
  if (http->waiter) tg_error_throw(L, "busy", "tg.http: another task waits for this response");
  if (!tg_http_pending(http)) return answer(L, object, decode);
  struct head_op *waits = calloc(1, sizeof *waits);
  if (!waits) tg_error_throw(L, "out_of_memory", "tg.http: no memory");
  tg_op_init(&waits->op, &kind);
  waits->object = object;
  waits->decode = decode;
  http->waiter = &waits->op;
  return tg_op_suspend(L, &waits->op);
}
