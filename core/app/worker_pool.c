/* The queue, and who takes from it. What a worker does is app/worker.c.
 *
 * One lock guards the queue, the list of idle workers and the counters; it is held for a few
 * pointers, or to start a thread. A submission summons a worker (an idle one, else a new thread)
 * only where more wait than were summoned; a worker that ends its exchange looks at the queue
 * first, whoever was summoned. */
#include "app/worker_pool.h"

#include <stdlib.h>

#include "app/crossing.h"
#include "app/generation.h"
#include "app/proxy.h"
#include "app/worker.h"
#include "app/worker_job.h"
#include "base/check.h"
#include "base/log_record.h"

struct tg_worker_pool *tg_worker_pool_new(struct tg_host *host,
                                          const struct tg_worker_limits *limits) {
  struct tg_worker_pool *pool = calloc(1, sizeof *pool);
  if (!pool) return NULL;
  pool->host = host;
  pool->limits = *limits;
  tg_list_init(&pool->queue);
  tg_list_init(&pool->idle);
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(&pool->changed, &attr);
  pthread_condattr_destroy(&attr);
  pthread_mutex_init(&pool->lock, NULL);
  return pool;
}

void tg_worker_pool_set_watch(struct tg_worker_pool *pool,
                              void (*watch)(void *owner, struct tg_watch *watch, bool begins),
                              void *owner) {
  pool->watch = watch;
  pool->watch_owner = owner;
}

/* ---- summoning (under the lock) ---- */

static void wake(struct tg_worker *worker) {
  if (worker->wake_posted) return;
  worker->wake_posted = tg_mailbox_post(&worker->loop.mailbox, &worker->wake) == TG_OK;
}

static bool add_worker(struct tg_worker_pool *pool) {
  struct tg_worker *worker = tg_worker_new(pool, pool->started);
  if (!worker) return false;
  worker->summoned = true;
  worker->next = pool->workers;
  if (tg_worker_start(worker)) {
    tg_worker_free(worker);
    return false;
  }
  pool->workers = worker;
  pool->started++;
  pool->alive++;
  return true;
}

/* Does its thread run Lua now? It has no exchange, but work that was left for after an answer. */
static bool works(struct tg_worker *worker) {
  return atomic_load_explicit(&worker->watch.turns, memory_order_relaxed) % 2 == 1;
}

/* The last to be idle that can come at once; where none can and no other one may be started, the
 * last to be idle. */
static struct tg_worker *choose(struct tg_worker_pool *pool) {
  for (struct tg_list *link = pool->idle.next; link != &pool->idle; link = link->next) {
    struct tg_worker *worker = TG_CONTAINER(link, struct tg_worker, link);
    if (!works(worker)) return worker;
  }
  bool none = tg_list_empty(&pool->idle) || pool->started < pool->limits.size;
  return none ? NULL : TG_CONTAINER(pool->idle.next, struct tg_worker, link);
}

/* False: nobody is there who will ever look at the queue. */
static bool summon(struct tg_worker_pool *pool) {
  if (pool->queued <= pool->coming || pool->busy + pool->coming >= pool->limits.size) return true;
  struct tg_worker *worker = choose(pool);
  if (worker) {
    tg_list_remove(&worker->link);
    worker->summoned = true;
    wake(worker);
  } else if (pool->started >= pool->limits.size || !add_worker(pool)) {
    return pool->alive > 0;
  }
  pool->coming++;
  return true;
}

static bool full(const struct tg_worker_pool *pool) {
  return pool->closing || pool->busy + pool->queued >= pool->limits.size + pool->limits.queue;
}

/* Under the lock. False: there is no room for it. */
static bool append(struct tg_worker_pool *pool, struct tg_worker_item *item) {
  if (full(pool)) return false;
  tg_list_append(&pool->queue, &item->link);
  pool->queued++;
  if (summon(pool)) return true;
  tg_list_remove(&item->link);
  pool->queued--;
  return false;
}

bool tg_worker_pool_attach(struct tg_worker_pool *pool, struct tg_worker_item *item) {
  pthread_mutex_lock(&pool->lock);
  bool room = append(pool, item);
  if (room)
    pool->attached++;
  else
    pool->refused++;
  pthread_mutex_unlock(&pool->lock);
  return room;
}

