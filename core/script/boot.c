/* The table `core`: everything of C that _core/boot.lua and its neighbours build on.
 *
 * User code never sees it. It holds the awaitables (wrapped by boot.lua in `take`), the openers of
 * the C modules, error objects, the clock, and the few questions about tasks that the sandbox asks.
 */
#include "script/boot.h"

#include <errno.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "script/child.h"
#include "script/error.h"
#include "script/job.h"
#include "script/module.h"
#include "script/nursery.h"
#include "script/op.h"
#include "script/plain.h"
#include "script/task.h"
#include "script/vm.h"

/* ---- the embedded library ---- */

static const struct tg_blob *find_blob(const char *name) {
  for (const struct tg_blob *blob = tg_blobs; blob->name; blob++)
    if (strcmp(blob->name, name) == 0) return blob;
  return NULL;
}

static int load_from_disk(lua_State *L, const char *dir, const struct tg_blob *blob) {
  /* chunk names are "@lua/tidegate/..."; the folder given stands for "lua" */
  const char *path = lua_pushfstring(L, "%s/%s", dir, blob->chunkname + 5);  // .. path
  int rc = luaL_loadfile(L, path);                                           // .. path chunk
  lua_remove(L, -2);                                                         // .. chunk
  return rc;
}

/* package.loaders entry: "tidegate.x" from the program, or from --lua-dir. */
static int l_search(lua_State *L) {
  const struct tg_blob *blob = find_blob(luaL_checkstring(L, 1));
  const char *dir = tg_vm_of(L)->host->lua_dir;
  if (!blob) {
    lua_pushfstring(L, "\n\tno module '%s' in the program", lua_tostring(L, 1));
    return 1;
  }
  int rc = dir ? load_from_disk(L, dir, blob)
               : luaL_loadbuffer(L, (const char *)blob->bytes, blob->len, blob->chunkname);
  return rc ? lua_error(L) : 1;
}

static int l_has_module(lua_State *L) {
  lua_pushboolean(L, find_blob(luaL_checkstring(L, 1)) != NULL);
  return 1;
}

