/* The ways of a job: given, queued, taken, back; or dropped at any of these.
 *
 * Home counts as attached to the pool until it has the job back or has dropped it, so that the pool
 * outlives every touch from there. */
#include "app/worker_job.h"

#include <stdlib.h>

#include "app/generation.h"
#include "app/worker.h"
#include "base/check.h"

static void destroy(struct tg_worker_job *self) {
  tg_generation_release(self->generation);
  if (self->job) tg_job_free(self->job);
  free(self);
}

/* ---- home ---- */

static void hand_back(struct tg_worker_job *self, bool refused) {
  struct tg_job *job = self->job;
  tg_timer_stop(&self->home->timers, &self->wait);
  tg_worker_pool_detach(self->pool, refused);
  self->job = NULL;
  destroy(self);
  job->back(job);
}

static void on_back(struct tg_letter *letter) {
  struct tg_worker_job *self = TG_CONTAINER(letter, struct tg_worker_job, back);
  if (self->job)
    hand_back(self, self->job->status == TG_EOVERLOAD);
  else
    destroy(self);
}

static void on_wait_over(struct tg_timer *timer) {
  struct tg_worker_job *self = TG_CONTAINER(timer, struct tg_worker_job, wait);
  if (!tg_worker_pool_withdraw(self->pool, &self->item)) return;
  self->job->status = TG_EOVERLOAD;
  hand_back(self, true);
}

/* What a worker has is the worker's from here on; its letter wakes it where it is asleep. */
static void drop(struct tg_job *job) {
  struct tg_worker_job *self = job->taker;
  struct tg_worker_pool *pool = self->pool;
  tg_timer_stop(&self->home->timers, &self->wait);
  bool queued = tg_worker_pool_withdraw(pool, &self->item);
  pthread_mutex_lock(&pool->lock);
  struct tg_worker *worker = queued ? NULL : self->item.worker;
  if (worker) {
    atomic_store(&job->dropped, true);
    if (!worker->drop_posted)
      worker->drop_posted = tg_mailbox_post(&worker->loop.mailbox, &worker->drop) == TG_OK;
  }
  pthread_mutex_unlock(&pool->lock);
  tg_worker_pool_detach(pool, false);
  if (worker) return;
  if (queued) {
    destroy(self);
    return;
  }
  self->job = NULL; /* the letter is on its way, and finds nobody */
  tg_job_free(job);
}

tg_status tg_worker_job_give(struct tg_worker_pool *pool, struct tg_generation *generation,
                             struct tg_loop *home, struct tg_job *job) {
  struct tg_worker_job *self = calloc(1, sizeof *self);
  if (!self) return TG_ENOMEM;
  tg_list_init(&self->item.link);
  tg_list_init(&self->back.link);
  self->item.is_job = true;
  self->pool = pool;
  self->generation = generation;
  self->home = home;
  self->job = job;
  self->back.open = on_back;
  job->taker = self;
  job->drop = drop;
  tg_generation_hold(generation);
  uint64_t due = tg_clock_now() + tg_worker_pool_max_wait(pool);
  tg_status status = tg_timer_start(&home->timers, &self->wait, due, on_wait_over);
  if (!status && tg_worker_pool_attach(pool, &self->item)) return TG_OK;
  tg_timer_stop(&home->timers, &self->wait);
  self->job = NULL;
  destroy(self);
  return status ? status : TG_EOVERLOAD;
}

/* ---- the other side ---- */

/* A loop ends when its tasks have ended, and these have dropped what they were waiting for: the
 * mailbox takes it. */
static void post_home(struct tg_worker_job *self) {
  TG_CHECK(tg_mailbox_post(&self->home->mailbox, &self->back) == TG_OK);
}

void tg_worker_job_turn_away(struct tg_worker_job *self) {
  self->job->status = TG_EOVERLOAD;
  post_home(self);
}

/* The slot is free before home knows, who may ask for it again at once. */
void tg_worker_job_done(struct tg_worker_job *self) {
  struct tg_worker_pool *pool = self->pool;
  pthread_mutex_lock(&pool->lock);
  pool->busy--;
  pool->done++;
  self->item.worker = NULL;
  bool dropped = atomic_load(&self->job->dropped);
  if (!dropped) post_home(self);
  pthread_mutex_unlock(&pool->lock);
  if (dropped) destroy(self);
}
