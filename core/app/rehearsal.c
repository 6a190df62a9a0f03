/* States, workers and jobs of a rehearsal; its requests are rehearsal_request.c.
 *
 * A state of a worker is made when a guest waits for one, between two turns of the loop, because
 * on_start runs the loop itself. The keeper is a job that posts itself anew meanwhile: the loop has
 * work then, and a fake clock does not jump. */
#include "app/rehearsal.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "script/job.h"
#include "script/task.h"

/* ---- states ---- */

static struct tg_vm *new_vm(struct tg_rehearsal *rehearsal, enum tg_role role, unsigned index,
                            char **why) {
  struct tg_offline *offline = rehearsal->offline;
  struct tg_vm *vm = offline->generation
                         ? tg_generation_new_vm(offline->generation, &offline->host, &offline->loop,
                                                role, index, NULL, why)
                         : tg_vm_new(&offline->host, &offline->loop, role, index, why);
  if (!vm) return NULL;
  vm->watch = &offline->watch;
  tg_vm_serve(vm);
  return vm;
}

static void on_stopped(struct tg_vm *vm) {
  (void)vm;
}

static void turn_until_empty(struct tg_rehearsal *rehearsal, const struct tg_vm *vm) {
  while ((vm->task_count || vm->holds) && !tg_rehearsal_idle(rehearsal))
    tg_rehearsal_turn(rehearsal);
}

static void stop_vm(struct tg_rehearsal *rehearsal, struct tg_vm *vm) {
  tg_scope_cancel(vm->root, "shutdown");
  turn_until_empty(rehearsal, vm);
  if (!rehearsal->offline->generation) {
    tg_vm_free(vm);
    return;
  }
  tg_generation_stop_vm(vm, on_stopped);
  turn_until_empty(rehearsal, vm);
  tg_generation_free_vm(vm);
}

/* What guests leave is told from what on_start has begun by a scope of its own. */
static void hire(struct tg_rehearsal *rehearsal, struct tg_rehearsal_worker *worker, char **why) {
  unsigned index = (unsigned)(worker - rehearsal->workers);
  worker->vm = new_vm(rehearsal, TG_ROLE_WORKER, index, why);
  if (!worker->vm) return;
  worker->root = worker->vm->root;
  tg_scope_init(&worker->guests, worker->vm, NULL);
  worker->vm->root = &worker->guests;
}

void tg_rehearsal_dismiss(struct tg_rehearsal *rehearsal, struct tg_rehearsal_worker *worker) {
  struct tg_vm *vm = worker->vm;
  TG_CHECK(!worker->guest);
  tg_scope_cancel(&worker->guests, "shutdown");
  tg_scope_cancel(worker->root, "shutdown");
  turn_until_empty(rehearsal, vm);
  tg_scope_deinit(&worker->guests);
  vm->root = worker->root;
  stop_vm(rehearsal, vm);
  worker->vm = NULL;
}

/* ---- guests ---- */

static void on_keep(struct tg_loop_job *job) {
  struct tg_rehearsal *rehearsal = TG_CONTAINER(job, struct tg_rehearsal, keeper);
  if (!tg_list_empty(&rehearsal->waiting)) tg_loop_post(&rehearsal->offline->loop, job);
}

void tg_rehearsal_admit(struct tg_rehearsal *rehearsal, struct tg_rehearsal_guest *guest) {
  guest->rehearsal = rehearsal;
  tg_list_append(&rehearsal->waiting, &guest->link);
  tg_loop_post(&rehearsal->offline->loop, &rehearsal->keeper);
}

void tg_rehearsal_leave(struct tg_rehearsal_guest *guest) {
  struct tg_rehearsal *rehearsal = guest->rehearsal;
  tg_list_remove(&guest->link);
  for (int i = 0; i < TG_REHEARSAL_WORKERS; i++)
    if (rehearsal->workers[i].guest == guest) rehearsal->workers[i].guest = NULL;
}

static struct tg_rehearsal_worker *find_free(struct tg_rehearsal *rehearsal) {
  for (int i = 0; i < TG_REHEARSAL_WORKERS; i++)
    if (!rehearsal->workers[i].guest) return &rehearsal->workers[i];
  return NULL;
}

static void seat_guests(struct tg_rehearsal *rehearsal) {
  struct tg_rehearsal_worker *worker;
  while (!tg_list_empty(&rehearsal->waiting) && (worker = find_free(rehearsal))) {
    struct tg_list *link = tg_list_take_first(&rehearsal->waiting);
    struct tg_rehearsal_guest *guest = TG_CONTAINER(link, struct tg_rehearsal_guest, link);
    char *why = NULL;
    worker->guest = guest;
    if (!worker->vm) hire(rehearsal, worker, &why);
    guest->begin(guest, worker->vm, why ? why : "out of memory");
    free(why);
  }
}

void tg_rehearsal_turn(struct tg_rehearsal *rehearsal) {
  uv_run(&rehearsal->offline->loop.uv, UV_RUN_ONCE);
  seat_guests(rehearsal);
}