bool tg_worker_pool_withdraw(struct tg_worker_pool *pool, struct tg_worker_item *item) {
  pthread_mutex_lock(&pool->lock);
  bool waits = !tg_list_empty(&item->link);
  tg_list_remove(&item->link);
  if (waits) pool->queued--;
  pthread_mutex_unlock(&pool->lock);
  return waits;
}

uint64_t tg_worker_pool_max_wait(struct tg_worker_pool *pool) {
  pthread_mutex_lock(&pool->lock);
  uint64_t max_wait = pool->limits.max_wait;
  pthread_mutex_unlock(&pool->lock);
  return max_wait;
}

/* ---- the crossings' side ---- */

static bool queue(struct tg_crossing *crossing) {
  struct tg_worker_pool *pool = crossing->owner;
  pthread_mutex_lock(&pool->lock);
  bool room = append(pool, &crossing->item);
  pthread_mutex_unlock(&pool->lock);
  return room;
}

static bool withdraw(struct tg_crossing *crossing) {
  return tg_worker_pool_withdraw(crossing->owner, &crossing->item);
}

void tg_worker_pool_detach(struct tg_worker_pool *pool, bool refused) {
  pthread_mutex_lock(&pool->lock);
  if (refused) pool->refused++;
  if (--pool->attached == 0) pthread_cond_broadcast(&pool->changed);
  pthread_mutex_unlock(&pool->lock);
}

static void left(struct tg_crossing *crossing, bool refused) {
  tg_worker_pool_detach(crossing->owner, refused);
}

static void late(struct tg_crossing *crossing) {
  struct tg_worker_pool *pool = crossing->owner;
  struct tg_log *log = pool->host->log;
  if (!log || !tg_log_enabled(log, TG_LOG_WARN)) return;
  struct tg_exchange *exchange = crossing->original;
  char id[40];
  struct tg_log_record record;
  tg_log_record_begin(&record, log, TG_LOG_WARN,
                      TG_SLICE("the client was told 504; the worker is taken until it is done"));
  tg_log_record_text(&record, "route", exchange->route->name);
  tg_log_record_text(&record, "request", tg_slice(id, tg_exchange_id(exchange, id)));
  tg_log_record_text(&record, "pool", tg_slice_cstr(pool->limits.name));
  tg_log_record_end(&record, log);
}

static const struct tg_crossing_ops crossing_ops = {
    .queue = queue, .withdraw = withdraw, .late = late, .left = left};

void tg_worker_pool_submit(struct tg_worker_pool *pool, struct tg_generation *generation,
                           struct tg_exchange *exchange) {
  pthread_mutex_lock(&pool->lock);
  uint64_t max_wait = pool->limits.max_wait;
  bool refused = full(pool);
  if (refused)
    pool->refused++;
  else
    pool->attached++;
  pthread_mutex_unlock(&pool->lock);
  if (!refused && tg_crossing_start(exchange, generation, &crossing_ops, pool, max_wait)) return;
  if (!refused) tg_worker_pool_detach(pool, true);
  tg_crossing_refuse(exchange, max_wait);
  exchange->port->finish(exchange);
}

/* ---- the workers' side ---- */

static void come(struct tg_worker_pool *pool, struct tg_worker *worker) {
  if (!worker->summoned) return;
  worker->summoned = false;
  pool->coming--;
}

struct tg_worker_item *tg_worker_pool_take(struct tg_worker_pool *pool, struct tg_worker *worker) {
  struct tg_worker_item *item = NULL;
  pthread_mutex_lock(&pool->lock);
  tg_list_remove(&worker->link);
  come(pool, worker);
  struct tg_list *link = pool->busy < pool->limits.size ? tg_list_take_first(&pool->queue) : NULL;
  if (link) {
    item = TG_CONTAINER(link, struct tg_worker_item, link);
    item->worker = worker;
    pool->queued--;
    pool->busy++;
  } else if (tg_worker_is_free(worker)) {
    tg_list_prepend(&pool->idle, &worker->link);
  } else { /* what it still has to do may block it at any time: it is the last to be asked */
    tg_list_append(&pool->idle, &worker->link);
  }
  worker->current = pool->current;
  pthread_mutex_unlock(&pool->lock);
  return item;
}

