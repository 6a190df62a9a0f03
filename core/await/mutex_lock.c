/* m:lock. */
#include "script/module.h"
#include "script/mutex.h"

/// Locks the mutex; suspends while another task holds it. ⏸
/// Errors: `deadlock` when the task itself holds it.
TG_AWAITABLE(mutex_lock)

static const struct tg_op_kind kind = {
    .name = "m:lock", .cancel = tg_wait_cancel, .finish = tg_wait_finish};

int tg_await_mutex_lock(lua_State *L) {
  struct tg_mutex *mutex = tg_mutex_check(L, kind.name);
  tg_mutex_check_not_held(L, mutex, kind.name);
  return tg_sync_await(L, &mutex->sync, TG_SYNC_TAKE, &kind);
}
