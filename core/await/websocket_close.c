/* ws:close: sends a Close and waits for the client's, for a few seconds at most.
 *
 * It closes in any case; where it may not wait, as in a cancelled task, the rest of the handshake
 * goes on without it. */
#include <lauxlib.h>
#include <stdlib.h>

#include "await/websocket.h"
#include "base/check.h"
#include "script/module.h"
#include "script/task.h"

/// For _core/websocket.lua: close(ws, code, reason); idempotent.
TG_AWAITABLE(websocket_close)

struct close_op {
  struct tg_op op;
  struct tg_ws_wait wait;
};

static void on_end(struct tg_ws_wait *wait) {
  tg_op_complete(&TG_CONTAINER(wait, struct close_op, wait)->op);
}

static void cancel(struct tg_op *op) {
  tg_list_remove(&TG_CONTAINER(op, struct close_op, op)->wait.link);
  tg_op_complete(op);
}

static int finish(struct tg_op *op, lua_State *L) {
  bool cancelled = op->cancelled;
  free(TG_CONTAINER(op, struct close_op, op));
  if (L && cancelled) tg_op_throw_cancelled(L);
  return 0;
}

static const struct tg_op_kind kind = {.name = "ws:close", .cancel = cancel, .finish = finish};

static bool may_wait(lua_State *L) {
  struct tg_task *task = tg_vm_of(L)->running;
  return task && lua_isyieldable(L) && !tg_task_cancelled(task);
}

int tg_await_websocket_close(lua_State *L) {
  struct tg_websocket *ws = tg_websocket_check(L, 1);
  struct tg_slice reason;
  lua_Integer code = luaL_checkinteger(L, 2);
  reason.ptr = luaL_checklstring(L, 3, &reason.len);
  bool waits_for_it = may_wait(L) && ws->state != TG_WEBSOCKET_OVER;
  if (waits_for_it) tg_op_begin(L);
  tg_websocket_close(ws, (unsigned)code, reason);
  struct close_op *waits = waits_for_it ? calloc(1, sizeof *waits) : NULL;
  if (!waits) return 0;
  tg_op_init(&waits->op, &kind);
  waits->wait.done = on_end;
  tg_list_init(&waits->wait.link);
  if (tg_websocket_wait(ws, &waits->wait)) return tg_op_suspend(L, &waits->op);
  free(waits);
  return 0;
}
