/* A queue of two kinds of jobs under a lock. The thread has a loop of its own, for hooks that
 * suspend; it runs only while such a hook does. */
#include "app/builder.h"

#include <pthread.h>
#include <stdlib.h>

#include "app/watchdog.h"
#include "base/check.h"
#include "loop/thread.h"
#include "net/tls_clients.h"
#include "script/watch.h"

struct job {
  struct tg_list link;
  struct tg_vm *vm; /* to close; NULL: build */
  struct tg_build build;
  struct tg_loop *to;
  tg_builder_cb done;
  void *owner;
  struct tg_letter letter;
  struct tg_generation *generation;
  struct tg_load_errors errors;
  uint64_t took;
};

struct tg_builder {
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t wake;
  struct tg_list jobs;
  uint64_t stopping; /* since when; 0: not yet */
  uint64_t given_up; /* builds up to this number */
  const char *reason;
  struct tg_letter cancel; /* look at that: for a build whose on_start suspends */
  bool cancel_posted;
  uint64_t building; /* number of the build under way; 0: none. The thread's own */
  struct tg_starting starting;
  struct tg_loop loop;
  struct tg_watchdog *watchdog;
  struct tg_watch watch;
};

static void on_built(struct tg_letter *letter) {
  struct job *job = TG_CONTAINER(letter, struct job, letter);
  job->done(job->owner, job->generation, &job->errors, job->took);
  tg_load_errors_deinit(&job->errors);
  free(job);
}

static void look_for_cancel(struct tg_builder *builder) {
  pthread_mutex_lock(&builder->lock);
  builder->cancel_posted = false;
  uint64_t given_up = builder->given_up;
  const char *reason = builder->reason;
  pthread_mutex_unlock(&builder->lock);
  if (builder->building && builder->building <= given_up)
    tg_starting_cancel(&builder->starting, reason);
}

static void on_cancel(struct tg_letter *letter) {
  look_for_cancel(TG_CONTAINER(letter, struct tg_builder, cancel));
}

/* The first call by https would read the system's certificates on its loop, which takes as long as
 * some hundred requests. Who writes such a URL will make one. */
static struct tg_tls_clients *clients_to_prepare(const struct job *job) {
  const struct tg_generation *generation = job->generation;
  if (!generation || !tg_bundle_mentions(generation->bundle, TG_SLICE("https://"))) return NULL;
  return job->build.host->tls_clients;
}

static void build(struct tg_builder *builder, struct job *job) {
  uint64_t begun = tg_clock_now();
  builder->building = job->build.number;
  builder->starting = (struct tg_starting){0};
  look_for_cancel(builder);
  job->build.loop = &builder->loop;
  job->build.watch = &builder->watch;
  job->build.watchdog = builder->watchdog;
  job->build.starting = &builder->starting;
  job->generation = tg_generation_build(&job->build, &job->errors);
  builder->building = 0;
  job->took = tg_clock_now() - begun;
  job->letter.open = on_built;
  struct tg_tls_clients *clients = clients_to_prepare(job);
  if (tg_mailbox_post(&job->to->mailbox, &job->letter) == TG_OK) { /* it is not ours any more */
    if (clients) tg_tls_clients_prepare(clients);
    return;
  }
  /* Nobody is there any more: the process is ending. */
  if (job->generation) {
    for (unsigned i = 0; i < job->generation->vm_count; i++)
      tg_generation_free_vm(job->generation->vms[i]);
    tg_generation_release(job->generation);
  }
  tg_load_errors_deinit(&job->errors);
  free(job);
}

static void on_stopped(struct tg_vm *vm) {
  tg_generation_free_vm(vm);
}

static void close_vm(struct tg_builder *builder, struct job *job) {
  struct tg_app_state *state = job->vm->owner;
  pthread_mutex_lock(&builder->lock);
  state->stop_from = builder->stopping;
  pthread_mutex_unlock(&builder->lock);
  job->vm->loop = &builder->loop;
  job->vm->watch = &builder->watch;
  tg_generation_stop_vm(job->vm, on_stopped);
  free(job);
}

static struct job *take_job(struct tg_builder *builder) {
  pthread_mutex_lock(&builder->lock);
  while (tg_list_empty(&builder->jobs) && !builder->stopping)
    pthread_cond_wait(&builder->wake, &builder->lock);
  struct tg_list *link = tg_list_take_first(&builder->jobs);
  pthread_mutex_unlock(&builder->lock);
  return link ? TG_CONTAINER(link, struct job, link) : NULL;
}

static void *on_thread(void *arg) {
  struct tg_builder *builder = arg;
  struct job *job;
  tg_watchdog_add(builder->watchdog, &builder->watch);
  while ((job = take_job(builder))) {
    if (job->vm)
      close_vm(builder, job);
    else
      build(builder, job);
  }
  tg_watchdog_remove(builder->watchdog, &builder->watch);
  return NULL;
}

static void put_job(struct tg_builder *builder, struct job *job) {
  pthread_mutex_lock(&builder->lock);
  tg_list_append(&builder->jobs, &job->link);
  pthread_cond_signal(&builder->wake);
  pthread_mutex_unlock(&builder->lock);
}

struct tg_builder *tg_builder_new(struct tg_watchdog *watchdog) {
  struct tg_builder *builder = calloc(1, sizeof *builder);
  if (!builder) return NULL;
  pthread_mutex_init(&builder->lock, NULL);
  pthread_cond_init(&builder->wake, NULL);
  tg_list_init(&builder->jobs);
  builder->cancel.open = on_cancel;
  builder->watchdog = watchdog;
  if (tg_loop_init(&builder->loop, 0) == TG_OK) {
    if (tg_thread_start(&builder->thread, "tg-builder", on_thread, builder) == TG_OK)
      return builder;
    tg_loop_deinit(&builder->loop);
  }
  free(builder);
  return NULL;
}

void tg_builder_free(struct tg_builder *builder) {
  pthread_mutex_lock(&builder->lock);
  builder->stopping = tg_clock_now();
  pthread_cond_signal(&builder->wake);
  pthread_mutex_unlock(&builder->lock);
  pthread_join(builder->thread, NULL);
  tg_loop_deinit(&builder->loop);
  pthread_cond_destroy(&builder->wake);
  pthread_mutex_destroy(&builder->lock);
  free(builder);
}

void tg_builder_build(struct tg_builder *builder, const struct tg_build *build_, struct tg_loop *to,
                      tg_builder_cb done, void *owner) {
  struct job *job = tg_check_calloc(1, sizeof *job);
  job->build = *build_;
  job->to = to;
  job->done = done;
  job->owner = owner;
  put_job(builder, job);
}

void tg_builder_cancel(struct tg_builder *builder, uint64_t number, const char *reason) {
  pthread_mutex_lock(&builder->lock);
  if (number > builder->given_up) builder->given_up = number;
  builder->reason = reason;
  if (!builder->cancel_posted)
    builder->cancel_posted = tg_mailbox_post(&builder->loop.mailbox, &builder->cancel) == TG_OK;
  pthread_mutex_unlock(&builder->lock);
}

void tg_builder_close_vm(struct tg_builder *builder, struct tg_vm *vm) {
  struct job *job = tg_check_calloc(1, sizeof *job);
  job->vm = vm;
  put_job(builder, job);
}
