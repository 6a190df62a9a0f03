/* A job (script/job.h) on its way between the loop of the task that waits for it and a worker.
 *
 * Two threads: home, the loop, which gives it and may drop it; and the worker that takes it. It is
 * home's while it is queued and again when it is back; one that was dropped while a worker had it
 * is the worker's for good. The pool's lock decides between the two. It holds its generation. */
#ifndef TG_APP_WORKER_JOB_H
#define TG_APP_WORKER_JOB_H

#include "app/worker_item.h"
#include "loop/loop.h"
#include "script/job.h"

struct tg_generation;
struct tg_worker_pool;

struct tg_worker_job {
  struct tg_worker_item item;
  struct tg_worker_pool *pool;
  struct tg_generation *generation;
  struct tg_loop *home;
  struct tg_job *job; /* NULL when it was dropped after the worker had posted it back */
  struct tg_timer wait;
  struct tg_letter back;
};

/* Home thread: into the pool's queue, for a worker's state of `generation`. After TG_OK the job is
 * given; else (TG_EOVERLOAD, TG_ENOMEM) it stays the caller's. */
TG_MUST_CHECK tg_status tg_worker_job_give(struct tg_worker_pool *pool,
                                           struct tg_generation *generation, struct tg_loop *home,
                                           struct tg_job *job);

/* Any thread, under the pool's lock, for one that was queued and that no worker will take. */
void tg_worker_job_turn_away(struct tg_worker_job *self);

/* Worker's thread: the outcome is there. The slot is free, and the job goes home or is freed. */
void tg_worker_job_done(struct tg_worker_job *self);

#endif
