/* The ways of a call: there and back; or dropped by the worker while it is at home.
 *
 * The lock decides between the two. Whoever lost has a letter coming: the worker that drops a call
 * which is on its way back finds nobody in it, and home is told of every drop by a letter, behind
 * the first one, so that it frees the call when both have come and nothing runs any more. */
#include "app/loop_call.h"

#include <pthread.h>
#include <stdlib.h>

#include "app/generation.h"
#include "base/check.h"

struct call {
  struct tg_generation *generation;
  struct tg_loop *home, *worker;
  struct tg_job *job; /* NULL when it was dropped on its way back */
  struct tg_letter there, back, cancel;
  pthread_mutex_t lock; /* over the next two */
  bool dropped;
  bool posted; /* back */
  /* home's */
  bool running;
  bool told; /* of the drop */
};

static void destroy(struct call *call) {
  tg_generation_release(call->generation);
  if (call->job) tg_job_free(call->job);
  pthread_mutex_destroy(&call->lock);
  free(call);
}

/* Letters are posted under the lock: whoever opens one waits until the other side has let go of
 * it, and may destroy it then. */
static bool is_dropped(struct call *call) {
  pthread_mutex_lock(&call->lock);
  bool dropped = call->dropped;
  pthread_mutex_unlock(&call->lock);
  return dropped;
}

/* ---- the worker ---- */

static void on_back(struct tg_letter *letter) {
  struct call *call = TG_CONTAINER(letter, struct call, back);
  struct tg_job *job = is_dropped(call) ? NULL : call->job;
  call->job = NULL;
  destroy(call);
  if (job) job->back(job);
}

/* Home's mailbox is there: it is closed after the workers have ended. */
static void drop(struct tg_job *job) {
  struct call *call = job->taker;
  pthread_mutex_lock(&call->lock);
  bool posted = call->posted;
  call->dropped = true;
  if (!posted) TG_CHECK(tg_mailbox_post(&call->home->mailbox, &call->cancel) == TG_OK);
  pthread_mutex_unlock(&call->lock);
  if (!posted) return;
  call->job = NULL;
  tg_job_free(job);
}

/* ---- home ---- */

static void finish(struct call *call) {
  call->running = false;
  pthread_mutex_lock(&call->lock);
  bool dropped = call->dropped;
  if (!dropped) {
    call->posted = true;
    TG_CHECK(tg_mailbox_post(&call->worker->mailbox, &call->back) == TG_OK);
  }
  pthread_mutex_unlock(&call->lock);
  if (dropped && call->told) destroy(call);
}

static void on_job_ended(struct tg_job *job) {
  finish(job->runner);
}

static void on_there(struct tg_letter *letter) {
  struct call *call = TG_CONTAINER(letter, struct call, there);
  struct tg_vm *vm = call->generation->vms[call->home->index];
  if (is_dropped(call)) return; /* the other letter comes, and frees it */
  if (vm) {
    call->running = true;
    tg_job_start(call->job, vm, on_job_ended, call);
    return;
  }
  tg_job_fail(call->job, "gone", "tg.on_loop: the loop has no state of this generation any more");
  finish(call);
}

static void on_cancel(struct tg_letter *letter) {
  struct call *call = TG_CONTAINER(letter, struct call, cancel);
  call->told = is_dropped(call);
  if (call->running)
    tg_job_cancel(call->job);
  else
    destroy(call);
}

tg_status tg_loop_call_give(struct tg_generation *generation, struct tg_loop *home,
                            struct tg_loop *worker, struct tg_job *job) {
  struct call *call = calloc(1, sizeof *call);
  if (!call) return TG_ENOMEM;
  call->generation = generation;
  call->home = home;
  call->worker = worker;
  call->job = job;
  call->there.open = on_there;
  call->back.open = on_back;
  call->cancel.open = on_cancel;
  tg_list_init(&call->there.link);
  tg_list_init(&call->back.link);
  tg_list_init(&call->cancel.link);
  pthread_mutex_init(&call->lock, NULL);
  job->taker = call;
  job->drop = drop;
  tg_generation_hold(generation);
  if (tg_mailbox_post(&home->mailbox, &call->there) == TG_OK) return TG_OK;
  call->job = NULL;
  destroy(call);
  return TG_EOVERLOAD;
}
