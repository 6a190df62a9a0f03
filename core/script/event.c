/* A flag; see event.h. Who was woken by it goes on, even if it is cleared before its turn comes. */
#include "script/event.h"

#include "base/check.h"

static bool ready(const struct tg_sync *sync, enum tg_sync_side side) {
  (void)side;
  return TG_CONTAINER(sync, const struct tg_event, sync)->set;
}

static int take(lua_State *L, struct tg_sync *sync, enum tg_sync_side side, int object, int value) {
  (void)L, (void)sync, (void)side, (void)object, (void)value;
  return 0;
}

const struct tg_sync_type tg_event_type = {.name = "event", .ready = ready, .take = take};

void tg_event_push(lua_State *L, int meta) {
  tg_sync_push(L, &tg_event_type, sizeof(struct tg_event), meta);
}

struct tg_event *tg_event_check(lua_State *L, const char *method) {
  return TG_CONTAINER(tg_sync_check(L, &tg_event_type, method), struct tg_event, sync);
}

void tg_event_set(struct tg_event *event) {
  struct tg_waiter *waiter;
  event->set = true;
  while ((waiter = tg_sync_first(&event->sync, TG_SYNC_TAKE)))
    tg_waiter_serve(waiter, TG_SYNC_SERVED);
}
