/* tg.sleep: the simplest awaitable, and the model of the others: start, event, finish, cancel. */
#include <lauxlib.h>
#include <stdlib.h>

#include "base/check.h"
#include "script/error.h"
#include "script/module.h"
#include "script/task.h"

/// Suspends the task for `seconds` (0 lets others run first); precise to a millisecond. ⏸
/// @param seconds number at least 0, at most 1e9
/// function tg.sleep(seconds) end
TG_AWAITABLE(sleep)

struct sleep_op {
  struct tg_op op;
  struct tg_timer timer;
};

static void on_due(struct tg_timer *timer) {
  tg_op_complete(&TG_CONTAINER(timer, struct sleep_op, timer)->op);
}

static void cancel(struct tg_op *op) {
  struct sleep_op *sleep = TG_CONTAINER(op, struct sleep_op, op);
  tg_timer_stop(&op->task->vm->loop->timers, &sleep->timer);
  tg_op_complete(op);
}

static int finish(struct tg_op *op, lua_State *L) {
  bool cancelled = op->cancelled;
  free(TG_CONTAINER(op, struct sleep_op, op));
  if (L && cancelled) tg_op_throw_cancelled(L);
  return 0;
}

static const struct tg_op_kind kind = {.name = "tg.sleep", .cancel = cancel, .finish = finish};

int tg_await_sleep(lua_State *L) {
  lua_Number seconds = lua_tonumber(L, 1);
  if (!lua_isnumber(L, 1))
    tg_error_misuse(L, "tg.sleep: seconds expected, got %s", luaL_typename(L, 1));
  if (!(seconds >= 0 && seconds <= 1e9))
    tg_error_misuse(L, "tg.sleep: seconds from 0 to 1e9 expected, got %g", seconds);
  struct tg_vm *vm = tg_vm_of(L);
  if (seconds == 0) return tg_op_yield(L);
  tg_op_begin(L);
  struct sleep_op *sleep = calloc(1, sizeof *sleep);
  if (!sleep) tg_error_throw(L, "out_of_memory", "tg.sleep: no memory");
  tg_op_init(&sleep->op, &kind);
  uint64_t due = tg_loop_time(vm->loop) + (uint64_t)(seconds * 1e9);
  if (tg_timer_start(&vm->loop->timers, &sleep->timer, due, on_due)) {
    free(sleep);
    tg_error_throw(L, "out_of_memory", "tg.sleep: no memory");
  }
  return tg_op_suspend(L, &sleep->op);
}
