/* Waiting until a nursery is empty. Cancellation of the waiter does not end the wait: the children,
 * who are inside the cancelled scope, end it soon, and no task may outlive its scope. */
#include <lauxlib.h>
#include <stdlib.h>

#include "script/error.h"
#include "script/module.h"
#include "script/nursery.h"

/// Suspends until every task of the scope has ended.
TG_AWAITABLE(scope_wait)

static void cancel(struct tg_op *op) {
  (void)op;
}

static int finish(struct tg_op *op, lua_State *L) {
  (void)L;
  free(op);
  return 0;
}

static const struct tg_op_kind kind = {.name = "tg.scope", .cancel = cancel, .finish = finish};

int tg_await_scope_wait(lua_State *L) {
  struct tg_nursery *nursery = tg_nursery_check(L, 1);
  if (!nursery || nursery->scope.alive == 0) return 0;
  if (nursery->waiter) tg_error_throw(L, "busy", "another task waits for this scope already");
  if (!tg_vm_of(L)->running || !lua_isyieldable(L)) tg_op_begin(L);
  struct tg_op *op = malloc(sizeof *op);
  if (!op) tg_error_throw(L, "out_of_memory", "no memory to wait for a scope");
  tg_op_init(op, &kind);
  nursery->waiter = op;
  return tg_op_suspend(L, op);
}
