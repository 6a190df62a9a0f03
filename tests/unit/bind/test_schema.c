/* Schemas: the C side under its real Lua half, loaded from the disk into a plain state.
 *
 * What is to hold is written in Lua, a function each, in schema_cases.lua and schema_suite.lua: the
 * functions of the table that a file returns are called one after the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "bind/json.h"
#include "bind/schema.h"
#include "plain_vm.h"
#include "script/module.h"

#include <cmocka.h>

TG_MODULE(json)
TG_MODULE(schema)

static int l_open(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  return strcmp(name, "schema") == 0 ? tg_open_schema(L) : tg_open_json(L);
}

static int l_error_throw(lua_State *L) {
  tg_error_push(L, luaL_checkstring(L, 1), "%s", luaL_checkstring(L, 2));
  lua_pushnil(L);
  while (lua_istable(L, 3) && lua_next(L, 3)) { /* code message fields error key value */
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
  lua_settop(L, 4);
  return lua_error(L);
}

static int l_caller(lua_State *L) {
  lua_pushliteral(L, "here");
  return 1;
}

static void push_core(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"open", l_open}, {"error_throw", l_error_throw}, {"caller", l_caller}, {NULL, NULL}};
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "null");
}

static int l_traceback(lua_State *L) {
  if (!lua_isstring(L, 1)) lua_getfield(L, 1, "message"), lua_replace(L, 1);
  luaL_traceback(L, L, lua_tostring(L, 1), 1);
  return 1;
}

/* Runs every function of the table that a file returns. */
static void run_file(const char *path) {
  struct plain_vm plain;
  lua_State *L = plain_vm_open(&plain, tg_open_json);
  assert_int_equal(luaL_dostring(L, "package.path = 'lua/?.lua'"), 0);
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "loaded");
  push_core(L);
  lua_setfield(L, -2, "tidegate._core.core");
  lua_settop(L, 0);
  lua_pushcfunction(L, l_traceback);
  if (luaL_loadfile(L, path) || lua_pcall(L, 0, 1, 1)) fail_msg("%s", lua_tostring(L, -1));
  unsigned failed = 0, count = 0;
  for (lua_pushnil(L); lua_next(L, 2); lua_settop(L, 3)) { /* traceback table name function */
    int top = lua_gettop(L);
    if (lua_pcall(L, 0, 0, 1)) {
      fprintf(stderr, "%s: %s\n", lua_tostring(L, 3), lua_tostring(L, -1));
      failed++;
    } else {
      assert_int_equal(lua_gettop(L), top - 1);
    }
    count++;
  }
  assert_int_equal(failed, 0);
  assert_true(count > 0);
  plain_vm_close(&plain);
}

static void test_cases(void **state) {
  (void)state;
  run_file("tests/unit/bind/schema_cases.lua");
}

static void test_suite(void **state) {
  (void)state;
  run_file("tests/unit/bind/schema_suite.lua");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_suite)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