void tg_worker_pool_claim(struct tg_worker_pool *pool, struct tg_worker *worker) {
  pthread_mutex_lock(&pool->lock);
  tg_list_remove(&worker->link);
  come(pool, worker);
  (void)summon(pool); /* another one, if it was wanted */
  pthread_mutex_unlock(&pool->lock);
}

void tg_worker_pool_done(struct tg_worker_pool *pool) {
  pthread_mutex_lock(&pool->lock);
  pool->busy--;
  pool->done++;
  pthread_mutex_unlock(&pool->lock);
}

/* ---- control ---- */

void tg_worker_pool_set_limits(struct tg_worker_pool *pool, const struct tg_worker_limits *limits) {
  pthread_mutex_lock(&pool->lock);
  pool->limits.size = limits->size;
  pool->limits.queue = limits->queue;
  pool->limits.max_wait = limits->max_wait;
  for (unsigned i = pool->queued; i; i--) (void)summon(pool); /* there may be room for more */
  pthread_mutex_unlock(&pool->lock);
}

void tg_worker_pool_retire(struct tg_worker_pool *pool, struct tg_generation *current) {
  pthread_mutex_lock(&pool->lock);
  pool->current = current->number;
  for (struct tg_list *link = pool->idle.next; link != &pool->idle; link = link->next)
    wake(TG_CONTAINER(link, struct tg_worker, link));
  pthread_mutex_unlock(&pool->lock);
}

void tg_worker_pool_count(struct tg_worker_pool *pool, struct tg_worker_counters *out) {
  pthread_mutex_lock(&pool->lock);
  *out = (struct tg_worker_counters){.size = pool->limits.size,
                                     .started = pool->started,
                                     .busy = pool->busy,
                                     .queued = pool->queued,
                                     .done = pool->done,
                                     .refused = pool->refused};
  for (struct tg_list *link = pool->idle.next; link != &pool->idle; link = link->next) out->idle++;
  pthread_mutex_unlock(&pool->lock);
}

/* Under the lock. A letter of the gentle kind that nobody has opened yet becomes a harsh one. */
static void cancel_all(struct tg_worker_pool *pool, bool harsh) {
  for (struct tg_worker *worker = pool->workers; worker; worker = worker->next) {
    worker->harsh = harsh;
    if (worker->ended || worker->cancel_posted) continue;
    worker->cancel_posted = tg_mailbox_post(&worker->loop.mailbox, &worker->cancel) == TG_OK;
  }
}

/* Under the lock. */
static void turn_away(struct tg_worker_item *item) {
  if (item->is_job)
    tg_worker_job_turn_away(TG_CONTAINER(item, struct tg_worker_job, item));
  else
    tg_crossing_turn_away(TG_CONTAINER(item, struct tg_crossing, item));
}

/* Under the lock: until all threads have ended and all exchanges were given back, or `until`. */
static bool wait_for_end(struct tg_worker_pool *pool, uint64_t until) {
  struct timespec at = {.tv_sec = (time_t)(until / TG_SECOND),
                        .tv_nsec = (long)(until % TG_SECOND)};
  while (pool->alive || pool->attached)
    if (pthread_cond_timedwait(&pool->changed, &pool->lock, &at)) break;
  return !pool->alive && !pool->attached;
}

bool tg_worker_pool_close(struct tg_worker_pool *pool, uint64_t grace) {
  uint64_t now = tg_clock_now();
  pthread_mutex_lock(&pool->lock);
  pool->closing = true;
  struct tg_list *link;
  while ((link = tg_list_take_first(&pool->queue)))
    turn_away(TG_CONTAINER(link, struct tg_worker_item, link));
  pool->queued = 0;
  cancel_all(pool, false);
  bool ended = wait_for_end(pool, now + grace / 2);
  if (!ended) {
    cancel_all(pool, true);
    ended = wait_for_end(pool, now + grace);
  }
  pthread_mutex_unlock(&pool->lock);
  if (!ended) return false;
  while (pool->workers) {
    struct tg_worker *worker = pool->workers;
    pool->workers = worker->next;
    pthread_join(worker->thread, NULL);
    tg_worker_free(worker);
  }
  pthread_cond_destroy(&pool->changed);
  pthread_mutex_destroy(&pool->lock);
  free(pool);
  return true;
}
