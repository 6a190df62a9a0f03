/* sem:acquire. */
#include "script/module.h"
#include "script/semaphore.h"

/// Takes a place; suspends while there is none. ⏸
TG_AWAITABLE(semaphore_acquire)

static const struct tg_op_kind kind = {
    .name = "sem:acquire", .cancel = tg_wait_cancel, .finish = tg_wait_finish};

int tg_await_semaphore_acquire(lua_State *L) {
  struct tg_semaphore *semaphore = tg_semaphore_check(L, kind.name);
  return tg_sync_await(L, &semaphore->sync, TG_SYNC_TAKE, &kind);
}
