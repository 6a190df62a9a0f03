/* Waiting until a scope is empty. Cancellation of the waiter does not end the wait: it reaches the
 * children, who end it soon, and no task may outlive its scope. Where no wait is possible, inside
 * of a C function, the scope is given up: its tasks are cancelled, and end in the scope around. */
#include <lauxlib.h>
#include <stdlib.h>

#include "base/check.h"
#include "script/error.h"
#include "script/module.h"
#include "script/nursery.h"
#include "script/task.h"

/// Suspends until every task of the scope has ended; without a scope, those that the task spawned.
/// True where it has waited: others may have started tasks in it meanwhile. Nothing where it is empty.
TG_AWAITABLE(scope_wait)

struct wait_op {
  struct tg_op op;
  struct tg_nursery *nursery;
};

static void cancel(struct tg_op *op) {
  struct wait_op *wait = TG_CONTAINER(op, struct wait_op, op);
  tg_scope_cancel(&wait->nursery->scope, tg_task_reason(op->task));
}

static int finish(struct tg_op *op, lua_State *L) {
  free(TG_CONTAINER(op, struct wait_op, op));
  if (!L) return 0;
  lua_pushboolean(L, true);
  return 1;
}

static const struct tg_op_kind kind = {.name = "tg.scope", .cancel = cancel, .finish = finish};

static void give_up(struct tg_task *task, const struct tg_nursery *nursery) {
  if (task && nursery->scope.guest == task && nursery != task->nest)
    tg_task_unwind(task, nursery->scope.parent);
}

/* A scope that was cancelled already is waited for all the same, so tg_op_begin is not asked. */
int tg_await_scope_wait(lua_State *L) {
  struct tg_task *task = tg_vm_of(L)->running;
  struct tg_nursery *nursery = task ? task->nest : NULL;
  if (!lua_isnoneornil(L, 1)) nursery = tg_nursery_check(L, 1);
  if (!nursery || nursery->scope.alive == 0) return 0;
  if (!task || !lua_isyieldable(L) || task->atomic) {
    give_up(task, nursery);
    tg_op_begin(L);
  }
  TG_CHECK(!nursery->waiter);
  struct wait_op *wait = malloc(sizeof *wait);
  if (!wait) {
    give_up(task, nursery);
    tg_error_throw(L, "out_of_memory", "no memory to wait for a scope");
  }
  tg_op_init(&wait->op, &kind);
  wait->nursery = nursery;
  nursery->waiter = &wait->op;
  return tg_op_suspend(L, &wait->op);
}
