/* b:wait. */
#include "script/barrier.h"
#include "script/module.h"

/// Suspends until all have come; returns the place in the order of coming, and true for the last. ⏸
TG_AWAITABLE(barrier_wait)

static const struct tg_op_kind kind = {
    .name = "b:wait", .cancel = tg_wait_cancel, .finish = tg_wait_finish};

int tg_await_barrier_wait(lua_State *L) {
  struct tg_barrier *barrier = tg_barrier_check(L, kind.name);
  return tg_sync_await(L, &barrier->sync, TG_SYNC_TAKE, &kind);
}
