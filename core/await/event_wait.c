/* ev:wait. */
#include "script/event.h"
#include "script/module.h"

/// Suspends until the event is set. ⏸
TG_AWAITABLE(event_wait)

static const struct tg_op_kind kind = {
    .name = "ev:wait", .cancel = tg_wait_cancel, .finish = tg_wait_finish};

int tg_await_event_wait(lua_State *L) {
  struct tg_event *event = tg_event_check(L, kind.name);
  return tg_sync_await(L, &event->sync, TG_SYNC_TAKE, &kind);
}
