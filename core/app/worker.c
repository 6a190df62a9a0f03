/* The life of a worker: look, serve, tidy up, wait.
 *
 * States are made and stopped between turns of the loop, never inside one: on_start and on_stop run
 * the loop themselves. `waiting` keeps letters that come meanwhile from stopping such a run. */
#include "app/worker.h"

#include <stdlib.h>

#include "app/crossing.h"
#include "app/generation.h"
#include "app/proxy.h"
#include "app/worker_job.h"
#include "base/check.h"
#include "base/log_record.h"
#include "bind/handler.h"
#include "loop/thread.h"
#include "script/task.h"

struct tg_worker_state {
  struct tg_worker_state *next;
  struct tg_vm *vm;
  bool retired;
  bool idle;    /* nothing runs on it any more */
  bool stopped; /* on_stop has run */
};

/* ---- waiting ---- */

static void rouse(struct tg_worker *worker) {
  worker->woken = true;
  if (worker->waiting) tg_loop_stop(&worker->loop);
}

static void wait_in_loop(struct tg_worker *worker) {
  worker->waiting = true;
  while (!worker->woken) tg_loop_run(&worker->loop);
  worker->waiting = worker->woken = false;
}

static void on_wake(struct tg_letter *letter) {
  struct tg_worker *worker = TG_CONTAINER(letter, struct tg_worker, wake);
  pthread_mutex_lock(&worker->pool->lock);
  worker->wake_posted = false;
  worker->current = worker->pool->current;
  pthread_mutex_unlock(&worker->pool->lock);
  rouse(worker);
}

/* ---- states ---- */

static struct tg_worker *worker_of(const struct tg_vm *vm) {
  return TG_CONTAINER(vm->watch, struct tg_worker, watch);
}

struct tg_loop *tg_worker_home(const struct tg_vm *vm) {
  return vm->role == TG_ROLE_WORKER && vm->watch ? worker_of(vm)->home : NULL;
}

static struct tg_worker_state *find_state(struct tg_worker *worker, const struct tg_vm *vm) {
  struct tg_worker_state *state = worker->states;
  while (state && state->vm != vm) state = state->next;
  TG_CHECK(state);
  return state;
}

static void on_vm_idle(struct tg_vm *vm) {
  struct tg_worker *worker = worker_of(vm);
  find_state(worker, vm)->idle = true;
  rouse(worker);
}

static void on_vm_stopped(struct tg_vm *vm) {
  struct tg_worker *worker = worker_of(vm);
  struct tg_worker_state *state = find_state(worker, vm);
  state->stopped = state->idle = true;
  rouse(worker);
}

static void retire(struct tg_worker *worker, struct tg_worker_state *state) {
  if (worker->present == state) worker->present = NULL;
  if (state->retired) return;
  state->retired = true;
  tg_vm_retire(state->vm, on_vm_idle);
}

static struct tg_worker_state *new_state(struct tg_worker *worker, struct tg_generation *generation,
                                         char **error) {
  struct tg_worker_state *state = calloc(1, sizeof *state);
  if (!state) return NULL;
  state->vm = tg_generation_new_vm(generation, worker->pool->host, &worker->loop, TG_ROLE_WORKER,
                                   worker->index, &worker->starting, error);
  if (!state->vm) {
    free(state);
    return NULL;
  }
  state->vm->watch = &worker->watch;
  tg_vm_limit_memory(state->vm, generation->config.settings.limits_state_memory);
  state->next = worker->states;
  worker->states = state;
  if (worker->present) retire(worker, worker->present);
  worker->present = state;
  return state;
}

static struct tg_worker_state *need_state(struct tg_worker *worker,
                                          struct tg_generation *generation, char **error) {
  struct tg_worker_state *state = worker->present;
  if (state && state->vm->generation == generation->number) return state;
  return new_state(worker, generation, error);
}

/* True when the state is gone. What on_stop has left behind is cancelled: a state must be empty to
 * be closed. */
static bool close_state(struct tg_worker_state *state) {
  struct tg_vm *vm = state->vm;
  state->idle = false;
  if (!state->stopped) tg_generation_stop_vm(vm, on_vm_stopped);
  if (!state->stopped) return false;
  if (vm->holds || vm->task_count) {
    state->idle = false;
    tg_scope_cancel(vm->root, "shutdown");
    tg_vm_retire(vm, on_vm_idle);
    return false;
  }
  tg_loop_job_remove(&vm->idle_job);
  tg_generation_free_vm(vm);
  return true;
}

