/* Worker threads: blocking exchanges and jobs run here, each with a Lua state and a loop of its
 * own.
 *
 * A pool has a size, a bounded queue and a longest wait. Threads start on first need and run at a
 * lower priority than loops. A slot is free when its thread is really done, not when the client has
 * been told 504. */
#ifndef TG_APP_WORKER_POOL_H
#define TG_APP_WORKER_POOL_H

#include <stdatomic.h>
#include <stdint.h>

#include "script/vm.h"
#include "server/exchange.h"

struct tg_generation;
struct tg_worker_pool;
struct tg_watch;

struct tg_worker_limits {
  char name[64]; /* "default", or the pool's name */
  unsigned size;
  unsigned queue;
  uint64_t max_wait; /* nanoseconds */
};

struct tg_worker_counters {
  unsigned size, started, busy, idle, queued;
  uint64_t done, refused;
};

/* `host` is borrowed. NULL when memory is gone. */
struct tg_worker_pool *tg_worker_pool_new(struct tg_host *host,
                                          const struct tg_worker_limits *limits);

/* On a loop's thread: gives the exchange (route's pool, generation's state) to a worker, or answers
 * 503 with Retry-After when the queue is full. The pool calls exchange->port->finish in the end.
 * The exchange waits at most max_wait in the queue (503 then), and its client gets 504 at the
 * route's timeout while the worker goes on. Must be called from the loop that owns the exchange. */
void tg_worker_pool_submit(struct tg_worker_pool *pool, struct tg_generation *generation,
                           struct tg_exchange *exchange);

/* Whom to tell when a worker's thread begins and ends, from that thread: the watchdog's door. */
void tg_worker_pool_set_watch(struct tg_worker_pool *pool,
                              void (*watch)(void *owner, struct tg_watch *watch, bool begins),
                              void *owner);

/* Other limits from now on (a new generation may say so). Threads that were started stay; of them,
 * no more than `size` have an exchange or a job. */
void tg_worker_pool_set_limits(struct tg_worker_pool *pool, const struct tg_worker_limits *limits);

/* Workers drop their states of generations before `current`, each when it is idle and nothing runs
 * on that state any more. Any thread. */
void tg_worker_pool_retire(struct tg_worker_pool *pool, struct tg_generation *current);

/* Refuses more, cancels what is queued and what runs, and joins the threads. Work after an answer
 * may go on for half of `grace` (nanoseconds) and is cancelled then. A thread that does not end
 * within `grace` is left behind: then false is returned, the pool's memory stays (it may be
 * closed again), and so must the loops, to whose mailboxes such a thread may still write. The loops
 * must be running, or have no exchange left; their mailboxes must be there until this returns. */
bool tg_worker_pool_close(struct tg_worker_pool *pool, uint64_t grace);

void tg_worker_pool_count(struct tg_worker_pool *pool, struct tg_worker_counters *out);

#endif
