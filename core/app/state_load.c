/* What _core/app.lua needs of C for a load: the files, a place for their bytecode, and the pace.
 *
 * Every step that runs Lua is protected; errors gather in one Lua list, so that people see all of
 * them at once. */
#include "app/state_load.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "app/route_list.h"
#include "script/error.h"
#include "script/watch.h"

static struct tg_state_load *load_of(lua_State *L) {
  return lua_touserdata(L, lua_upvalueindex(1));
}

static struct tg_bundle_file *file_at(lua_State *L) {
  struct tg_bundle *bundle = load_of(L)->generation->bundle;
  lua_Integer index = luaL_checkinteger(L, 1);
  luaL_argcheck(L, index >= 1 && (size_t)index <= bundle->count, 1, "no such file");
  return &bundle->files[index - 1];
}

/* ---- what the lead does ---- */

static int on_bytes(lua_State *L, const void *bytes, size_t len, void *to) {
  (void)L;
  return tg_buffer_append(to, bytes, len) != TG_OK;
}

/* keep(index, chunk | bytecode) */
static int l_keep(lua_State *L) {
  struct tg_bundle *bundle = load_of(L)->generation->bundle;
  struct tg_bundle_file *file = file_at(L);
  struct tg_buffer *scratch = &load_of(L)->vm->scratch;
  struct tg_slice bytes = {0};
  lua_settop(L, 2);
  if (lua_isstring(L, 2)) {
    bytes.ptr = lua_tolstring(L, 2, &bytes.len);
  } else {
    tg_buffer_clear(scratch);
    if (lua_dump(L, on_bytes, scratch) != 0) tg_error_misuse(L, "not enough memory");
    bytes = tg_buffer_slice(scratch);
  }
  file->bytecode = tg_arena_copy(&bundle->memory, bytes);
  if (!file->bytecode.ptr) tg_error_misuse(L, "not enough memory");
  return 0;
}

/* configured(config) */
static int l_configured(lua_State *L) {
  struct tg_state_load *load = load_of(L);
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  tg_route_list_read_config(L, 1, load->generation);
  if (load->configured) load->configured(load->owner);
  return 0;
}

/* done(): a step, and well */
static int l_done(lua_State *L) {
  struct tg_state_load *load = load_of(L);
  if (load->pace) tg_pace_step(load->pace);
  return 0;
}

/* ---- what the others do ---- */

/* load(index) -> chunk | nil, why */
static int l_load(lua_State *L) {
  struct tg_bundle_file *file = file_at(L);
  struct tg_slice text = file->bytecode.len ? file->bytecode : file->source;
  const char *name = lua_pushfstring(L, "@%s", file->path);
  if (luaL_loadbuffer(L, text.ptr ? text.ptr : "", text.len, name) == 0) return 1;
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}

/* await(): the lead has done the step that comes next */
static int l_await(lua_State *L) {
  struct tg_state_load *load = load_of(L);
  if (!load->pace || tg_pace_wait(load->pace, ++load->steps)) return 0;
  load->given_up = true;
  tg_error_misuse(L, "the load was given up");
  return 0;
}

/* ---- the call ---- */

static void push_files(lua_State *L, const struct tg_bundle *bundle, bool sources) {  // .. files
  static const char *const kinds[] = {"config", "group", "route", "lib", "template"};
  lua_createtable(L, (int)bundle->count, 0);
  for (size_t i = 0; i < bundle->count; i++) {
    const struct tg_bundle_file *file = &bundle->files[i];
    lua_createtable(L, 0, 4);  // .. files file
    lua_pushstring(L, file->path), lua_setfield(L, -2, "path");
    lua_pushstring(L, kinds[file->kind]), lua_setfield(L, -2, "kind");
    lua_pushinteger(L, (lua_Integer)i + 1), lua_setfield(L, -2, "index");
    if (sources) {
      lua_pushlstring(L, file->source.ptr ? file->source.ptr : "", file->source.len);
      lua_setfield(L, -2, "source");
    }
    lua_rawseti(L, -2, (int)i + 1);  // .. files
  }
}

