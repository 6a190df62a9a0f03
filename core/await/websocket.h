/* What the awaitables of WebSockets share: the object, and how it says that it is closed. */
#ifndef TG_AWAIT_WEBSOCKET_H
#define TG_AWAIT_WEBSOCKET_H

#include <lua.h>

#include "server/websocket.h"

/* The WebSocket at a stack index; raises misuse where it is none. */
struct tg_websocket *tg_websocket_check(lua_State *L, int index);

/* Raises websocket_closed, with the close code and reason as its fields. */
__attribute__((noreturn)) void tg_websocket_throw_closed(lua_State *L,
                                                         const struct tg_websocket *ws,
                                                         const char *method);

#endif
