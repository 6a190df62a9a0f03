/* The way from a condition's queue into its mutex's; see condition.h. */
#include "script/condition.h"

#include <lauxlib.h>

#include "base/check.h"

const struct tg_sync_type tg_condition_type = {.name = "condition", .alone = true};

void tg_condition_push(lua_State *L, int meta, int mutex) {
  struct tg_sync *held = tg_sync_find(L, mutex);
  struct tg_sync *sync = tg_sync_push(L, &tg_condition_type, sizeof(struct tg_condition), meta);
  TG_CONTAINER(sync, struct tg_condition, sync)->mutex = TG_CONTAINER(held, struct tg_mutex, sync);
  lua_createtable(L, 1, 0);  // .. condition env
  lua_pushvalue(L, mutex);
  lua_rawseti(L, -2, 1);
  lua_setfenv(L, -2);
}

struct tg_condition *tg_condition_check(lua_State *L, const char *method) {
  return TG_CONTAINER(tg_sync_check(L, &tg_condition_type, method), struct tg_condition, sync);
}

void tg_condition_relock(struct tg_waiter *waiter, struct tg_mutex *mutex) {
  struct tg_wait *wait = waiter->wait;
  tg_waiter_leave(waiter);
  wait->count = 0;
  tg_wait_join(wait, &mutex->sync, TG_SYNC_TAKE, 0);
  if (mutex->holder) return;
  tg_mutex_give(mutex, wait->op.task);
  tg_waiter_serve(waiter, TG_SYNC_SERVED);
}

unsigned tg_condition_notify(struct tg_condition *condition, unsigned count) {
  unsigned told = 0;
  struct tg_waiter *waiter;
  while (told < count && (waiter = tg_sync_first(&condition->sync, TG_SYNC_TAKE))) {
    tg_condition_relock(waiter, condition->mutex);
    told++;
  }
  return told;
}
