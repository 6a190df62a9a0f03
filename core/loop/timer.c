/* The heap behind timer.h. The libuv timer is only moved when the earliest deadline becomes
 * earlier, or when it fires: a deadline that was stopped or pushed back costs one early wake-up at
 * most, instead of a re-arm at every change. */
#include "loop/timer.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "loop/clock.h"

static uint64_t time_of(const struct tg_timers *timers) {
  return timers->clock ? tg_loop_clock_time(timers->clock) : tg_clock_now();
}

static bool before(const struct tg_timer *a, const struct tg_timer *b) {
  return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void place(struct tg_timers *timers, size_t i, struct tg_timer *timer) {
  timers->heap[i] = timer;
  timer->slot = i + 1;
}

static void sift_up(struct tg_timers *timers, size_t i) {
  struct tg_timer *timer = timers->heap[i];
  while (i > 0) {
    size_t parent = (i - 1) / 2;
    if (!before(timer, timers->heap[parent])) break;
    place(timers, i, timers->heap[parent]);
    i = parent;
  }
  place(timers, i, timer);
}

static void sift_down(struct tg_timers *timers, size_t i) {
  struct tg_timer *timer = timers->heap[i];
  for (;;) {
    size_t child = 2 * i + 1;
    if (child >= timers->count) break;
    if (child + 1 < timers->count && before(timers->heap[child + 1], timers->heap[child])) child++;
    if (!before(timers->heap[child], timer)) break;
    place(timers, i, timers->heap[child]);
    i = child;
  }
  place(timers, i, timer);
}

static void on_timer(uv_timer_t *uv);

static void arm(struct tg_timers *timers) {
  uint64_t first = timers->count ? timers->heap[0]->due : UINT64_MAX;
  if (first >= timers->armed) return;
  timers->armed = first;
  /* libuv's clock was read when the turn began and may lag behind; rounding up keeps us from early,
   * empty wake-ups, and from waiting less than was asked. */
  uv_update_time(timers->uv.loop);
  uint64_t now = time_of(timers);
  uint64_t wait = first > now ? (first - now + TG_MILLISECOND - 1) / TG_MILLISECOND : 0;
  uv_timer_start(&timers->uv, on_timer, wait, 0);
}

static void on_timer(uv_timer_t *uv) {
  struct tg_timers *timers = uv->data;
  uint64_t now = time_of(timers);
  timers->armed = UINT64_MAX;
  while (timers->count && timers->heap[0]->due <= now) {
    struct tg_timer *timer = timers->heap[0];
    tg_timer_stop(timers, timer);
    timer->fire(timer);
  }
  arm(timers);
}

void tg_timers_rearm(struct tg_timers *timers) {
  timers->armed = UINT64_MAX;
  arm(timers);
}

tg_status tg_timers_init(struct tg_timers *timers, uv_loop_t *uv) {
  *timers = (struct tg_timers){.armed = UINT64_MAX};
  tg_status status = uv_timer_init(uv, &timers->uv);
  timers->uv.data = timers;
  uv_unref((uv_handle_t *)&timers->uv);
  return status;
}

void tg_timers_close(struct tg_timers *timers) {
  TG_CHECK(timers->count == 0);
  free(timers->heap);
  timers->heap = NULL;
  timers->cap = 0;
  uv_close((uv_handle_t *)&timers->uv, NULL);
}

tg_status tg_timer_start(struct tg_timers *timers, struct tg_timer *timer, uint64_t due,
                         void (*fire)(struct tg_timer *)) {
  TG_CHECK(timer->slot == 0);
  if (timers->count == timers->cap) {
    size_t cap = timers->cap ? timers->cap * 2 : 64;
    struct tg_timer **heap = realloc(timers->heap, cap * sizeof(struct tg_timer *));
    if (!heap) return TG_ENOMEM;
    timers->heap = heap;
    timers->cap = cap;
  }
  timer->due = due;
  timer->order = timers->next_order++;
  timer->fire = fire;
  if (timers->count++ == 0) uv_ref((uv_handle_t *)&timers->uv);
  place(timers, timers->count - 1, timer);
  sift_up(timers, timers->count - 1);
  arm(timers);
  return TG_OK;
}

void tg_timer_stop(struct tg_timers *timers, struct tg_timer *timer) {
  if (timer->slot == 0) return;
  size_t i = timer->slot - 1;
  struct tg_timer *last = timers->heap[--timers->count];
  timer->slot = 0;
  if (timers->count == 0) uv_unref((uv_handle_t *)&timers->uv);
  if (last == timer) return;
  place(timers, i, last);
  if (i > 0 && before(last, timers->heap[(i - 1) / 2]))
    sift_up(timers, i);
  else
    sift_down(timers, i);
}
