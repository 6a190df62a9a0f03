/* p:wait(): any number of tasks may wait for the end of one process. */
#include <lauxlib.h>
#include <stdlib.h>

#include "await/process_object.h"
#include "base/check.h"
#include "script/error.h"
#include "script/module.h"

/// For tidegate.process: wait(process) -> exit status or nil, signal or nil.
TG_AWAITABLE(process_wait)

static void cancel(struct tg_op *op) {
  tg_list_remove(&TG_CONTAINER(op, struct tg_process_waiter, op)->link);
  tg_op_complete(op);
}

__attribute__((noreturn)) static void fail(lua_State *L) {
  tg_error_throw(L, "closed", "process:wait: the process was ended with its request");
}

static int finish(struct tg_op *op, lua_State *L) {
  struct tg_process_waiter waiter = *TG_CONTAINER(op, struct tg_process_waiter, op);
  free(TG_CONTAINER(op, struct tg_process_waiter, op));
  if (!L) return 0;
  if (waiter.ended) return tg_process_push_end(L, waiter.exit_code, waiter.exit_signal);
  if (waiter.op.cancelled) tg_op_throw_cancelled(L);
  fail(L);
}

static const struct tg_op_kind kind = {.name = "process:wait", .cancel = cancel, .finish = finish};

int tg_await_process_wait(lua_State *L) {
  struct tg_process_handle *handle = tg_process_check(L, 1);
  tg_op_begin(L);
  if (handle->ended) return tg_process_push_end(L, handle->exit_code, handle->exit_signal);
  if (!handle->program) fail(L);
  struct tg_process_waiter *waiter = calloc(1, sizeof *waiter);
  if (!waiter) tg_error_throw(L, "out_of_memory", "process:wait: no memory");
  tg_op_init(&waiter->op, &kind);
  tg_list_append(&handle->waiters, &waiter->link);
  return tg_op_suspend(L, &waiter->op);
}
