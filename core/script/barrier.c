/* The last who comes serves all the others; see barrier.h. */
#include "script/barrier.h"

#include "base/check.h"

static bool ready(const struct tg_sync *sync, enum tg_sync_side side) {
  (void)side;
  return sync->waiting + 1 >= TG_CONTAINER(sync, const struct tg_barrier, sync)->parties;
}

/* -> its place in the order of coming, and true for the last, of whom there is exactly one */
static int take(lua_State *L, struct tg_sync *sync, enum tg_sync_side side, int object, int value) {
  (void)side, (void)object, (void)value;
  int place = 1;
  for (struct tg_waiter *waiter; (waiter = tg_sync_first(sync, TG_SYNC_TAKE)); place++) {
    waiter->wait->place = place;
    tg_waiter_serve(waiter, TG_SYNC_SERVED);
  }
  lua_pushinteger(L, place);
  lua_pushboolean(L, true);
  return 2;
}

const struct tg_sync_type tg_barrier_type = {
    .name = "barrier", .alone = true, .ready = ready, .take = take};

void tg_barrier_push(lua_State *L, int meta, unsigned parties) {
  struct tg_sync *sync = tg_sync_push(L, &tg_barrier_type, sizeof(struct tg_barrier), meta);
  TG_CONTAINER(sync, struct tg_barrier, sync)->parties = parties;
}

struct tg_barrier *tg_barrier_check(lua_State *L, const char *method) {
  return TG_CONTAINER(tg_sync_check(L, &tg_barrier_type, method), struct tg_barrier, sync);
}