static void sweep(struct tg_worker *worker) {
  struct tg_worker_state **place = &worker->states;
  while (*place) {
    struct tg_worker_state *state = *place;
    if (state->idle && close_state(state)) {
      *place = state->next;
      free(state);
    } else {
      place = &state->next;
    }
  }
}

bool tg_worker_is_free(const struct tg_worker *worker) {
  for (const struct tg_worker_state *state = worker->states; state; state = state->next)
    if (state->vm->holds || state->vm->task_count) return false;
  return true;
}

static bool outdated(const struct tg_worker *worker) {
  return worker->present && (worker->ending || worker->present->vm->generation < worker->current);
}

static bool untidy(struct tg_worker *worker) {
  if (outdated(worker)) return true;
  for (struct tg_worker_state *state = worker->states; state; state = state->next)
    if (state->idle) return true;
  return false;
}

static void tidy(struct tg_worker *worker) {
  tg_worker_pool_claim(worker->pool, worker);
  if (outdated(worker)) retire(worker, worker->present);
  sweep(worker);
}

/* ---- serving ---- */

static void on_after(void *owner) {
  struct tg_worker *worker = owner;
  if (worker->proxy || worker->job) return;
  tg_worker_pool_claim(worker->pool, worker);
  rouse(worker);
}

static void on_done(struct tg_proxy *proxy) {
  struct tg_worker *worker = proxy->owner;
  worker->proxy = NULL;
  rouse(worker);
}

static void on_freed(void *owner) {
  struct tg_worker *worker = owner;
  worker->guests--;
  rouse(worker);
}

static const struct tg_proxy_host proxy_host = {
    .done = on_done, .after = on_after, .freed = on_freed};

static void log_failure(struct tg_worker *worker, const struct tg_exchange *exchange,
                        const char *error) {
  struct tg_log *log = worker->pool->host->log;
  if (!log || !tg_log_enabled(log, TG_LOG_ERROR)) return;
  char id[40];
  struct tg_log_record record;
  tg_log_record_begin(&record, log, TG_LOG_ERROR, TG_SLICE("a worker could not load its state"));
  tg_log_record_text(&record, "error", tg_slice_cstr(error ? error : "out of memory"));
  tg_log_record_text(&record, "route", exchange->route->name);
  tg_log_record_text(&record, "request", tg_slice(id, tg_exchange_id(exchange, id)));
  tg_log_record_text(&record, "pool", tg_slice_cstr(worker->pool->limits.name));
  tg_log_record_end(&record, log);
}

static void begin(struct tg_worker *worker, struct tg_proxy *proxy) {
  struct tg_exchange *exchange = &proxy->exchange;
  char *error = NULL;
  struct tg_worker_state *state = need_state(worker, proxy->generation, &error);
  if (!state && !worker->ending) {
    log_failure(worker, exchange, error);
    tg_exchange_problem(exchange, 500, tg_slice(NULL, 0), NULL, 0);
    exchange->port->finish(exchange);
  } else if (worker->ending || !tg_proxy_wanted(proxy)) {
    tg_exchange_problem(exchange, 503, TG_SLICE("the server stops"), NULL, 0);
    exchange->port->finish(exchange);
  } else {
    struct tg_app_state *app = state->vm->owner;
    tg_handler_start(state->vm, exchange, app->run_refs[exchange->match.route]);
  }
  free(error);
}

static void serve(struct tg_worker *worker, struct tg_proxy *proxy) {
  worker->proxy = proxy;
  worker->home = TG_CONTAINER(proxy->home, struct tg_loop, mailbox);
  worker->guests++;
  tg_proxy_take(proxy, &worker->loop.mailbox, &proxy_host, worker);
  begin(worker, proxy);
  while (worker->proxy) wait_in_loop(worker);
  tg_worker_pool_done(worker->pool);
  /* Goodbyes are letters, too, and would pile up where one exchange follows another. */
  uv_run(&worker->loop.uv, UV_RUN_NOWAIT);
}

/* ---- jobs ---- */

static void on_job_ended(struct tg_job *job) {
  struct tg_worker *worker = job->runner;
  worker->job = NULL;
  rouse(worker);
}

static void begin_job(struct tg_worker *worker, struct tg_generation *generation) {
  struct tg_job *job = worker->job;
  char *error = NULL;
  struct tg_worker_state *state = need_state(worker, generation, &error);
  if (state && !worker->ending && !atomic_load(&job->dropped)) {
    tg_job_start(job, state->vm, on_job_ended, worker);
    return;
  }
  if (state || worker->ending)
    job->status = TG_EOVERLOAD;
  else
    tg_job_fail(job, "worker", "a worker could not load its state: %s",
                error ? error : "out of memory");
  free(error);
  worker->job = NULL;
}

