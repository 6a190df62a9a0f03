/* Reading a table may throw at any string; so it is done protected, with the program at hand. */
#include "await/program_spec.h"

#include <errno.h>
#include <lauxlib.h>

#include "base/clock.h"
#include "script/error.h"
#include "script/vm.h"

static struct tg_slice string_at(lua_State *L, int index) {
  struct tg_slice text;
  text.ptr = luaL_checklstring(L, index, &text.len);
  return text;
}

static void check(lua_State *L, tg_status status) {
  if (status) tg_error_throw(L, "out_of_memory", "tg.process: no memory");
}

/* fill(program, spec) */
static int l_fill(lua_State *L) {
  struct tg_program *program = lua_touserdata(L, 1);
  lua_getfield(L, 2, "argv");  // program spec argv
  for (int i = 1; i <= (int)lua_objlen(L, 3); i++) {
    lua_rawgeti(L, 3, i);
    check(L, tg_program_add_arg(program, string_at(L, -1)));
    lua_settop(L, 3);
  }
  luaL_argcheck(L, program->argv.count, 2, "no arguments");
  lua_getfield(L, 2, "env");  // program spec argv env
  for (int i = 1; i < (int)lua_objlen(L, 4); i += 2) {
    lua_rawgeti(L, 4, i);
    lua_rawgeti(L, 4, i + 1);  // .. name value
    struct tg_slice value = lua_toboolean(L, 6) ? string_at(L, 6) : tg_slice(NULL, 0);
    check(L, tg_program_add_env(program, string_at(L, 5), value));
    lua_settop(L, 4);
  }
  lua_getfield(L, 2, "cwd");
  if (!lua_isnil(L, -1)) check(L, tg_program_set_cwd(program, string_at(L, -1)));
  lua_getfield(L, 2, "clear_env");
  program->clear_env = lua_toboolean(L, -1);
  lua_getfield(L, 2, "io");
  for (int i = 0; i < 3; i++) {
    lua_rawgeti(L, -1, i + 1);
    program->io[i] = (enum tg_program_io)lua_tointeger(L, -1);
    lua_pop(L, 1);
  }
  return 0;
}

struct tg_program *tg_program_read(lua_State *L, int index) {
  luaL_checktype(L, index, LUA_TTABLE);
  luaL_checkstack(L, 3, NULL);
  struct tg_program *program = tg_program_new(tg_vm_of(L)->loop);
  if (!program) tg_error_throw(L, "out_of_memory", "tg.process: no memory");
  lua_pushcfunction(L, l_fill);
  lua_pushlightuserdata(L, program);
  lua_pushvalue(L, index);
  if (lua_pcall(L, 2, 0, 0) == 0) return program;
  tg_program_release(program);
  lua_error(L);
  __builtin_unreachable();
}

uint64_t tg_program_seconds(lua_State *L, int index, const char *key) {
  lua_getfield(L, index, key);
  lua_Number seconds = lua_tonumber(L, -1);
  lua_pop(L, 1);
  return seconds > 0 ? (uint64_t)(seconds * 1e9) : 0;
}

/* ---- faults ---- */

static bool push_folder_fault(lua_State *L, const struct tg_program *program, const char *what) {
  const char *cwd = program->cwd;
  switch (program->status) {
    case UV_ENOENT: tg_error_push(L, "not_found", "%s: there is no folder %s", what, cwd); break;
    case UV_ENOTDIR: tg_error_push(L, "not_found", "%s: %s is no folder", what, cwd); break;
    case UV_EACCES: tg_error_push(L, "permission", "%s: no way into %s", what, cwd); break;
    default: return false;
  }
  return true;
}

static bool push_file_fault(lua_State *L, const struct tg_program *program, const char *what) {
  const char *name = program->argv.list[0];
  bool is_path = strchr(name, '/') != NULL;
  switch (program->status) {
    case UV_ENOENT:
      tg_error_push(L, "not_found", "%s: there is no program %s%s", what, name,
                    is_path ? "" : " in the folders of PATH");
      break;
    case UV_EACCES:
    case UV_EPERM: tg_error_push(L, "permission", "%s: %s may not be executed", what, name); break;
    case UV_ENOTDIR: tg_error_push(L, "not_found", "%s: there is no program %s", what, name); break;
    case -ENOEXEC:
      tg_error_push(L, "invalid", "%s: %s is no program, and no script that begins with #!", what,
                    name);
      break;
    case UV_E2BIG:
      tg_error_push(L, "too_large", "%s: arguments and environment are too large", what);
      break;
    default: return false;
  }
  return true;
}

void tg_program_push_fault(lua_State *L, const struct tg_program *program, const char *what) {
  bool pushed = false;
  if (program->fault == TG_PROGRAM_BAD_CWD) pushed = push_folder_fault(L, program, what);
  if (program->fault == TG_PROGRAM_BAD_FILE) pushed = push_file_fault(L, program, what);
  if (!pushed) tg_error_push_status(L, program->status, what);
  tg_error_push_place(L, 0);
  lua_setfield(L, -2, "place");
}
