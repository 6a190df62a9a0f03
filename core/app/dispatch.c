/* Who runs what: see dispatch.h. Pools are found by name, because they outlive the configurations
 * that number them. */
#include "app/dispatch.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/generation.h"
#include "app/loop_call.h"
#include "app/loop_thread.h"
#include "app/process.h"
#include "app/watchdog.h"
#include "app/worker.h"
#include "app/worker_job.h"
#include "base/check.h"
#include "bind/forward.h"
#include "bind/handler.h"
#include "script/job.h"

void tg_dispatch_exchange(struct tg_exchange *exchange) {
  struct tg_generation *generation = exchange->routing->owner;
  struct tg_process *process = generation->process;
  int pool = exchange->route->pool;
  if (TG_UNLIKELY(exchange->route->forward)) {
    tg_forward_start(exchange, exchange->route->forward);
    return;
  }
  if (pool >= 0) {
    tg_worker_pool_submit(process->pools[pool], generation, exchange);
    return;
  }
  struct tg_vm *vm = generation->vms[exchange->server->loop->index];
  struct tg_app_state *state = vm->owner;
  tg_handler_start(vm, exchange, state->run_refs[exchange->match.route]);
}

/* Jobs go to the default pool, and from loops only: while the builder runs a state's hooks, nobody
 * promises that the pool is there. */
tg_status tg_dispatch_job(struct tg_vm *vm, struct tg_job *job) {
  struct tg_process *process = vm->host->process;
  struct tg_app_state *state = vm->owner;
  bool serves = state->generation->process && vm->loop == &process->loops[vm->index]->loop;
  if (!serves) return TG_EUNSUPPORTED;
  return tg_worker_job_give(process->pools[0], state->generation, vm->loop, job);
}

tg_status tg_dispatch_call(struct tg_vm *vm, struct tg_job *job) {
  struct tg_app_state *state = vm->owner;
  struct tg_loop *home = tg_worker_home(vm);
  if (!home) return TG_EUNSUPPORTED;
  /* A worker's route may compute for long; a loop's time is everybody's. */
  uint64_t most = vm->settings->limits_cpu;
  if (job->cpu_budget > most) job->cpu_budget = most;
  return tg_loop_call_give(state->generation, home, vm->loop, job);
}

/* ---- pools ---- */

static void watch_worker(void *owner, struct tg_watch *watch, bool begins) {
  struct tg_process *process = owner;
  if (begins)
    tg_watchdog_add(process->watchdog, watch);
  else
    tg_watchdog_remove(process->watchdog, watch);
}

static int find_pool(const struct tg_process *process, const char *name) {
  for (unsigned i = 0; i < process->pool_count; i++)
    if (strcmp(process->pool_names[i], name) == 0) return (int)i;
  return -1;
}

static unsigned default_size(void) {
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  return cores > 4 ? 2 * (unsigned)cores : 8;
}

/* A generation may say otherwise than the one before it; the flag of the command line holds. */
static void limits_of(const struct tg_process *process, const struct tg_config *config,
                      const struct tg_config_pool *row, struct tg_worker_limits *limits) {
  const struct tg_settings *settings = &config->settings;
  int flag = process->options->workers;
  *limits = (struct tg_worker_limits){.size = (unsigned)settings->workers_size,
                                      .queue = (unsigned)settings->workers_queue,
                                      .max_wait = settings->workers_max_wait};
  if (flag > 0) limits->size = (unsigned)flag;
  if (!limits->size) limits->size = default_size();
  snprintf(limits->name, sizeof limits->name, "%s", row ? row->name : "default");
  if (row && row->size) limits->size = row->size;
  if (row && row->queue) limits->queue = row->queue;
  if (row && row->max_wait) limits->max_wait = row->max_wait;
}

/* Finds or makes the pool of a configuration's row (NULL: the default one). */
static int need_pool(struct tg_process *process, const struct tg_config *config,
                     const struct tg_config_pool *row) {
  struct tg_worker_limits limits;
  limits_of(process, config, row, &limits);
  int found = find_pool(process, limits.name);
  if (found >= 0) {
    tg_worker_pool_set_limits(process->pools[found], &limits);
    return found;
  }
  if (process->pool_count == TG_POOLS_MAX) return 0;
  struct tg_worker_pool *pool = tg_worker_pool_new(&process->host, &limits);
  if (!pool) return 0;
  tg_worker_pool_set_watch(pool, watch_worker, process);
  memcpy(process->pool_names[process->pool_count], limits.name, sizeof limits.name);
  process->pools[process->pool_count] = pool;
  return (int)process->pool_count++;
}

/* Routes name pools by their place in the configuration; pools outlive configurations. */
void tg_dispatch_resolve_pools(struct tg_process *process, struct tg_generation *generation) {
  int place[TG_POOLS_MAX + 1] = {0};
  place[0] = need_pool(process, &generation->config, NULL);
  for (size_t i = 0; i < generation->config.pool_count && i < TG_POOLS_MAX; i++)
    place[i + 1] = need_pool(process, &generation->config, &generation->config.pools[i]);
  for (uint32_t i = 0; i < generation->route_count; i++) {
    int pool = generation->routes[i].pool;
    if (pool >= 0) generation->routes[i].pool = pool <= TG_POOLS_MAX ? place[pool] : 0;
  }
}