bool tg_rehearsal_idle(struct tg_rehearsal *rehearsal) {
  return tg_list_empty(&rehearsal->waiting) && tg_loop_idle(&rehearsal->offline->loop);
}

bool tg_rehearsal_busy(const struct tg_rehearsal *rehearsal) {
  bool busy = !tg_list_empty(&rehearsal->waiting);
  for (int i = 0; i < TG_REHEARSAL_WORKERS && !busy; i++)
    busy = rehearsal->workers[i].guest != NULL;
  return busy;
}

/* ---- jobs ---- */

struct job_guest {
  struct tg_rehearsal_guest guest;
  struct tg_job *job;
  bool dropped;
  struct tg_loop_job there, back;
};

/* From the loop's list, so that whoever waits is not told inside the step that has ended. */
static void on_back(struct tg_loop_job *link) {
  struct job_guest *guest = TG_CONTAINER(link, struct job_guest, back);
  struct tg_job *job = guest->job;
  if (guest->dropped)
    tg_job_free(job);
  else
    job->back(job);
  free(guest);
}

static void end_job(struct job_guest *guest) {
  tg_rehearsal_leave(&guest->guest);
  tg_loop_post(&guest->guest.rehearsal->offline->loop, &guest->back);
}

static void on_job_ended(struct tg_job *job) {
  end_job(job->runner);
}

static void begin_job(struct tg_rehearsal_guest *link, struct tg_vm *vm, const char *why) {
  struct job_guest *guest = TG_CONTAINER(link, struct job_guest, guest);
  if (vm && !guest->dropped) {
    tg_job_start(guest->job, vm, on_job_ended, guest);
    return;
  }
  if (!vm) tg_job_fail(guest->job, "worker", "a worker could not load its state: %s", why);
  end_job(guest);
}

/* Nobody waits any more: it is cancelled, and ends when it has. */
static void drop_job(struct tg_job *job) {
  struct job_guest *guest = job->taker;
  guest->dropped = true;
  atomic_store(&job->dropped, true);
  tg_job_cancel(job);
}

/* tg.on_loop: in the state of the loop, from the loop's list, outside of the worker's step. */
static void on_there(struct tg_loop_job *link) {
  struct job_guest *guest = TG_CONTAINER(link, struct job_guest, there);
  begin_job(&guest->guest, guest->guest.rehearsal->vm, "");
}

static struct job_guest *new_job_guest(const struct tg_vm *vm, struct tg_job *job) {
  struct job_guest *guest = calloc(1, sizeof *guest);
  if (!guest) return NULL;
  tg_list_init(&guest->guest.link);
  tg_loop_job_init(&guest->there, on_there);
  tg_loop_job_init(&guest->back, on_back);
  guest->guest.rehearsal = vm->host->process;
  guest->guest.begin = begin_job;
  guest->job = job;
  job->taker = guest;
  job->drop = drop_job;
  return guest;
}

static tg_status run_job(struct tg_vm *vm, struct tg_job *job) {
  struct job_guest *guest = new_job_guest(vm, job);
  if (!guest) return TG_ENOMEM;
  tg_rehearsal_admit(guest->guest.rehearsal, &guest->guest);
  return TG_OK;
}

static tg_status run_on_loop(struct tg_vm *vm, struct tg_job *job) {
  struct job_guest *guest = new_job_guest(vm, job);
  if (!guest) return TG_ENOMEM;
  tg_loop_post(vm->loop, &guest->there);
  return TG_OK;
}

/* ---- life ---- */

int tg_rehearsal_open(struct tg_rehearsal *rehearsal, struct tg_offline *offline) {
  *rehearsal = (struct tg_rehearsal){.offline = offline};
  tg_list_init(&rehearsal->waiting);
  tg_loop_job_init(&rehearsal->keeper, on_keep);
  offline->host.process = rehearsal;
  offline->host.run_job = run_job;
  offline->host.run_on_loop = run_on_loop;
  if (!offline->options->live && tg_offline_has_application(offline)) {
    int exit = tg_offline_load(offline);
    if (exit) return exit;
    offline->settings = offline->generation->config.settings;
  }
  char *why = NULL;
  rehearsal->vm = new_vm(rehearsal, TG_ROLE_LOOP, 0, &why);
  if (!rehearsal->vm) fputs(why ? why : "error: out of memory\n", stderr);
  free(why);
  return rehearsal->vm ? TG_EXIT_OK : TG_EXIT_FAILED;
}

void tg_rehearsal_close(struct tg_rehearsal *rehearsal) {
  if (rehearsal->vm) stop_vm(rehearsal, rehearsal->vm);
  while (tg_rehearsal_busy(rehearsal) && !tg_rehearsal_idle(rehearsal))
    tg_rehearsal_turn(rehearsal);
  for (int i = 0; i < TG_REHEARSAL_WORKERS; i++)
    if (rehearsal->workers[i].vm) tg_rehearsal_dismiss(rehearsal, &rehearsal->workers[i]);
  tg_loop_job_remove(&rehearsal->keeper);
}