static void serve_job(struct tg_worker *worker, struct tg_worker_job *job) {
  worker->job = job->job;
  worker->home = job->home;
  begin_job(worker, job->generation);
  while (worker->job) wait_in_loop(worker);
  tg_worker_job_done(job);
  uv_run(&worker->loop.uv, UV_RUN_NOWAIT);
}

static void on_drop(struct tg_letter *letter) {
  struct tg_worker *worker = TG_CONTAINER(letter, struct tg_worker, drop);
  pthread_mutex_lock(&worker->pool->lock);
  worker->drop_posted = false;
  pthread_mutex_unlock(&worker->pool->lock);
  if (worker->job && atomic_load(&worker->job->dropped)) tg_job_cancel(worker->job);
}

/* The letters that say so are opened when the step is over. */
void tg_worker_look(struct tg_vm *vm) {
  if (vm->role != TG_ROLE_WORKER || !vm->watch) return;
  struct tg_worker *worker = worker_of(vm);
  if (worker->job && atomic_load(&worker->job->dropped)) tg_job_cancel(worker->job);
  if (worker->proxy) tg_proxy_look(worker->proxy);
}

/* ---- the end ---- */

static void on_cancel(struct tg_letter *letter) {
  struct tg_worker *worker = TG_CONTAINER(letter, struct tg_worker, cancel);
  struct tg_proxy *proxy = worker->proxy;
  pthread_mutex_lock(&worker->pool->lock);
  worker->cancel_posted = false;
  bool harsh = worker->harsh;
  pthread_mutex_unlock(&worker->pool->lock);
  worker->ending = true;
  tg_starting_cancel(&worker->starting, "shutdown");
  if (worker->job) tg_job_cancel(worker->job);
  if (proxy && proxy->exchange.gone) proxy->exchange.gone(&proxy->exchange, TG_ECANCELLED);
  for (struct tg_worker_state *state = worker->states; harsh && state; state = state->next)
    tg_scope_cancel(state->vm->root, "shutdown");
  rouse(worker);
}

static bool turn(struct tg_worker *worker) {
  if (untidy(worker)) tidy(worker);
  struct tg_worker_item *item = tg_worker_pool_take(worker->pool, worker);
  if (item) {
    if (item->is_job)
      serve_job(worker, TG_CONTAINER(item, struct tg_worker_job, item));
    else
      serve(worker, TG_CONTAINER(item, struct tg_crossing, item)->proxy);
    return true;
  }
  if (worker->ending && !worker->guests && !worker->states) return false;
  if (!untidy(worker)) wait_in_loop(worker);
  return true;
}

static void *run(void *arg) {
  struct tg_worker *worker = arg;
  struct tg_worker_pool *pool = worker->pool;
  tg_thread_be_patient();
  worker->watch.thread = pthread_self();
  if (pool->watch) pool->watch(pool->watch_owner, &worker->watch, true);
  while (turn(worker)) {
  }
  if (pool->watch) pool->watch(pool->watch_owner, &worker->watch, false);
  pthread_mutex_lock(&pool->lock);
  worker->ended = true;
  tg_list_remove(&worker->link);
  pthread_mutex_unlock(&pool->lock);
  tg_loop_deinit(&worker->loop);
  pthread_mutex_lock(&pool->lock);
  pool->alive--;
  pthread_cond_broadcast(&pool->changed);
  pthread_mutex_unlock(&pool->lock);
  return NULL;
}

/* ---- life ---- */

struct tg_worker *tg_worker_new(struct tg_worker_pool *pool, unsigned index) {
  struct tg_worker *worker = calloc(1, sizeof *worker);
  if (!worker) return NULL;
  worker->pool = pool;
  worker->index = index;
  worker->wake.open = on_wake;
  worker->cancel.open = on_cancel;
  worker->drop.open = on_drop;
  tg_list_init(&worker->link);
  if (tg_loop_init(&worker->loop, index) == TG_OK) return worker;
  free(worker);
  return NULL;
}

tg_status tg_worker_start(struct tg_worker *worker) {
  return tg_thread_start(&worker->thread, "tg-worker", run, worker);
}

/* The thread has closed the loop itself, where it ran. */
void tg_worker_free(struct tg_worker *worker) {
  if (!worker->ended) tg_loop_deinit(&worker->loop);
  free(worker);
}
