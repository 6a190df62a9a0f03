/* Building a generation: read the files, load them into a first state that also checks them, turn
 * its routes into the C tree, then load the other states from the bytecode that came out.
 *
 * Every step that runs Lua is protected; errors gather in one Lua list, so that people see all of
 * them at once. */
#include "app/generation.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/route_list.h"
#include "app/tls_list.h"
#include "app/upstream_list.h"
#include "base/check.h"
#include "base/log_record.h"
#include "script/error.h"
#include "script/task.h"
#include "script/watch.h"

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

/* ---- loading one state ---- */

struct loading {
  struct tg_generation *generation;
  struct tg_vm *vm;
  bool lead; /* the first state: compiles, checks and gives the routes */
  struct tg_load_errors *errors;
};

static void push_files(lua_State *L, struct tg_bundle *bundle, bool sources) {  // .. files
  static const char *const kinds[] = {"config", "group", "route", "lib", "template"};
  lua_createtable(L, (int)bundle->count, 0);
  for (size_t i = 0; i < bundle->count; i++) {
    struct tg_bundle_file *file = &bundle->files[i];
    lua_createtable(L, 0, 4);  // .. files file
    lua_pushstring(L, file->path), lua_setfield(L, -2, "path");
    lua_pushstring(L, kinds[file->kind]), lua_setfield(L, -2, "kind");
    if (!sources && file->bytecode.len)
      lua_pushlstring(L, file->bytecode.ptr, file->bytecode.len), lua_setfield(L, -2, "bytecode");
    else
      lua_pushlstring(L, file->source.ptr ? file->source.ptr : "", file->source.len),
          lua_setfield(L, -2, "source");
    lua_rawseti(L, -2, (int)i + 1);  // .. files
  }
}

static void keep_bytecode(lua_State *L, int compiled, struct tg_bundle *bundle) {
  for (size_t i = 0; i < bundle->count; i++) {
    struct tg_bundle_file *file = &bundle->files[i];
    lua_getfield(L, compiled, file->path);  // .. bytes
    size_t len;
    const char *bytes = lua_tolstring(L, -1, &len);
    if (bytes && len) {
      file->bytecode = tg_arena_copy(&bundle->memory, tg_slice(bytes, len));
      if (!file->bytecode.ptr) tg_error_misuse(L, "not enough memory");
    }
    lua_pop(L, 1);
  }
}

static void keep_hook(lua_State *L, int app, const char *name, int *ref) {
  lua_getfield(L, app, "hooks");
  lua_getfield(L, -1, name);  // .. hooks fn
  *ref = lua_isfunction(L, -1) ? luaL_ref(L, LUA_REGISTRYINDEX) : (lua_pop(L, 1), LUA_NOREF);
  lua_pop(L, 1);
}

static int l_load(lua_State *L) {
  struct loading *loading = lua_touserdata(L, 1);
  struct tg_generation *generation = loading->generation;
  struct tg_app_state *state = loading->vm->owner;
  lua_settop(L, 0);
  lua_rawgeti(L, LUA_REGISTRYINDEX, loading->vm->ref_boot);
  lua_getfield(L, 1, "load_app");  // boot load_app
  push_files(L, generation->bundle, loading->lead);
  lua_newtable(L);    // boot load_app files opts
  lua_call(L, 2, 2);  // boot app errors
  if (loading->lead) {
    lua_getfield(L, 2, "compiled");  // boot app errors compiled
    keep_bytecode(L, 4, generation->bundle);
    lua_getfield(L, 2, "config");  // boot app errors compiled config
    tg_route_list_read_config(L, 5, generation);
    if (lua_objlen(L, 3) == 0) tg_route_list_build(L, 2, 3, generation);
  }
  if (lua_objlen(L, 3) != 0) {
    tg_load_errors_report(loading->errors, L, 3, generation->bundle);
    return 0;
  }
  tg_route_list_keep_functions(L, 2, generation, state);
  keep_hook(L, 2, "on_stop", &state->on_stop_ref);
  keep_hook(L, 2, "on_start", &state->on_start_ref);
  return 0;
}

/* ---- states ---- */

static struct tg_vm *load_vm(struct tg_generation *generation, struct tg_host *host,
                             struct tg_loop *loop, enum tg_role role, unsigned index, bool lead,
                             struct tg_watch *watch, struct tg_load_errors *errors) {
  char *why = NULL;
  struct tg_vm *vm = tg_vm_new(host, loop, role, index, &why);
  struct tg_app_state *state = calloc(1, sizeof *state);
  if (!vm || !state) {
    tg_load_errors_set_text(errors, why ? why : "out of memory");
    free(why);
    if (vm) tg_vm_free(vm);
    free(state);
    return NULL;
  }
  state->generation = generation;
  tg_list_init(&state->link);
  state->on_start_ref = state->on_stop_ref = LUA_NOREF;
  vm->owner = state;
  vm->generation = generation->number;
  vm->settings = &generation->config.settings;
  tg_generation_hold(generation);
  struct loading loading = {generation, vm, lead, errors};
  vm->watch = watch;
  if (watch) tg_watch_enter(watch, vm, TG_LOAD_BUDGET);
  tg_vm_begin_load(vm);
  int rc = lua_cpcall(vm->L, l_load, &loading);
  tg_vm_end_load(vm);
  if (watch) tg_watch_leave(watch);
  vm->watch = NULL;
  if (rc != 0) {
    if (!errors->count) tg_load_errors_set_raised(errors, generation->bundle, vm->L, vm->L, NULL);
    lua_pop(vm->L, 1);
  }
  if (!errors->count) return vm;
  tg_generation_free_vm(vm);
  return NULL;
}

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
  struct tg_vm *vm = load_vm(generation, host, loop, role, index, false, NULL, &errors);
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
  if (!vm) return false;
  generation->vms[generation->vm_count++] = vm;
  tg_vm_limit_memory(vm, generation->config.settings.limits_state_memory);
  if (!build->start_hooks) return true;
  vm->watch = build->watch;
  bool started = start_vm(vm, build->starting, errors);
  vm->watch = NULL;
  return started;
}

static bool load_states(struct tg_generation *generation, const struct tg_build *build,
                        struct tg_load_errors *errors) {
  enum tg_role role = build->loops ? TG_ROLE_LOOP : TG_ROLE_BUILDER;
  struct tg_vm *lead =
      load_vm(generation, build->host, build->loop, role, 0, true, build->watch, errors);
  if (!lead) return false;
  unsigned wanted = states_wanted(generation, build);
  generation->vms = calloc(wanted, sizeof(struct tg_vm *));
  if (!generation->vms || !tg_tls_list_open(generation, build, errors)) {
    tg_generation_free_vm(lead);
    return false;
  }
  if (!add_state(generation, build, lead, errors)) return false;
  for (unsigned i = 1; i < wanted; i++) {
    struct tg_vm *vm =
        load_vm(generation, build->host, build->loop, role, i, false, build->watch, errors);
    if (!add_state(generation, build, vm, errors)) return false;
  }
  return true;
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
  if (load_states(generation, build, errors)) return generation;
  if (!errors->count) tg_load_errors_set_text(errors, "the application could not be started");
  give_up(generation, build);
  return NULL;
}
