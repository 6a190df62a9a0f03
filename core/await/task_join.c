/* task:join(): waiting for the end of a child. Any number of tasks may wait for the same one. */
#include <lauxlib.h>
#include <stdlib.h>

#include "base/check.h"
#include "script/child.h"
#include "script/error.h"
#include "script/module.h"
#include "script/task.h"

/// Suspends until the task has ended.
TG_AWAITABLE(task_join)

static void cancel(struct tg_op *op) {
  tg_list_remove(&TG_CONTAINER(op, struct tg_child_joiner, op)->link);
  tg_op_complete(op);
}

static int finish(struct tg_op *op, lua_State *L) {
  bool cancelled = op->cancelled;
  free(TG_CONTAINER(op, struct tg_child_joiner, op));
  if (L && cancelled) tg_op_throw_cancelled(L);
  return 0;
}

static const struct tg_op_kind kind = {.name = "task:join", .cancel = cancel, .finish = finish};

int tg_await_task_join(lua_State *L) {
  struct tg_child *child = tg_child_check(L, 1);
  struct tg_task *task = tg_op_begin(L);
  if (!child->task) return 0;
  if (child->task == task || child->task->runner == task)
    tg_error_throw(L, "deadlock", "task:join: a task cannot wait for its own end");
  struct tg_child_joiner *joiner = malloc(sizeof *joiner);
  if (!joiner) tg_error_throw(L, "out_of_memory", "task:join: no memory");
  tg_op_init(&joiner->op, &kind);
  tg_list_init(&joiner->link);
  tg_list_append(&child->link, &joiner->link);
  return tg_op_suspend(L, &joiner->op);
}
