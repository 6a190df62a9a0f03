/* Building a generation: read the files, load them into a first state that also checks them and
 * whose routes become the C tree, and right behind it into the others, from the bytecode that comes
 * out. Then on_start runs in one after the other. */
#include "app/generation.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/followers.h"
#include "app/state_load.h"
#include "app/tls_list.h"
#include "app/upstream_list.h"
#include "base/check.h"
#include "base/log_record.h"
#include "script/task.h"

/* What an on_stop has where those before it have used up the time that they share. */
#define STOP_LEAST (100 * TG_MILLISECOND)

/* ---- references ---- */

void tg_generation_hold(struct tg_generation *generation) {
  atomic_fetch_add(&generation->refs, 1);
}

static void config_deinit(struct tg_config *config) {
  for (size_t i = 0; config->listen && config->listen[i]; i++) free(config->listen[i]);
  free(config->listen);
  free(config->pools);
  tg_tls_list_deinit(config);
  tg_upstream_list_deinit(config);
}

void tg_generation_release(struct tg_generation *generation) {
  if (atomic_fetch_sub(&generation->refs, 1) != 1) return;
  tg_route_tree_free(generation->tree);
  free(generation->routes);
  free(generation->vms);
  tg_arena_reset(&generation->arena);
  tg_bundle_free(generation->bundle);
  config_deinit(&generation->config);
  free(generation);
}

void tg_generation_free_vm(struct tg_vm *vm) {
  struct tg_app_state *state = vm->owner;
  struct tg_generation *generation = state->generation;
  tg_vm_free(vm);
  free(state->run_refs);
  free(state);
  tg_generation_release(generation);
}

/* ---- states ---- */

static bool start_vm(struct tg_vm *vm, struct tg_starting *starting,
                     struct tg_load_errors *errors) {
  struct tg_app_state *state = vm->owner;
  struct tg_hook hook = {.ref = state->on_start_ref,
                         .name = "on_start",
                         .setting = "timeouts.start",
                         .most = state->generation->config.settings.timeouts_start,
                         .starting = starting,
                         .errors = errors};
  if (starting && starting->cancelled) return false;
  state->started = hook.ref == LUA_NOREF || tg_hook_run(&hook, vm);
  return state->started;
}

struct tg_vm *tg_generation_new_vm(struct tg_generation *generation, struct tg_host *host,
                                   struct tg_loop *loop, enum tg_role role, unsigned index,
                                   struct tg_starting *starting, char **error) {
  struct tg_load_errors errors = {0};
  tg_upstream_list_serve(generation, loop);
  struct tg_state_load load = {.generation = generation,
                               .host = host,
                               .loop = loop,
                               .role = role,
                               .index = index,
                               .errors = &errors};
  struct tg_vm *vm = tg_state_load(&load);
  if (vm && !start_vm(vm, starting, &errors)) {
    tg_generation_free_vm(vm);
    vm = NULL;
  }
  if (vm) tg_vm_serve(vm);
  *error = vm ? NULL : strdup(errors.text ? errors.text : "on_start failed");
  tg_load_errors_deinit(&errors);
  return vm;
}

static void log_stop(const struct tg_vm *vm, const struct tg_load_errors *errors) {
  struct tg_log *log = vm->host->log;
  struct tg_log_record record;
  if (!log || !tg_log_enabled(log, TG_LOG_ERROR)) return;
  tg_log_record_begin(&record, log, TG_LOG_ERROR, TG_SLICE("on_stop failed"));
  tg_log_record_text(&record, "error", tg_slice_cstr(errors->text ? errors->text : "no memory"));
  tg_log_record_end(&record, log);
}

/* A hook that does not end must not keep the process, or the next reload, for ever. */
static uint64_t time_to_stop(const struct tg_vm *vm) {
  const struct tg_app_state *state = vm->owner;
  uint64_t most = vm->host->settings->timeouts_drain, now = tg_clock_now();
  if (most < TG_SECOND) most = TG_SECOND;
  if (!state->stop_from) return most;
  uint64_t due = state->stop_from + most;
  return due > now + STOP_LEAST ? due - now : STOP_LEAST;
}

static void run_on_stop(struct tg_vm *vm) {
  struct tg_app_state *state = vm->owner;
  struct tg_load_errors errors = {0};
  struct tg_hook hook = {.ref = state->on_stop_ref,
                         .name = "on_stop",
                         .setting = "timeouts.drain",
                         .most = time_to_stop(vm),
                         .errors = &errors};
  if (!tg_hook_run(&hook, vm)) log_stop(vm, &errors);
  tg_load_errors_deinit(&errors);
}

/* A state must not be closed while tasks of it are alive: those that on_stop has begun (by
 * tg.background, say) have no time any more. */
static void end_rest(struct tg_vm *vm) {
  tg_scope_cancel(vm->root, "shutdown");
  while (vm->task_count) uv_run(&vm->loop->uv, UV_RUN_ONCE);
}

