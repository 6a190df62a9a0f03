/* A handler has returned tg.websocket: the handshake, and the object that its function gets.
 *
 * A handshake that is refused is an HTTP error like any other, raised before anything was sent. The
 * metatable of the object is made by await/websocket.c. */
#include "server/websocket.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "bind/failure.h"
#include "bind/handler.h"
#include "http/ws_handshake.h"
#include "script/error.h"
#include "script/vm.h"

#define FIELDS_MAX 70 /* what a handler may give, and ours */

/* ---- refusing ---- */

__attribute__((noreturn)) static void refuse(lua_State *L, int status, const char *text) {
  tg_error_push(L, "http", "%s", text);  // .. error
  lua_pushinteger(L, status);
  lua_setfield(L, -2, "status");
  lua_pushstring(L, text);
  lua_setfield(L, -2, "detail");
  lua_newtable(L);  // .. error headers
  if (status == 426) {
    lua_pushliteral(L, "websocket");
    lua_setfield(L, -2, "upgrade");
    lua_pushliteral(L, "13");
    lua_setfield(L, -2, "sec-websocket-version");
  } else if (status == 503) {
    lua_pushliteral(L, "1");
    lua_setfield(L, -2, "retry-after");
  }
  lua_setfield(L, -2, "headers");
  lua_error(L);
  __builtin_unreachable();
}

static void check_upgrade(lua_State *L, tg_status status) {
  if (status == TG_OK || status == TG_ECLOSED) return;
  if (status == TG_EOVERLOAD) refuse(L, 503, "the server restarts");
  if (status == TG_EUNSUPPORTED)
    tg_error_throw(L, "not_available",
                   "tg.websocket: this client has no connection that could leave HTTP");
  tg_error_throw_status(L, status, "tg.websocket");
}

/* ---- options ---- */

static int raw_field(lua_State *L, int table, const char *name) {  // .. -> .. value
  lua_pushstring(L, name);
  lua_rawget(L, table);
  return lua_gettop(L);
}

/* A list of strings of the answer object, which keeps them. */
static size_t read_list(lua_State *L, struct tg_arena *arena, int object, const char *name,
                        const struct tg_slice **list) {
  int table = raw_field(L, object, name);  // .. table
  size_t count = lua_istable(L, table) ? lua_objlen(L, table) : 0;
  if (!count) return 0;
  struct tg_slice *slices = tg_arena_alloc(arena, count * sizeof *slices);
  if (!slices) tg_error_throw(L, "out_of_memory", "tg.websocket: no memory");
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, table, (int)i + 1);  // .. table string
    slices[i].ptr = lua_tolstring(L, -1, &slices[i].len);
    lua_pop(L, 1);
  }
  *list = slices;
  return count;
}

static enum tg_ws_compress read_compress(lua_State *L, int object) {
  int compress = raw_field(L, object, "compress");
  if (!lua_toboolean(L, compress)) return TG_WS_COMPRESS_NEVER;
  return lua_isstring(L, compress) ? TG_WS_COMPRESS_CONTEXT : TG_WS_COMPRESS_ALONE;
}

static struct tg_websocket_options read_options(lua_State *L, const struct tg_vm *vm, int object) {
  struct tg_websocket_options options = {.message_max =
                                             (size_t)vm->settings->limits_websocket_message};
  int ping = raw_field(L, object, "ping"), most = raw_field(L, object, "max_message");
  if (lua_isnumber(L, ping)) options.ping = (uint64_t)(lua_tonumber(L, ping) * 1e9);
  if (lua_isnumber(L, most)) options.message_max = (size_t)lua_tonumber(L, most);
  return options;
}

/* ---- the object ---- */

static struct tg_websocket_object *push_object(lua_State *L, struct tg_handling *handling,
                                               struct tg_slice protocol) {
  struct tg_websocket_object *object = lua_newuserdata(L, sizeof *object);  // .. ws
  object->ws = NULL;
  luaL_getmetatable(L, TG_WEBSOCKET_OBJECT);
  lua_setmetatable(L, -2);
  lua_createtable(L, 0, 2);  // .. ws env
  lua_pushcfunction(L, tg_request_new);
  lua_pushlightuserdata(L, handling);
  lua_call(L, 1, 1);
  lua_setfield(L, -2, "req");
  if (protocol.len) {
    lua_pushlstring(L, protocol.ptr, protocol.len);
    lua_setfield(L, -2, "protocol");
  }
  lua_setfenv(L, -2);  // .. ws
  return object;
}

