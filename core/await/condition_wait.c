/* c:wait. It does not end before the task holds the mutex again, cancelled or not, because what
 * follows, a cleanup as well, counts on it. So the wait has up to three stations: the condition's
 * queue, the mutex's, and its end. */
#include <lauxlib.h>

#include "base/check.h"
#include "script/condition.h"
#include "script/error.h"
#include "script/module.h"
#include "script/vm.h"

/// Lets go of the mutex, suspends until it is notified, and holds the mutex again. ⏸
/// Errors: `not_owner` when the task does not hold the mutex.
TG_AWAITABLE(condition_wait)

/* Who was notified already has the mutex coming, and its value beats the cancellation. */
static void cancel(struct tg_op *op) {
  struct tg_wait *wait = TG_CONTAINER(op, struct tg_wait, op);
  struct tg_waiter *waiter = &wait->waiters[0];
  if (!waiter->on || op->abandoned) {
    tg_wait_cancel(op);
  } else if (waiter->on->type == &tg_condition_type) {
    struct tg_condition *condition = TG_CONTAINER(waiter->on, struct tg_condition, sync);
    wait->unnotified = true;
    tg_condition_relock(waiter, condition->mutex);
  }
}

static int finish(struct tg_op *op, lua_State *L) {
  bool cancelled = TG_CONTAINER(op, struct tg_wait, op)->unnotified;
  tg_wait_finish(op, L);
  if (L && cancelled) tg_op_throw_cancelled(L);
  return 0;
}

static const struct tg_op_kind kind = {.name = "c:wait", .cancel = cancel, .finish = finish};

int tg_await_condition_wait(lua_State *L) {
  struct tg_condition *condition = tg_condition_check(L, kind.name);
  tg_op_begin(L);
  tg_mutex_check_held(L, condition->mutex, kind.name);
  struct tg_wait *wait = tg_wait_new(condition->sync.vm, &kind, 1, LUA_NOREF);
  if (!wait) tg_error_throw(L, "out_of_memory", "c:wait: no memory");
  tg_wait_join(wait, &condition->sync, TG_SYNC_TAKE, 0);
  tg_mutex_release(condition->mutex);
  return tg_op_suspend(L, &wait->op);
}
