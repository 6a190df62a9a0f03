/* A counting semaphore of the whole process, with a queue: so many requests at once, and so many
 * that wait, first come, first served, whichever loop they are on.
 *
 * Who waits is told on his own loop by a letter. The ticket that stands in the queue is on the heap
 * and the gate's, so that a wait may be given up at any moment, also while its letter is on the
 * way: then the place goes to the next. */
#ifndef TG_UPSTREAM_GATE_H
#define TG_UPSTREAM_GATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/status.h"
#include "loop/loop.h"

struct tg_gate {
  pthread_mutex_t lock;
  uint32_t limit;  /* at once; 0: no limit, and nobody waits */
  uint32_t room;   /* that may wait */
  uint32_t inside; /* counted even without a limit */
  uint32_t waiting;
  struct tg_list queue; /* tickets */
  uint64_t refused;
};

struct tg_gate_ticket;

/* Embedded in what waits; belongs to one loop. */
struct tg_gate_wait {
  /* Once, from the loop, after TG_EAGAIN and unless it is cancelled: TG_OK, it is inside;
   * TG_ETIMEOUT, the deadline has come. */
  void (*ready)(struct tg_gate_wait *wait, tg_status status);
  struct tg_gate *gate;
  struct tg_loop *loop;
  struct tg_gate_ticket *ticket; /* NULL: it does not wait */
  struct tg_timer timer;
};

void tg_gate_init(struct tg_gate *gate);

/* Nobody may be inside or wait. */
void tg_gate_deinit(struct tg_gate *gate);

/* New limits; who fits in now is let in. */
void tg_gate_set(struct tg_gate *gate, uint32_t limit, uint32_t room);

/* TG_OK: inside; leave it once. TG_EAGAIN: wait->ready, which the caller has set, is called.
 * TG_EOVERLOAD: full, and the queue too; TG_ENOMEM. `deadline` is of the loop's clock; 0: none. */
TG_MUST_CHECK tg_status tg_gate_enter(struct tg_gate *gate, struct tg_loop *loop,
                                      struct tg_gate_wait *wait, uint64_t deadline);

/* The same for who does not wait. TG_OK; TG_EOVERLOAD: it is full, or others wait. Any thread. */
TG_MUST_CHECK tg_status tg_gate_try(struct tg_gate *gate);

/* Any thread. */
void tg_gate_leave(struct tg_gate *gate);

/* Gives a wait up: `ready` is not called, nothing is to be left, and the memory may go at once.
 * Harmless for one that has ended or never begun (all bytes 0). Own thread. */
void tg_gate_cancel(struct tg_gate_wait *wait);

#endif
