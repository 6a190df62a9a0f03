/* One worker: a thread, its loop, and the Lua states that it has made so far.
 *
 * It serves one exchange or job at a time, of whatever generation. Between them it waits in its
 * loop, so that letters, and what was left to run after answers, have their turn. */
#ifndef TG_APP_WORKER_H
#define TG_APP_WORKER_H

#include <pthread.h>

#include "app/generation.h"
#include "app/worker_item.h"
#include "app/worker_pool.h"
#include "script/watch.h"

struct tg_job;
struct tg_proxy;
struct tg_worker;
struct tg_worker_state;

struct tg_worker_pool {
  struct tg_host *host;
  void (*watch)(void *owner, struct tg_watch *watch, bool begins);
  void *watch_owner;
  pthread_mutex_t lock;   /* over all below */
  pthread_cond_t changed; /* for close: `alive` or `attached` fell */
  struct tg_worker_limits limits;
  struct tg_list queue; /* struct tg_worker_item */
  struct tg_list idle;  /* struct tg_worker, the last to be idle first */
  struct tg_worker *workers;
  unsigned queued, busy, started;
  unsigned coming;   /* workers that were summoned and have not looked yet */
  unsigned alive;    /* threads */
  unsigned attached; /* exchanges and jobs that were not given back */
  uint64_t done, refused;
  uint64_t current; /* states of generations before it are dropped */
  bool closing;
};

struct tg_worker {
  struct tg_worker_pool *pool;
  struct tg_worker *next; /* in pool->workers */
  unsigned index;
  pthread_t thread;
  struct tg_loop loop;
  struct tg_watch watch;
  struct tg_letter wake;   /* look at the queue */
  struct tg_letter cancel; /* the pool closes */
  struct tg_letter drop;   /* nobody waits for its job any more */
  /* under the pool's lock */
  struct tg_list link; /* pool->idle */
  bool summoned, wake_posted, cancel_posted, drop_posted;
  bool harsh; /* what runs after answers is cancelled, too */
  bool ended;
  /* its own */
  struct tg_proxy *proxy; /* being served; or */
  struct tg_job *job;
  struct tg_loop *home; /* the loop that the present, or the last, of these came from */
  unsigned guests;      /* proxies that were not freed yet */
  struct tg_starting starting;
  struct tg_worker_state *states;
  struct tg_worker_state *present; /* the newest one */
  uint64_t current;                /* states of generations before it are to go */
  bool waiting;                    /* inside the loop, for nothing but letters */
  bool woken;
  bool ending;
};

/* NULL when memory or descriptors are gone. Any thread. */
struct tg_worker *tg_worker_new(struct tg_worker_pool *pool, unsigned index);

/* Any thread. After an error the worker is as it was. */
TG_MUST_CHECK tg_status tg_worker_start(struct tg_worker *worker);

/* A worker that was never started, or was joined. */
void tg_worker_free(struct tg_worker *worker);

/* For host->look. */
void tg_worker_look(struct tg_vm *vm);

/* The loop that the work of a worker's state came from; NULL where it has none, as in on_start. Own
 * thread. */
struct tg_loop *tg_worker_home(const struct tg_vm *vm);

/* Is nothing left to run on its states? Own thread. */
bool tg_worker_is_free(const struct tg_worker *worker);

/* worker_pool.c, for workers: what is to be served next (the worker is busy then), or NULL (idle).
 */
struct tg_worker_item *tg_worker_pool_take(struct tg_worker_pool *pool, struct tg_worker *worker);
void tg_worker_pool_done(struct tg_worker_pool *pool);

/* The worker has something else to do: it is not idle until it asks for an exchange again, and
 * another one comes where it was wanted. */
void tg_worker_pool_claim(struct tg_worker_pool *pool, struct tg_worker *worker);

/* worker_pool.c, for jobs: into the queue, attached; false where it is full. Out of the queue
 * again; false where a worker has it. And detached. */
bool tg_worker_pool_attach(struct tg_worker_pool *pool, struct tg_worker_item *item);
bool tg_worker_pool_withdraw(struct tg_worker_pool *pool, struct tg_worker_item *item);
uint64_t tg_worker_pool_max_wait(struct tg_worker_pool *pool);
void tg_worker_pool_detach(struct tg_worker_pool *pool, bool refused);

#endif
