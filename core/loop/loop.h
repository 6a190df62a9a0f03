/* One thread's event loop: a libuv loop, its clock, its ready list, its timers and its mailbox.
 *
 * A turn of the loop is: timers, jobs, flushes, wait for events, jobs, flushes. Event callbacks
 * never run user code: they post a job (tg_loop_post), and jobs run first in, first out between the
 * events, at most as many a round as were posted before it began, so that busy jobs cannot starve
 * the sockets. Heavy jobs (tg_loop_post_heavy) cost much each, and there may be many at once: a
 * turn runs them for TG_LOOP_HEAVY_TIME, before it looks for events, and leaves the rest for the
 * next one. Flush jobs run after the jobs of their round: that is when the answers of one tick go
 * out in one write. */
#ifndef TG_LOOP_LOOP_H
#define TG_LOOP_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/status.h"
#include "loop/clock.h"
#include "loop/lag.h"
#include "loop/mailbox.h"
#include "loop/timer.h"
#include "loop/timer_wheel.h"

struct tg_resolver;

/* Something to do soon; embedded in what it is about. */
struct tg_loop_job {
  struct tg_list link;
  void (*run)(struct tg_loop_job *job);
};

/* Something that hangs from a loop and ends with it, of a layer that the loop does not know;
 * embedded in it, and found by its function. */
struct tg_loop_annex {
  struct tg_list link;
  /* In tg_loop_deinit, before handles are counted: closes what is open, and may free itself then or
   * from the close callbacks. */
  void (*close)(struct tg_loop_annex *annex);
};

#define TG_LOOP_SCRATCH 65536
#define TG_LOOP_SPARES  64

/* From then on no further heavy job is begun in a turn. */
#define TG_LOOP_HEAVY_TIME TG_MILLISECOND

struct tg_loop {
  uv_loop_t uv;
  uv_prepare_t prepare;
  uv_check_t check;
  uv_idle_t idle;
  struct tg_list ready;   /* jobs in order of posting */
  struct tg_list heavy;   /* likewise, those that cost much */
  struct tg_list flushes; /* after the jobs of a round */
  bool idling;
  bool scratch_lent;
  uint64_t now;   /* monotonic nanoseconds, read once a turn */
  uint64_t woken; /* when the present turn began; 0 before the first */
  struct tg_lag lag;
  struct tg_loop_clock *fake; /* tests: the clock of its timers; NULL: the process's own */
  struct tg_timers timers;
  struct tg_wheel wheel;
  struct tg_mailbox mailbox;
  uint64_t date_second; /* wall second that `date` shows */
  char date[TG_HTTP_DATE_LEN + 1];
  struct tg_resolver *resolver; /* made at first use (resolver.h) */
  struct tg_list programs;      /* processes (program.h) */
  struct tg_list annexes;       /* tg_loop_annex */
  char *scratch; /* TG_LOOP_SCRATCH bytes, lent to one reader at a time, inside one callback */
  struct tg_buffer spares[TG_LOOP_SPARES]; /* memory of emptied output buffers, to be used again */
  unsigned spare_count;
  unsigned index; /* 0-based number of the loop within the process, for logs */
};

/* Prepares a loop. TG_ENOMEM or a libuv code; nothing is left behind then. */
TG_MUST_CHECK tg_status tg_loop_init(struct tg_loop *loop, unsigned index);

/* Runs until tg_loop_stop, or until nothing is left that could wake it. */
void tg_loop_run(struct tg_loop *loop);

/* Makes tg_loop_run return after this turn. Own thread only. */
void tg_loop_stop(struct tg_loop *loop);

/* Closes the loop's own handles, runs the close callbacks, and proves that nothing else was left
 * open: a handle that somebody forgot fails TG_CHECK by its kind. */
void tg_loop_deinit(struct tg_loop *loop);

/* Puts a job at the end of the ready list. A job that is posted already stays where it is. */
void tg_loop_post(struct tg_loop *loop, struct tg_loop_job *job);

/* Puts a job at the end of the list of heavy ones, once: a handshake's step, for instance. */
void tg_loop_post_heavy(struct tg_loop *loop, struct tg_loop_job *job);

/* Puts a job on the flush list, once. */
void tg_loop_post_flush(struct tg_loop *loop, struct tg_loop_job *job);

/* Prepares a job that is in no list. */
static inline void tg_loop_job_init(struct tg_loop_job *job, void (*run)(struct tg_loop_job *)) {
  tg_list_init(&job->link);
  job->run = run;
}

/* Takes a job off whichever list it is on. */
static inline void tg_loop_job_remove(struct tg_loop_job *job) {
  tg_list_remove(&job->link);
}

/* Hangs it from the loop. What was attached last is closed first. */
void tg_loop_attach(struct tg_loop *loop, struct tg_loop_annex *annex);

/* The one with that function; NULL: none. */
struct tg_loop_annex *tg_loop_annex_of(struct tg_loop *loop,
                                       void (*close)(struct tg_loop_annex *annex));

/* Date for an HTTP head, at most a second old. */
const char *tg_loop_date(struct tg_loop *loop);

/* Gives an empty buffer memory of a spare one, if there is one. */
static inline void tg_loop_lend_buffer(struct tg_loop *loop, struct tg_buffer *buffer) {
  if (!buffer->data && loop->spare_count) *buffer = loop->spares[--loop->spare_count];
}

/* Takes the memory of an emptied buffer back, so that idle streams hold none. */
void tg_loop_take_buffer(struct tg_loop *loop, struct tg_buffer *buffer);

/* Gives the loop a fake clock, or with NULL the process's own back; `clock` is the caller's, and no
 * timer may be active. With a fake one, a turn that nothing could end does not wait. */
void tg_loop_set_clock(struct tg_loop *loop, struct tg_loop_clock *clock);

/* The loop's clock, read now: every deadline for tg_timer_start is made of it. */
static inline uint64_t tg_loop_time(const struct tg_loop *loop) {
  return loop->fake ? tg_loop_clock_time(loop->fake) : tg_clock_now();
}

/* Nanoseconds since 1970, by the loop's clock. */
static inline uint64_t tg_loop_wall(const struct tg_loop *loop) {
  return loop->fake ? tg_loop_clock_wall(loop->fake) : tg_clock_wall();
}

/* Is something under way that does not come from this loop alone: an active handle or a request of
 * libuv besides the loop's own? Letters of other threads are not foreseen. Own thread. */
bool tg_loop_waits_outside(struct tg_loop *loop);

/* Has nothing to do and nothing to wait for: no job, no timer, nothing outside. Own thread. */
bool tg_loop_idle(struct tg_loop *loop);

/* When the loop has last woken up, or begun a round of jobs: what runs now has begun after that.
 * Real time, even with a fake clock; own thread, and its signal handlers. */
static inline uint64_t tg_loop_woken(const struct tg_loop *loop) {
  uint64_t polled = uv_now(&loop->uv) * TG_MILLISECOND;
  return polled > loop->now ? polled : loop->now;
}

/* Reads the clock anew; for code that has just spent time. */
static inline void tg_loop_update(struct tg_loop *loop) {
  loop->now = tg_clock_now();
}

#endif
