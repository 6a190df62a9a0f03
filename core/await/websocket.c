/* The class of WebSockets, and what they do without waiting. The object is made by
 * bind/websocket.c; its environment holds what never changes: `req`, `protocol`. */
#include "await/websocket.h"

#include <lauxlib.h>
#include <string.h>

#include "script/error.h"
#include "script/module.h"

/// For _core/websocket.lua: the metatable of WebSockets, and the functions `get`, `ping`, `leave`,
/// `keep_request`.
TG_AWAITABLE(websocket_class)

struct tg_websocket *tg_websocket_check(lua_State *L, int index) {
  struct tg_websocket_object *object = lua_touserdata(L, index);
  bool is_one = false;
  if (object && lua_getmetatable(L, index)) {   // .. meta
    luaL_getmetatable(L, TG_WEBSOCKET_OBJECT);  // .. meta class
    is_one = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
  }
  if (!is_one)
    tg_error_misuse(L, "a WebSocket expected, got %s; methods are called with a colon, ws:recv()",
                    luaL_typename(L, index));
  return object->ws;
}

void tg_websocket_throw_closed(lua_State *L, const struct tg_websocket *ws, const char *method) {
  tg_error_push(L, "websocket_closed", "ws:%s: the WebSocket is closed (%d)", method, ws->code);
  lua_pushinteger(L, ws->code);
  lua_setfield(L, -2, "close_code");
  lua_pushlstring(L, ws->reason, ws->reason_len);
  lua_setfield(L, -2, "close_reason");
  tg_error_push_place(L, 0);
  lua_setfield(L, -2, "place");
  lua_error(L);
  __builtin_unreachable();
}

/* get(ws, key): closed, closing, code, reason; req, protocol */
static int l_get(lua_State *L) {
  struct tg_websocket *ws = tg_websocket_check(L, 1);
  const char *key = luaL_checkstring(L, 2);
  if (strcmp(key, "closed") == 0) return lua_pushboolean(L, ws->state != TG_WEBSOCKET_OPEN), 1;
  if (strcmp(key, "closing") == 0) return lua_pushboolean(L, ws->drains), 1;
  if (strcmp(key, "close_code") == 0)
    return ws->state == TG_WEBSOCKET_OVER ? lua_pushinteger(L, ws->code), 1 : 0;
  if (strcmp(key, "close_reason") == 0)
    return ws->state == TG_WEBSOCKET_OVER ? lua_pushlstring(L, ws->reason, ws->reason_len), 1 : 0;
  lua_getfenv(L, 1);
  lua_pushvalue(L, 2);
  lua_rawget(L, -2);
  return 1;
}

/* ping(ws). Where there is no room, the client has enough to answer to. */
static int l_ping(lua_State *L) {
  struct tg_websocket *ws = tg_websocket_check(L, 1);
  if (tg_websocket_send(ws, TG_WS_PING, tg_slice(NULL, 0)) == TG_ECLOSED)
    tg_websocket_throw_closed(L, ws, "ping");
  return 0;
}

/* leave(ws, code, reason): closes without waiting for the client's part. */
static int l_leave(lua_State *L) {
  struct tg_websocket *ws = tg_websocket_check(L, 1);
  struct tg_slice reason;
  lua_Integer code = luaL_checkinteger(L, 2);
  reason.ptr = luaL_checklstring(L, 3, &reason.len);
  tg_websocket_leave(ws, (enum tg_ws_code)code, reason);
  return 0;
}

/* keep_request(ws, req): the handler's own object, with its ctx and deps. */
static int l_keep_request(lua_State *L) {
  (void)tg_websocket_check(L, 1);
  lua_settop(L, 2);
  lua_getfenv(L, 1);  // ws req env
  lua_insert(L, 2);   // ws env req
  lua_setfield(L, 2, "req");
  return 0;
}

static int l_collect(lua_State *L) {
  struct tg_websocket_object *object = lua_touserdata(L, 1);
  if (object->ws) tg_websocket_release(object->ws);
  object->ws = NULL;
  return 0;
}

int tg_await_websocket_class(lua_State *L) {
  static const luaL_Reg functions[] = {{"get", l_get},
                                       {"ping", l_ping},
                                       {"leave", l_leave},
                                       {"keep_request", l_keep_request},
                                       {NULL, NULL}};
  lua_settop(L, 0);
  if (luaL_newmetatable(L, TG_WEBSOCKET_OBJECT)) {  // meta
    lua_pushcfunction(L, l_collect);
    lua_setfield(L, -2, "__gc");
    lua_pushliteral(L, TG_WEBSOCKET_OBJECT);
    lua_setfield(L, -2, "__metatable");
  }
  lua_newtable(L);  // meta functions
  luaL_register(L, NULL, functions);
  return 2;
}
