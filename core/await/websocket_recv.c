/* ws:recv: the next message, or how the socket was closed.
 *
 * The message stays in the inbox until it is pushed, so that a wait which is cancelled has taken
 * nothing; one that is there beats the cancellation. */
#include <lauxlib.h>
#include <stdlib.h>

#include "await/websocket.h"
#include "base/check.h"
#include "script/error.h"
#include "script/module.h"
#include "script/task.h"

/// For _core/websocket.lua: recv(ws) -> message, kind; or nil, code, reason.
TG_AWAITABLE(websocket_recv)

struct recv_op {
  struct tg_op op;
  struct tg_websocket *ws;
};

static void on_readable(void *owner) {
  struct recv_op *waits = owner;
  tg_op_complete(&waits->op);
}

static void cancel(struct tg_op *op) {
  TG_CONTAINER(op, struct recv_op, op)->ws->readable = NULL;
  tg_op_complete(op);
}

/* TG_EAGAIN only where the wait was cancelled. */
static int answer(lua_State *L, struct tg_websocket *ws) {
  struct tg_slice bytes;
  enum tg_ws_opcode kind;
  switch (tg_websocket_look(ws, &bytes, &kind)) {
    case TG_OK:
      lua_pushlstring(L, bytes.ptr, bytes.len);
      tg_websocket_take(ws);
      if (kind == TG_WS_TEXT)
        lua_pushliteral(L, "text");
      else
        lua_pushliteral(L, "binary");
      return 2;
    case TG_EAGAIN: tg_op_throw_cancelled(L);
    default:
      lua_pushnil(L);
      lua_pushinteger(L, ws->code);
      lua_pushlstring(L, ws->reason, ws->reason_len);
      return 3;
  }
}

static int l_answer(lua_State *L) {
  return answer(L, lua_touserdata(L, 1));
}

static int finish(struct tg_op *op, lua_State *L) {
  struct recv_op *waited = TG_CONTAINER(op, struct recv_op, op);
  struct tg_websocket *ws = waited->ws;
  free(waited);
  ws->reader = NULL;
  int rc = 0, top = L ? lua_gettop(L) : 0;
  if (L) { /* pushing may fail for want of memory: protected, so that the hold ends */
    lua_pushcfunction(L, l_answer);
    lua_pushlightuserdata(L, ws);
    rc = lua_pcall(L, 1, LUA_MULTRET, 0);
  }
  tg_websocket_release(ws);
  if (rc) return lua_error(L);
  return L ? lua_gettop(L) - top : 0;
}

static const struct tg_op_kind kind_of_op = {.name = "ws:recv", .cancel = cancel, .finish = finish};

int tg_await_websocket_recv(lua_State *L) {
  struct tg_websocket *ws = tg_websocket_check(L, 1);
  tg_op_begin(L);
  if (ws->reader)
    tg_error_throw(L, "busy", "ws:recv: another task reads from this WebSocket right now");
  struct tg_slice bytes;
  enum tg_ws_opcode kind;
  if (tg_websocket_look(ws, &bytes, &kind) != TG_EAGAIN) return answer(L, ws);
  struct recv_op *waits = calloc(1, sizeof *waits);
  if (!waits) tg_error_throw(L, "out_of_memory", "ws:recv: no memory");
  tg_op_init(&waits->op, &kind_of_op);
  waits->ws = ws;
  tg_websocket_hold(ws);
  ws->reader = waits;
  ws->readable = on_readable;
  return tg_op_suspend(L, &waits->op);
}