static void push_calls(lua_State *L, struct tg_state_load *load) {  // .. calls
  static const luaL_Reg of_lead[] = {
      {"keep", l_keep}, {"configured", l_configured}, {"done", l_done}, {NULL, NULL}};
  static const luaL_Reg of_others[] = {{"load", l_load}, {"await", l_await}, {NULL, NULL}};
  lua_createtable(L, 0, 4);
  for (const luaL_Reg *row = load->lead ? of_lead : of_others; row->name; row++) {
    lua_pushlightuserdata(L, load);
    lua_pushcclosure(L, row->func, 1);
    lua_setfield(L, -2, row->name);
  }
}

static void keep_hook(lua_State *L, int app, const char *name, int *ref) {
  lua_getfield(L, app, "hooks");
  lua_getfield(L, -1, name);  // .. hooks fn
  *ref = lua_isfunction(L, -1) ? luaL_ref(L, LUA_REGISTRYINDEX) : (lua_pop(L, 1), LUA_NOREF);
  lua_pop(L, 1);
}

static int l_run(lua_State *L) {
  struct tg_state_load *load = lua_touserdata(L, 1);
  struct tg_generation *generation = load->generation;
  struct tg_app_state *state = load->vm->owner;
  lua_settop(L, 0);
  lua_rawgeti(L, LUA_REGISTRYINDEX, load->vm->ref_boot);
  lua_getfield(L, 1, "load_app");  // boot load_app
  push_files(L, generation->bundle, load->lead);
  push_calls(L, load);  // boot load_app files calls
  lua_call(L, 2, 2);    // boot app errors
  if (load->lead && lua_objlen(L, 3) == 0) tg_route_list_build(L, 2, 3, generation);
  if (lua_objlen(L, 3) != 0) {
    tg_load_errors_report(load->errors, L, 3, generation->bundle);
    return 0;
  }
  /* the routes are compared with the lead's */
  if (!load->lead && load->pace && !tg_pace_wait(load->pace, TG_PACE_END)) {
    load->given_up = true;
    return 0;
  }
  tg_route_list_keep_functions(L, 2, generation, state);
  keep_hook(L, 2, "on_stop", &state->on_stop_ref);
  keep_hook(L, 2, "on_start", &state->on_start_ref);
  return 0;
}

static struct tg_vm *new_vm(struct tg_state_load *load) {
  char *why = NULL;
  struct tg_vm *vm = tg_vm_new(load->host, load->loop, load->role, load->index, &why);
  struct tg_app_state *state = calloc(1, sizeof *state);
  if (!vm || !state) {
    tg_load_errors_set_text(load->errors, why ? why : "out of memory");
    free(why);
    if (vm) tg_vm_free(vm);
    free(state);
    return NULL;
  }
  state->generation = load->generation;
  tg_list_init(&state->link);
  state->on_start_ref = state->on_stop_ref = LUA_NOREF;
  vm->owner = state;
  vm->generation = load->generation->number;
  vm->settings = &load->generation->config.settings;
  tg_generation_hold(load->generation);
  return vm;
}

struct tg_vm *tg_state_load(struct tg_state_load *load) {
  struct tg_vm *vm = load->vm = new_vm(load);
  if (!vm) return NULL;
  vm->watch = load->watch;
  if (load->watch) tg_watch_enter(load->watch, vm, TG_LOAD_BUDGET);
  tg_vm_begin_load(vm);
  int rc = lua_cpcall(vm->L, l_run, load);
  tg_vm_end_load(vm);
  if (load->watch) tg_watch_leave(load->watch);
  vm->watch = NULL;
  if (rc != 0) {
    if (!load->errors->count && !load->given_up)
      tg_load_errors_set_raised(load->errors, load->generation->bundle, vm->L, vm->L, NULL);
    lua_pop(vm->L, 1);
  }
  if (!load->errors->count && !load->given_up) return vm;
  tg_generation_free_vm(vm);
  return NULL;
}
