/* The stall report: one log line for each place where Lua keeps a loop for longer than limits.slow.
 *
 * The watchdog and the hook find such a step (script/watch.h); what is told, and how often, is
 * decided here, on the loop's own thread. A place that was told is only counted for a while. */
#ifndef TG_APP_STALL_H
#define TG_APP_STALL_H

#include <stdatomic.h>

#include "script/watch.h"

#define TG_STALL_PLACES 32

struct tg_stall_place {
  char place[TG_PLACE_MAX];
  uint64_t told;     /* monotonic; 0: this row is free */
  uint64_t repeated; /* since then */
};

struct tg_stall {
  struct tg_watch watch; /* first: the thread's */
  atomic_ullong steps;   /* slow ones so far */
  struct tg_stall_place places[TG_STALL_PLACES];
};

/* Before the thread is watched. `after`: nanoseconds; 0: nothing is reported. */
void tg_stall_init(struct tg_stall *stall, uint64_t after);

#endif
