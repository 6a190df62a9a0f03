/* How long the turns of a loop take: what an event may have to wait at most.
 *
 * The loop notes each turn; any thread may read. Numbers are of the last ten to twenty seconds. */
#ifndef TG_LOOP_LAG_H
#define TG_LOOP_LAG_H

#include <stdatomic.h>
#include <stdint.h>

#define TG_LAG_BINS 80

struct tg_lag_window {
  atomic_ullong begun; /* monotonic nanoseconds; 0: never */
  atomic_ullong longest;
  atomic_uint bins[TG_LAG_BINS];
};

struct tg_lag {
  struct tg_lag_window windows[2];
  unsigned current; /* the loop's */
};

/* Cleared memory is one without turns. Loop's thread, at the end of a turn: it took so many
 * nanoseconds. */
void tg_lag_note(struct tg_lag *lag, uint64_t now, uint64_t took);

struct tg_lag_report {
  uint64_t turns;
  uint64_t p99, longest; /* nanoseconds; p99 is up to a fifth too high */
};

/* Any thread. */
void tg_lag_read(struct tg_lag *lag, uint64_t now, struct tg_lag_report *report);

#endif
