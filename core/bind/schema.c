/* The Lua module behind tg.schema: programs are built, and run over values. */
#include "bind/schema.h"

#include <lauxlib.h>

#include "bind/pattern.h"
#include "bind/schema_program.h"
#include "script/module.h"
#include "script/plain.h"
#include "script/vm.h"

TG_MODULE(schema)

/* Only its address matters: the key of the programs' metatable in the registry. */
static const char program_key;

static void push_metatable(lua_State *L) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)&program_key);
  lua_rawget(L, LUA_REGISTRYINDEX);
}

const struct tg_schema_program *tg_schema_find(lua_State *L, int index) {
  if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index)) return NULL;
  push_metatable(L);
  bool ours = lua_rawequal(L, -1, -2) && !lua_isnil(L, -1);
  lua_pop(L, 2);
  return ours ? lua_touserdata(L, index) : NULL;
}

/* --- defaults --- */

static void push_copy(lua_State *L, int index) {
  if (!lua_istable(L, index)) {
    lua_pushvalue(L, index);
    return;
  }
  luaL_checkstack(L, TG_SCHEMA_STACK, "schema");
  lua_newtable(L);
  int copy = lua_gettop(L);
  if (tg_plain_is_array(L, index)) tg_plain_mark_array(L, copy);
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {  // .. copy key value
    lua_pushvalue(L, -2);
    push_copy(L, copy + 2);
    lua_rawset(L, copy);
  }
}

void tg_schema_push_default(struct tg_schema_pass *pass, int place) {
  lua_State *L = pass->L;
  lua_rawgeti(L, pass->values, place);
  if (!lua_istable(L, -1)) return;
  push_copy(L, lua_gettop(L));
  lua_remove(L, -2);
}

/* --- the module --- */

/* build(description) -> program */
static int l_build(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  tg_schema_build(L, 1);
  push_metatable(L);
  lua_setmetatable(L, -2);
  return 1;
}

/* pattern(text) -> pattern | nil, why */
static int l_pattern(lua_State *L) {
  luaL_checktype(L, 1, LUA_TSTRING);
  return tg_pattern_push(L, 1);
}

/* The value that is not there: its default, or nothing. */
static enum tg_schema_outcome run_without(struct tg_schema_pass *pass,
                                          const struct tg_schema_node *root) {
  if (root->flags & TG_SCHEMA_DEFAULT) {
    lua_pop(pass->L, 1);
    tg_schema_push_default(pass, root->fallback);
    return TG_SCHEMA_CHANGED;
  }
  if (root->flags & TG_SCHEMA_OPTIONAL) return TG_SCHEMA_SAME;
  pass->report = true;
  return tg_schema_fail(pass, TG_SCHEMA_FAULT_MISSING, root);
}

static enum tg_schema_outcome run(struct tg_schema_pass *pass, int value) {
  const struct tg_schema_node *root = pass->program->nodes;
  lua_State *L = pass->L;
  lua_pushvalue(L, value);
  if (lua_isnil(L, -1)) return run_without(pass, root);
  enum tg_schema_outcome outcome = tg_schema_value(pass, root);
  if (outcome != TG_SCHEMA_FAILED) return outcome;
  /* Once more, to say what is wrong. Functions of the user see what the schema makes of a value. */
  pass->report = true;
  pass->work = 0;
  pass->budget = TG_PATTERN_BUDGET;
  pass->build = pass->program->has_checks ? TG_SCHEMA_COPY : TG_SCHEMA_LOOK;
  lua_pop(L, 1);
  lua_pushvalue(L, value);
  return tg_schema_value(pass, root);
}

enum { ARG_PROGRAM = 1, ARG_VALUE, ARG_COERCE, ARG_ERRORS, ARG_WHERE, ARG_FRESH, SLOT_VALUES };

/* run(program, value, coerce, errors, where, fresh) -> value, errors | nil, errors */
static int l_run(lua_State *L) {
  lua_settop(L, ARG_FRESH);
  const struct tg_schema_program *program = tg_schema_find(L, ARG_PROGRAM);
  if (!program) return luaL_argerror(L, ARG_PROGRAM, "a program expected");
  lua_getfenv(L, ARG_PROGRAM);  // SLOT_VALUES
  bool fresh = lua_toboolean(L, ARG_FRESH);
  struct tg_schema_pass pass = {.L = L,
                                .program = program,
                                .values = SLOT_VALUES,
                                .errors = ARG_ERRORS,
                                .where = ARG_WHERE,
                                .coerce = lua_toboolean(L, ARG_COERCE),
                                .from_json = fresh && !lua_toboolean(L, ARG_COERCE),
                                .budget = TG_PATTERN_BUDGET,
                                .build = fresh ? TG_SCHEMA_IN_PLACE : TG_SCHEMA_COPY};
  if (run(&pass, ARG_VALUE) == TG_SCHEMA_FAILED) {
    lua_pop(L, 1);
    lua_pushnil(L);
  }
  lua_pushvalue(L, ARG_ERRORS);
  return 2;
}

bool tg_schema_promise(lua_State *L, int program, int index) {
  int top = lua_gettop(L);
  luaL_checkstack(L, 2 * TG_SCHEMA_STACK, "schema");
  struct tg_schema_pass pass = {.L = L,
                                .program = tg_schema_find(L, program),
                                .values = top + 1,
                                .errors = top + 2,
                                .where = top + 3,
                                .budget = TG_PATTERN_BUDGET,
                                .build = TG_SCHEMA_LOOK};
  if (!pass.program) return luaL_error(L, "a schema that is none") != 0;
  lua_getfenv(L, program);
  lua_pushnil(L);
  lua_pushnil(L);
  bool holds = run(&pass, index) != TG_SCHEMA_FAILED;
  lua_settop(L, top + 2);
  lua_remove(L, top + 1);
  if (holds) lua_pop(L, 1);
  return holds;
}

/* promise(program, value) -> errors | nil */
static int l_promise(lua_State *L) {
  lua_settop(L, 2);
  return tg_schema_promise(L, 1, 2) ? 0 : 1;
}

/* encode(program, value) -> text; raises `json` */
static int l_encode(lua_State *L) {
  struct tg_vm *vm = tg_vm_of(L);
  struct tg_json_options opts = {.max_depth = (unsigned)vm->settings->limits_json_depth};
  struct tg_json_error err;
  lua_settop(L, 2);
  tg_buffer_clear(&vm->scratch);
  tg_status status = tg_schema_encode(L, 1, 2, &vm->scratch, &opts, &err);
  if (status) {
    tg_json_push_error(L, status, &err);
    return lua_error(L);
  }
  lua_pushlstring(L, vm->scratch.data, tg_buffer_size(&vm->scratch));
  return 1;
}

int tg_open_schema(lua_State *L) {
  static const luaL_Reg functions[] = {{"build", l_build},   {"pattern", l_pattern}, {"run", l_run},
                                       {"encode", l_encode}, {"promise", l_promise}, {NULL, NULL}};
  tg_plain_open(L);
  lua_pushlightuserdata(L, (void *)(uintptr_t)&program_key);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "tg.schema.program");
  lua_setfield(L, -2, "__metatable");
  lua_rawset(L, LUA_REGISTRYINDEX);
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