void tg_generation_stop_vm(struct tg_vm *vm, void (*done)(struct tg_vm *vm)) {
  struct tg_app_state *state = vm->owner;
  if (!state->stopped) {
    state->stopped = true;
    if (state->started && state->on_stop_ref != LUA_NOREF) {
      run_on_stop(vm);
      if (vm->serving) end_rest(vm); /* else none of them has begun */
    }
    tg_scope_close_owned(vm->root);
  }
  tg_loop_job_remove(&vm->idle_job); /* the last task may have posted it */
  done(vm);
}

/* ---- building ---- */

static struct tg_generation *new_generation(const struct tg_build *build) {
  struct tg_generation *generation = calloc(1, sizeof *generation);
  if (!generation) return NULL;
  generation->number = build->number;
  generation->handle = build->handle;
  generation->config.path = build->config;
  atomic_init(&generation->refs, 1);
  tg_arena_init(&generation->arena, NULL, 0);
  /* from the defaults on: a key that was taken out has its default again */
  tg_settings_init(&generation->config.settings);
  return generation;
}

/* How many states are wanted is known when the first one has read tidegate.lua. */
static unsigned states_wanted(const struct tg_generation *generation,
                              const struct tg_build *build) {
  if (build->loops >= 0) return build->loops ? (unsigned)build->loops : 1;
  if (generation->config.settings.loops) return (unsigned)generation->config.settings.loops;
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  return cores > 0 ? (unsigned)cores : 1;
}

static bool add_state(struct tg_generation *generation, const struct tg_build *build,
                      struct tg_vm *vm, struct tg_load_errors *errors) {
  generation->vms[generation->vm_count++] = vm;
  tg_vm_limit_memory(vm, generation->config.settings.limits_state_memory);
  if (!build->start_hooks) return true;
  vm->watch = build->watch;
  bool started = start_vm(vm, build->starting, errors);
  vm->watch = NULL;
  return started;
}

static void on_configured(void *owner) {
  struct tg_followers *followers = owner;
  tg_followers_start(followers, states_wanted(followers->generation, followers->build));
}

/* All of them, before the first on_start. */
static struct tg_vm *load_states(struct tg_generation *generation, const struct tg_build *build,
                                 struct tg_followers *followers, struct tg_load_errors *errors) {
  struct tg_state_load load = {.generation = generation,
                               .host = build->host,
                               .loop = build->loop,
                               .role = build->loops ? TG_ROLE_LOOP : TG_ROLE_BUILDER,
                               .lead = true,
                               .pace = &followers->pace,
                               .watch = build->watch,
                               .errors = errors,
                               .configured = on_configured,
                               .owner = followers};
  struct tg_vm *lead = tg_state_load(&load);
  bool well = lead && tg_tls_list_open(generation, build, errors);
  if (tg_followers_finish(followers, well, errors) && well) {
    generation->vms = calloc(followers->wanted, sizeof(struct tg_vm *));
    if (generation->vms) return lead;
  }
  if (lead) tg_generation_free_vm(lead);
  return NULL;
}

static bool make_states(struct tg_generation *generation, const struct tg_build *build,
                        struct tg_load_errors *errors) {
  struct tg_followers followers;
  tg_followers_init(&followers, generation, build);
  struct tg_vm *lead = load_states(generation, build, &followers, errors);
  bool well = lead && add_state(generation, build, lead, errors);
  for (unsigned i = 1; well && i < followers.wanted; i++)
    well = add_state(generation, build, tg_followers_take(&followers, i), errors);
  tg_followers_deinit(&followers);
  return well;
}

/* What has started is stopped, although it has never served. */
static void give_up(struct tg_generation *generation, const struct tg_build *build) {
  for (unsigned i = 0; i < generation->vm_count; i++) {
    generation->vms[i]->watch = build->watch;
    tg_generation_stop_vm(generation->vms[i], tg_generation_free_vm);
  }
  tg_generation_release(generation);
}

struct tg_generation *tg_generation_build(const struct tg_build *build,
                                          struct tg_load_errors *errors) {
  *errors = (struct tg_load_errors){0};
  struct tg_bundle *bundle = NULL;
  struct tg_bundle_fault *faults = NULL;
  size_t fault_count = 0;
  tg_status status = build->without_files ? tg_bundle_empty(build->dir, &bundle)
                                          : tg_bundle_read(build->dir, build->config, &bundle,
                                                           &faults, &fault_count);
  if (status) {
    if (fault_count)
      tg_load_errors_set_faults(errors, faults, fault_count);
    else
      tg_load_errors_set_text(errors, tg_status_text(status));
    tg_bundle_faults_free(faults, fault_count);
    return NULL;
  }
  struct tg_generation *generation = new_generation(build);
  if (!generation) {
    tg_load_errors_set_text(errors, "out of memory");
    tg_bundle_free(bundle);
    return NULL;
  }
  generation->bundle = bundle;
  if (make_states(generation, build, errors)) return generation;
  if (!errors->count) tg_load_errors_set_text(errors, "the application could not be started");
  give_up(generation, build);
  return NULL;
}