static void install_searcher(lua_State *L) {
  lua_getglobal(L, "package");                        // package
  lua_getfield(L, -1, "loaders");                     // package loaders
  for (int i = (int)lua_objlen(L, -1); i >= 2; i--) { /* after package.preload, before the disk */
    lua_rawgeti(L, -1, i);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushcfunction(L, l_search);
  lua_rawseti(L, -2, 2);
  lua_pop(L, 2);
}

/* ---- modules ---- */

static int l_open(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  for (const struct tg_registry_entry *entry = tg_registry_modules; entry->name; entry++)
    if (strcmp(entry->name, name) == 0) return entry->open(L);
  return luaL_error(L, "no module '%s' in the program", name);
}

static void push_names(lua_State *L, const struct tg_registry_entry *entries) {  // .. list
  lua_newtable(L);
  for (int i = 0; entries[i].name; i++) {
    lua_pushstring(L, entries[i].name);
    lua_rawseti(L, -2, i + 1);
  }
}

static void push_ops(lua_State *L) {  // .. map
  lua_newtable(L);
  for (const struct tg_registry_entry *entry = tg_registry_awaitables; entry->name; entry++) {
    lua_pushcfunction(L, entry->open);
    lua_setfield(L, -2, entry->name);
  }
}

/* ---- errors ---- */

/* core.error_new(code, message, fields|nil) */
static int l_error_new(lua_State *L) {
  const char *code = luaL_checkstring(L, 1);
  const char *message = luaL_checkstring(L, 2);
  tg_error_push(L, code, "%s", "");  // code message fields error
  lua_pushvalue(L, 2);
  (void)message;
  lua_setfield(L, -2, "message");
  if (lua_istable(L, 3))
    for (lua_pushnil(L); lua_next(L, 3);) {  // .. error key value
      lua_pushvalue(L, -2);
      lua_insert(L, -2);  // .. error key key value
      lua_rawset(L, -4);  // .. error key
    }
  return 1;
}

/* core.error_throw(code, message, fields|nil): with the place of the nearest user frame. */
static int l_error_throw(lua_State *L) {
  l_error_new(L);  // .. error
  lua_getfield(L, -1, "place");
  bool placed = !lua_isnil(L, -1);
  lua_pop(L, 1);
  if (!placed) {
    tg_error_push_place(L, 1);
    lua_setfield(L, -2, "place");
  }
  return lua_error(L);
}

static int l_is_error(lua_State *L) {
  lua_pushboolean(L, tg_error_is(L, 1));
  return 1;
}

static int l_is_cancelled(lua_State *L) {
  lua_pushboolean(L, tg_error_has_code(L, 1, "cancelled"));
  return 1;
}

static int l_caller(lua_State *L) {
  tg_error_push_place(L, (int)luaL_optinteger(L, 1, 1));
  return 1;
}

/* ---- tasks ---- */

/* A worker that computes opens no letters, and has to ask whether anybody waits. */
static bool is_cancelled(struct tg_vm *vm) {
  if (vm->role == TG_ROLE_WORKER && vm->host->look) vm->host->look(vm);
  return vm->running && tg_task_cancelled(vm->running);
}

static int l_cancelled(lua_State *L) {
  lua_pushboolean(L, is_cancelled(tg_vm_of(L)));
  return 1;
}

static int l_check_cancelled(lua_State *L) {
  if (is_cancelled(tg_vm_of(L))) tg_op_throw_cancelled(L);
  return 0;
}

static int l_in_task(lua_State *L) {
  lua_pushboolean(L, tg_vm_of(L)->running != NULL);
  return 1;
}

static int l_nest(lua_State *L) {
  struct tg_vm *vm = tg_vm_of(L);
  int delta = (int)luaL_checkinteger(L, 1);
  int16_t *depth = vm->running ? &vm->running->depth : &vm->depth;
  *depth = (int16_t)(*depth + delta);
  lua_pushinteger(L, *depth);
  return 1;
}

/* A suspension that cannot get outward: see tg_op_abandon. */
static int l_abandon(lua_State *L) {
  struct tg_task *task = tg_vm_of(L)->running;
  if (task) tg_op_abandon(task);
  return 0;
}

static int l_yieldable(lua_State *L) {
  lua_pushboolean(L, lua_isyieldable(L));
  return 1;
}

/* ---- time, files, output ---- */

static int l_now(lua_State *L) {
  lua_pushnumber(L, (double)tg_loop_time(tg_vm_of(L)->loop) / 1e9);
  return 1;
}

static int l_time(lua_State *L) {
  lua_pushnumber(L, (double)tg_loop_wall(tg_vm_of(L)->loop) / 1e9);
  return 1;
}

static const char *read_all(FILE *file, luaL_Buffer *buffer) {
  size_t n;
  do {
    char *to = luaL_prepbuffer(buffer);
    n = fread(to, 1, LUAL_BUFFERSIZE, file);
    luaL_addsize(buffer, n);
  } while (n == LUAL_BUFFERSIZE);
  return ferror(file) ? strerror(EIO) : NULL;
}

struct reader {
  FILE *file;
};

static int l_read_open_file(lua_State *L) {
  struct reader *reader = lua_touserdata(L, 1);
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  const char *why = read_all(reader->file, &buffer);
  luaL_pushresult(&buffer);
  return why ? luaL_error(L, "%s", why) : 1;
}

/* core.read_file(path) -> text | nil, why. Blocks; for modules of lua_modules. */
static int l_read_file(lua_State *L) {
  struct reader reader = {fopen(luaL_checkstring(L, 1), "rbe")};
  if (!reader.file) {
    lua_pushnil(L);
    lua_pushstring(L, strerror(errno));
    return 2;
  }
  lua_pushcfunction(L, l_read_open_file);
  lua_pushlightuserdata(L, &reader);
  int rc = lua_pcall(L, 1, 1, 0);
  fclose(reader.file);
  if (rc == 0) return 1;
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}

static const char *role_name(enum tg_role role) {
  return role == TG_ROLE_LOOP ? "loop" : role == TG_ROLE_WORKER ? "worker" : "builder";
}

/* core.load_settings() -> list of rows */
static int l_load_settings(lua_State *L) {  // .. list
  lua_newtable(L);
  for (int i = 0; tg_settings_rows[i].key; i++) {
    static const char *const kinds[] = {"count", "bytes", "seconds", "flag"};
    const struct tg_setting_row *row = &tg_settings_rows[i];
    lua_createtable(L, 0, 6);  // .. list row
    lua_pushstring(L, row->key), lua_setfield(L, -2, "key");
    lua_pushstring(L, kinds[row->kind]), lua_setfield(L, -2, "kind");
    lua_pushnumber(L, row->def), lua_setfield(L, -2, "default");
    lua_pushnumber(L, row->min), lua_setfield(L, -2, "min");
    lua_pushnumber(L, row->max), lua_setfield(L, -2, "max");
    lua_pushstring(L, row->doc), lua_setfield(L, -2, "doc");
    lua_rawseti(L, -2, i + 1);  // .. list
  }
  return 1;
}

/* core.traceback(): of the caller, our own frames left out */
static int l_traceback(lua_State *L) {
  struct tg_buffer text = {0};
  luaL_traceback(L, L, NULL, 1);  // trace
  tg_error_fold(&text, lua_tostring(L, -1));
  struct tg_slice folded = tg_buffer_slice(&text);
  char copy[4096];
  size_t len = folded.len < sizeof copy ? folded.len : sizeof copy;
  if (len) memcpy(copy, folded.ptr, len);
  tg_buffer_deinit(&text);
  lua_pushlstring(L, copy, len);
  return 1;
}

static const luaL_Reg functions[] = {{"take", tg_op_take},
                                     {"open", l_open},
                                     {"has_module", l_has_module},
                                     {"error_new", l_error_new},
                                     {"error_throw", l_error_throw},
                                     {"is_error", l_is_error},
                                     {"is_cancelled", l_is_cancelled},
                                     {"caller", l_caller},
                                     {"cancelled", l_cancelled},
                                     {"check_cancelled", l_check_cancelled},
                                     {"in_task", l_in_task},
                                     {"nest", l_nest},
                                     {"abandon", l_abandon},
                                     {"yieldable", l_yieldable},
                                     {"now", l_now},
                                     {"time", l_time},
                                     {"read_file", l_read_file},
                                     {"traceback", l_traceback},
                                     {"load_settings", l_load_settings},
                                     {NULL, NULL}};

static void push_core(lua_State *L, struct tg_vm *vm) {  // .. core
  lua_createtable(L, 0, 32);
  luaL_register(L, NULL, functions);
  tg_nursery_open(L);
  tg_child_open(L);
  tg_job_open(L);
  push_ops(L), lua_setfield(L, -2, "ops");
  lua_getglobal(L, "pcall"), lua_setfield(L, -2, "raw_pcall");
  lua_getglobal(L, "xpcall"), lua_setfield(L, -2, "raw_xpcall");
  lua_pushstring(L, vm->host->app_dir ? vm->host->app_dir : "."), lua_setfield(L, -2, "app_dir");
  push_names(L, tg_registry_modules), lua_setfield(L, -2, "modules");
  lua_pushstring(L, role_name(vm->role)), lua_setfield(L, -2, "role");
  lua_pushboolean(L, vm->host->dev), lua_setfield(L, -2, "dev");
  lua_pushlightuserdata(L, (void *)&tg_task_mark), lua_setfield(L, -2, "mark");
  lua_pushlightuserdata(L, NULL), lua_setfield(L, -2, "null");
}

static int keep_field(lua_State *L, const char *name) {  // .. boot
  lua_getfield(L, -1, name);
  if (lua_isnil(L, -1)) luaL_error(L, "_core/boot.lua did not return '%s'", name);
  return luaL_ref(L, LUA_REGISTRYINDEX);
}

int tg_boot_state(lua_State *L) {
  struct tg_vm *vm = lua_touserdata(L, 1);
  lua_settop(L, 0);
  vm->side = lua_newthread(L);  // side
  luaL_ref(L, LUA_REGISTRYINDEX);
  luaL_openlibs(L);
  tg_error_open(L);
  tg_plain_open(L);
  install_searcher(L);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "tidegate._core.boot");
  lua_call(L, 1, 1);  // boot
  push_core(L, vm);   // boot core
  lua_call(L, 1, 1);  // state
  vm->ref_tg = keep_field(L, "tg");
  vm->ref_env = keep_field(L, "env");
  vm->ref_prepare = keep_field(L, "prepare");
  vm->ref_finish = keep_field(L, "finish");
  vm->ref_boot = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}
