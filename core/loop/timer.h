/* Precise one-shot timers for tasks: a binary heap of deadlines behind one libuv timer.
 *
 * A timer is embedded in what waits; starting and stopping cost O(log n) and no system call, and
 * a stopped timer is gone at once (no close callback). For the many coarse deadlines of connections
 * see timer_wheel.h. */
#ifndef TG_LOOP_TIMER_H
#define TG_LOOP_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/status.h"

struct tg_loop_clock;

struct tg_timer {
  uint64_t due;   /* monotonic nanoseconds, of the loop's clock */
  uint64_t order; /* equal deadlines fire in order of starting */
  size_t slot;    /* place in the heap + 1; 0 while stopped */
  void (*fire)(struct tg_timer *timer);
};

struct tg_timers {
  struct tg_timer **heap;
  size_t count, cap;
  uint64_t next_order;
  uint64_t armed; /* what the libuv timer is set to; UINT64_MAX when it is stopped */
  const struct tg_loop_clock *clock; /* by which they are due; NULL: the process's own */
  uv_timer_t uv;
};

TG_MUST_CHECK tg_status tg_timers_init(struct tg_timers *timers, uv_loop_t *uv);

/* Its clock has jumped: looks at once what is due. */
void tg_timers_rearm(struct tg_timers *timers);

/* Stops all timers and begins to close the handle. */
void tg_timers_close(struct tg_timers *timers);

/* Starts `timer` (which must be stopped): `fire` runs from the event loop at or soon after `due`.
 * TG_ENOMEM. */
TG_MUST_CHECK tg_status tg_timer_start(struct tg_timers *timers, struct tg_timer *timer,
                                       uint64_t due, void (*fire)(struct tg_timer *));

/* Stops a timer; harmless when it is stopped. */
void tg_timer_stop(struct tg_timers *timers, struct tg_timer *timer);

static inline bool tg_timer_active(const struct tg_timer *timer) {
  return timer->slot != 0;
}

#endif
