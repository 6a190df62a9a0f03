/* One build at a time, on the builder's thread; what is asked for meanwhile shares the next one. An
 * on_start that suspends holds a build up: once something newer is asked for it has a moment left.
 */
#include "app/reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/builder.h"
#include "app/dev_pages.h"
#include "app/dispatch.h"
#include "app/forward_rules.h"
#include "app/loop_thread.h"
#include "app/process.h"
#include "app/tls_sites.h"
#include "app/watcher.h"
#include "base/check.h"
#include "upstream/groups.h"

/* How old a build may become when there is something newer to build. */
#define SUPERSEDE_AFTER TG_SECOND

struct tg_reload_waiter {
  struct tg_list link;
  tg_reload_cb done;
  void *owner;
};

void tg_reload_publish(struct tg_process *process, struct tg_generation *generation) {
  generation->process = process;
  if (process->options->dev) generation->routing.first = tg_dev_answer_first;
  tg_dispatch_resolve_pools(process, generation);
  tg_groups_serve(process->host.groups, &process->control, &generation->config.settings,
                  generation->number);
  if (tg_groups_apply(process->host.groups, generation->config.upstreams,
                      generation->config.upstream_count, generation->number))
    tg_process_say(process, TG_LOG_ERROR, "not all upstreams could be changed: no memory", NULL,
                   NULL);
  tg_forward_rules_resolve(generation, process->host.forwarder);
  for (unsigned i = 0; i < process->loop_count; i++) {
    generation->vms[i]->loop = &process->loops[i]->loop;
    generation->vms[i]->watch = &process->loops[i]->stall.watch;
  }
  tg_tls_sites_take(process->tls, generation);
  struct tg_generation *old = atomic_exchange(&process->current, generation);
  for (unsigned i = 0; i < process->loop_count; i++)
    tg_loop_thread_serve(process->loops[i], generation);
  if (!old) return;
  for (unsigned i = 0; i < process->loop_count; i++) tg_loop_thread_retire(process->loops[i], old);
  for (unsigned i = 0; i < process->pool_count; i++)
    tg_worker_pool_retire(process->pools[i], generation);
  tg_generation_release(old);
}

void tg_reload_discard(struct tg_process *process, struct tg_generation *generation) {
  for (unsigned i = 0; i < generation->vm_count; i++)
    tg_builder_close_vm(process->builder, generation->vms[i]);
  tg_generation_release(generation);
}

static void note_outcome(struct tg_process *process, struct tg_generation *generation,
                         const struct tg_load_errors *errors, uint64_t took) {
  tg_dev_notes_set(&process->dev_notes, generation ? NULL : errors->text ? errors->text : "");
  free(process->last_error);
  process->last_error = NULL;
  if (generation) {
    char text[128];
    snprintf(text, sizeof text, "generation %llu, %u routes, %.1f ms",
             (unsigned long long)generation->number, generation->own_count, (double)took / 1e6);
    process->reloads++;
    tg_process_say(process, TG_LOG_INFO, "reloaded", "now", text);
    return;
  }
  process->failed_reloads++;
  process->last_error = strdup(errors->text ? errors->text : "");
  if (process->options->dev && errors->text)
    fprintf(stderr, "\n%s\nthe last good version goes on serving\n", errors->text);
  else
    tg_process_say(process, TG_LOG_ERROR, "reload failed; the last good version goes on serving",
                   "errors", errors->text ? errors->text : "");
}

static void start_build(struct tg_process *process);

/* All that were told of the build under way, and all that wait for the next one. */
static void tell_outcome(struct tg_process *process, struct tg_generation *generation,
                         const struct tg_load_errors *errors) {
  struct tg_list waiting;
  tg_list_init(&waiting);
  if (process->stopping) tg_list_move(&process->told, &process->waiting);
  tg_list_move(&waiting, &process->told);
  const struct tg_generation *current = atomic_load(&process->current);
  uint64_t number = current ? current->number : 0;
  struct tg_list *link;
  while ((link = tg_list_take_first(&waiting))) {
    struct tg_reload_waiter *waiter = TG_CONTAINER(link, struct tg_reload_waiter, link);
    if (waiter->done) waiter->done(waiter->owner, number, generation ? NULL : errors);
    free(waiter);
  }
}

/* For whoever asks for a reload too late. */
static const struct tg_load_errors ends = {.count = 1,
                                           .text = "error: the server is stopping\n",
                                           .json = "[{\"message\":\"the server is stopping\"}]"};

static void on_rebuilt(void *owner, struct tg_generation *generation,
                       const struct tg_load_errors *errors, uint64_t took) {
  struct tg_process *process = owner;
  bool superseded = process->superseded && !generation;
  process->building = process->superseded = false;
  tg_timer_stop(&process->control.timers, &process->supersede);
  if (process->stopping) {
    if (generation) tg_reload_discard(process, generation);
    tell_outcome(process, NULL, &ends);
  } else if (superseded) { /* who waits for it is told of the next one's outcome */
    tg_process_say(process, TG_LOG_WARN, "on_start was given up: a newer version is there", NULL,
                   NULL);
  } else {
    note_outcome(process, generation, errors, took);
    if (generation) {
      tg_reload_publish(process, generation);
      if (process->watcher) tg_watcher_set_hash(process->watcher, generation->bundle->hash);
    }
    tell_outcome(process, generation, errors);
  }
  if (process->build_again && !process->stopping) start_build(process);
}

void tg_reload_describe(struct tg_process *process, struct tg_build *build) {
  *build = (struct tg_build){
      .host = &process->host,
      .dir = process->host.app_dir,
      .config = process->options->config,
      .number = ++process->next_generation,
      .loops = (int)process->loop_count,
      .start_hooks = true,
      .opens_tls = !process->options->listen_count, /* else tidegate.lua's addresses are not used */
      .tickets = process->tickets,
      .handle = tg_dispatch_exchange,
  };
}

static void start_build(struct tg_process *process) {
  struct tg_build build;
  process->building = true;
  process->build_again = false;
  process->build_begun = tg_clock_now();
  tg_list_move(&process->told, &process->waiting);
  tg_reload_describe(process, &build);
  tg_builder_build(process->builder, &build, &process->control, on_rebuilt, process);
}

static void on_supersede(struct tg_timer *timer) {
  struct tg_process *process = TG_CONTAINER(timer, struct tg_process, supersede);
  process->superseded = true;
  tg_builder_cancel(process->builder, process->next_generation, "superseded");
}

void tg_process_reload(struct tg_process *process, tg_reload_cb done, void *owner) {
  struct tg_reload_waiter *waiter = tg_check_calloc(1, sizeof *waiter);
  waiter->done = done;
  waiter->owner = owner;
  tg_list_append(&process->waiting, &waiter->link);
  if (process->stopping && !process->building) {
    tell_outcome(process, NULL, &ends);
    return;
  }
  if (!process->building) {
    start_build(process);
    return;
  }
  process->build_again = true;
  /* Without memory for the timer it waits for timeouts.start. */
  if (!tg_timer_active(&process->supersede) && !process->superseded)
    (void)!tg_timer_start(&process->control.timers, &process->supersede,
                          process->build_begun + SUPERSEDE_AFTER, on_supersede);
}

void tg_reload_cancel(struct tg_process *process) {
  tg_builder_cancel(process->builder, process->next_generation, "shutdown");
}

void tg_reload_on_changed(void *owner) {
  tg_process_reload(owner, NULL, NULL);
}
