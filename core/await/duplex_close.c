/* Closing a byte stream: what is queued goes out first, for a few seconds at most.
 *
 * It closes in any case: in a cancelled task, outside of any, and when the other side does not
 * read, it only drops what is left. It throws inside tg.atomic alone, where it may not wait. */
#include <lauxlib.h>
#include <stdlib.h>

#include "await/duplex.h"
#include "base/check.h"
#include "script/module.h"

/// For _core/duplex.lua: close(stream); idempotent.
TG_AWAITABLE(duplex_close)

#define LINGER (5 * TG_SECOND)

struct close_op {
  struct tg_op op;
  struct tg_duplex_room room;
  struct tg_timer timer;
  struct tg_timers *timers;
};

static void stop_waiting(struct close_op *waits) {
  struct tg_duplex *duplex = waits->room.duplex;
  tg_timer_stop(waits->timers, &waits->timer);
  tg_duplex_room_end(&waits->room);
  if (duplex) tg_duplex_close(duplex);
  tg_op_complete(&waits->op);
}

static void on_flushed(struct tg_duplex_room *room) {
  stop_waiting(TG_CONTAINER(room, struct close_op, room));
}

static void on_late(struct tg_timer *timer) {
  stop_waiting(TG_CONTAINER(timer, struct close_op, timer));
}

static void cancel(struct tg_op *op) {
  stop_waiting(TG_CONTAINER(op, struct close_op, op));
}

static int finish(struct tg_op *op, lua_State *L) {
  bool cancelled = op->cancelled;
  free(TG_CONTAINER(op, struct close_op, op));
  if (L && cancelled) tg_op_throw_cancelled(L);
  return 0;
}

static const struct tg_op_kind kind = {.name = "close", .cancel = cancel, .finish = finish};

static bool may_wait(lua_State *L, const struct tg_duplex *duplex) {
  struct tg_task *task = tg_vm_of(L)->running;
  return task && lua_isyieldable(L) && !tg_task_cancelled(task) && !duplex->broken &&
         !tg_duplex_writer_busy(duplex) && tg_duplex_queued(duplex) > 0;
}

int tg_await_duplex_close(lua_State *L) {
  struct tg_duplex_object *object = tg_duplex_check(L, 1);
  struct tg_duplex *duplex = object->duplex;
  if (!duplex) return 0;
  tg_duplex_say_end(duplex);
  bool will_wait = may_wait(L, duplex);
  if (will_wait) tg_op_begin(L);
  object->duplex = NULL;
  tg_owned_release(&object->owned);
  struct close_op *waits = will_wait ? calloc(1, sizeof *waits) : NULL;
  if (!waits) {
    tg_duplex_close(duplex);
    return 0;
  }
  tg_op_init(&waits->op, &kind);
  struct tg_loop *loop = tg_vm_of(L)->loop;
  waits->timers = &loop->timers;
  waits->room.ready = on_flushed;
  if (tg_timer_start(waits->timers, &waits->timer, tg_loop_time(loop) + LINGER, on_late)) {
    free(waits);
    tg_duplex_close(duplex);
    return 0;
  }
  tg_duplex_deafen(duplex);
  tg_duplex_room_wait(duplex, &waits->room);
  return tg_op_suspend(L, &waits->op);
}