static size_t add_fields(struct tg_response_field *all, const struct tg_ws_terms *terms,
                         char extensions[TG_WS_DEFLATE_TERMS_MAX],
                         const struct tg_response_field *given, size_t count) {
  size_t total = 0;
  all[total++] = (struct tg_response_field){TG_SLICE("Upgrade"), TG_SLICE("websocket")};
  all[total++] = (struct tg_response_field){TG_SLICE("Sec-WebSocket-Accept"),
                                            tg_slice(terms->accept, TG_WS_ACCEPT_LEN)};
  if (terms->protocol.len)
    all[total++] = (struct tg_response_field){TG_SLICE("Sec-WebSocket-Protocol"), terms->protocol};
  if (terms->deflate.agreed)
    all[total++] = (struct tg_response_field){
        TG_SLICE("Sec-WebSocket-Extensions"),
        tg_slice(extensions, tg_ws_deflate_write_terms(extensions, &terms->deflate))};
  for (size_t i = 0; i < count && total < FIELDS_MAX; i++) all[total++] = given[i];
  return total;
}

int tg_websocket_begin(lua_State *L, struct tg_handling *handling, int object,
                       const struct tg_response_field *fields, size_t count) {
  struct tg_exchange *exchange = handling->exchange;
  struct tg_ws_offer offer = {0};
  struct tg_ws_terms terms;
  struct tg_request_fault fault;
  offer.protocol_count = read_list(L, &exchange->arena, object, "protocols", &offer.protocols);
  offer.origin_count = read_list(L, &exchange->arena, object, "origins", &offer.origins);
  offer.compress = read_compress(L, object);
  if (!tg_ws_handshake_check(exchange->request, &offer, &terms, &fault))
    refuse(L, fault.status, fault.text);
  struct tg_websocket_options options = read_options(L, handling->vm, object);
  options.deflate = terms.deflate;
  raw_field(L, object, "run");                                                   // .. run
  struct tg_websocket_object *place = push_object(L, handling, terms.protocol);  // .. run ws
  struct tg_response_field all[FIELDS_MAX];
  struct tg_answer answer = {.status = 101, .fields = all};
  char extensions[TG_WS_DEFLATE_TERMS_MAX];
  answer.field_count = add_fields(all, &terms, extensions, fields, count);
  tg_status status = exchange->port->upgrade(exchange, &answer);
  check_upgrade(L, status);
  if (status) return 0;
  handling->streaming = true;
  /* From here on pings and its own code bound it. */
  (void)!tg_scope_deadline(&handling->scope, 0);
  handling->websocket = tg_websocket_new(exchange, handling->vm->loop, &options);
  if (!handling->websocket) {
    exchange->port->end(exchange, TG_OK);
    tg_error_throw(L, "out_of_memory", "tg.websocket: no memory");
  }
  tg_websocket_hold(handling->websocket);
  place->ws = handling->websocket;
  return 2;
}

/* ---- the end ---- */

static enum tg_ws_code code_of(const struct tg_websocket *ws, const struct tg_error_view *error) {
  if (ws->drains) return TG_WS_RESTART;
  if (!error) return TG_WS_NORMAL;
  if (strcmp(error->code, "cancelled") == 0) return TG_WS_GOING_AWAY;
  return error->status < 500 ? TG_WS_POLICY : TG_WS_FAILED;
}

void tg_websocket_conclude(struct tg_handling *handling) {
  struct tg_websocket *ws = handling->websocket;
  struct tg_failure *failure = handling->failure;
  const struct tg_error_view *error = failure ? tg_failure_view(failure) : NULL;
  handling->websocket = NULL;
  enum tg_ws_code code = code_of(ws, error);
  if (error && ws->state == TG_WEBSOCKET_OVER && strcmp(error->code, "websocket_closed") == 0) {
    handling->failure = NULL;
    tg_failure_free(failure);
  }
  tg_websocket_leave(ws, code, tg_slice(NULL, 0));
  tg_websocket_release(ws);
}
