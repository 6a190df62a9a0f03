/* A number of places; see semaphore.h. While somebody waits, none is free. */
#include "script/semaphore.h"

#include "base/check.h"

static bool ready(const struct tg_sync *sync, enum tg_sync_side side) {
  (void)side;
  return TG_CONTAINER(sync, const struct tg_semaphore, sync)->free > 0;
}

static int take(lua_State *L, struct tg_sync *sync, enum tg_sync_side side, int object, int value) {
  (void)L, (void)side, (void)object, (void)value;
  TG_CONTAINER(sync, struct tg_semaphore, sync)->free--;
  return 0;
}

const struct tg_sync_type tg_semaphore_type = {.name = "semaphore", .ready = ready, .take = take};

void tg_semaphore_push(lua_State *L, int meta, unsigned places) {
  struct tg_sync *sync = tg_sync_push(L, &tg_semaphore_type, sizeof(struct tg_semaphore), meta);
  struct tg_semaphore *semaphore = TG_CONTAINER(sync, struct tg_semaphore, sync);
  semaphore->places = semaphore->free = places;
}

struct tg_semaphore *tg_semaphore_check(lua_State *L, const char *method) {
  return TG_CONTAINER(tg_sync_check(L, &tg_semaphore_type, method), struct tg_semaphore, sync);
}

bool tg_semaphore_release(struct tg_semaphore *semaphore) {
  struct tg_waiter *next = tg_sync_first(&semaphore->sync, TG_SYNC_TAKE);
  if (next) {
    tg_waiter_serve(next, TG_SYNC_SERVED);
    return true;
  }
  if (semaphore->free == semaphore->places) return false;
  semaphore->free++;
  return true;
}
