/* Plain values across two Lua states. */
#include "script/values.h"

#include <lauxlib.h>
#include <lualib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "script/plain.h"

#include <cmocka.h>

static lua_State *new_state(void) {
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  tg_plain_open(L);
  lua_pushlightuserdata(L, NULL);
  lua_setglobal(L, "null");
  lua_newtable(L);
  tg_plain_mark_array(L, -1);
  lua_getmetatable(L, -1);
  lua_setglobal(L, "mark");
  lua_settop(L, 0);
  return L;
}

struct message {
  struct tg_slice bytes;
  int count;
};

static int l_unpack(lua_State *L) {
  struct message *message = lua_touserdata(L, 1);
  lua_settop(L, 0);
  message->count = tg_values_unpack(L, message->bytes.ptr, message->bytes.len);
  assert_int_equal(lua_gettop(L), message->count);
  return message->count;
}

/* Unpacks an exact copy, so that a read past its end is found; the pcall status. */
static int unpack(lua_State *L, const char *bytes, size_t len, int *count) {
  char *copy = malloc(len ? len : 1);
  memcpy(copy, bytes, len);
  struct message message = {tg_slice(copy, len), 0};
  lua_pushcfunction(L, l_unpack);
  lua_pushlightuserdata(L, &message);
  int status = lua_pcall(L, 1, LUA_MULTRET, 0);
  free(copy);
  *count = message.count;
  return status;
}

/* `make` returns values, `test` gets them as `...` in another state and says whether they are
 * right. */
static void check(const char *make, const char *test) {
  lua_State *from = new_state(), *to = new_state();
  assert_int_equal(luaL_dostring(from, make), 0);
  int top = lua_gettop(from), count;
  struct tg_buffer out = {0};
  char *path = NULL;
  assert_int_equal(tg_values_pack(from, 1, top, &out, &path), TG_OK);
  assert_null(path);
  assert_int_equal(lua_gettop(from), top);
  if (luaL_loadstring(to, test)) fail_msg("%s", lua_tostring(to, -1));
  assert_int_equal(unpack(to, out.data, out.len, &count), 0);
  assert_int_equal(count, top);
  if (lua_pcall(to, count, 1, 0)) fail_msg("%s: %s", make, lua_tostring(to, -1));
  if (!lua_toboolean(to, -1)) fail_msg("%s: not so: %s", make, test);
  tg_buffer_deinit(&out);
  lua_close(from);
  lua_close(to);
}

static void test_crossing(void **state) {
  (void)state;
  check("return", "return select('#', ...) == 0");
  check(
      "return nil, true, false, null, 1.5, -0.0, 'a\\0b', ''",
      "local n, t, f, z, d, m, s, e = ... return n == nil and t == true and f == false and z == "
      "null and d == 1.5 and 1 / m == -1 / 0 and s == 'a\\0b' and e == '' and select('#', ...) == "
      "8");
  check("return 0/0, 1/0, -1/0", "local a, b, c = ... return a ~= a and b == 1/0 and c == -1/0");
  check("return 9007199254740993LL, -1LL, 18446744073709551615ULL",
        "local a, b, c = ... return tostring(a) == '9007199254740993LL' and tostring(b) == '-1LL' "
        "and tostring(c) == '18446744073709551615ULL'");
  check("return {1, 2, {x = 'y', [1.5] = true, [-1] = false}, n = null, [true] = 7}",
        "local t = ... return #t == 3 and t[2] == 2 and t[3].x == 'y' and t[3][1.5] == true and "
        "t[3][-1] == false and t.n == null and t[true] == 7");
  check("local t = {} for i = 1, 1000 do t[i] = {i} end return t",
        "local t = ... for i = 1, 1000 do assert(t[i][1] == i) end return #t == 1000");
  check("local t = {1, 2, 3, nil, 5} return t", "local t = ... return t[5] == 5 and t[4] == nil");
  check(
      "return setmetatable({}, mark), setmetatable({1}, mark), setmetatable({}, {__index = error})",
      "local a, b, c = ... return getmetatable(a) == mark and getmetatable(b) == mark and b[1] == "
      "1 and not getmetatable(c)");
}

static void test_references(void **state) {
  (void)state;
  check("local x = {1} return {x, x, k = x}, x",
        "local t, x = ... return t[1] == t[2] and t.k == t[1] and t[1][1] == 1 and x == t[1]");
  check("local t = {} t.self = t t[1] = {up = t} return t",
        "local t = ... return t.self == t and t[1].up == t");
  check("local k = {} return {[k] = k}", "local k, v = next((...)) return k == v");
  check("local t = {} for i = 1, 60 do t = {t, t} end return t",
        "local t = ... for i = 1, 60 do assert(t[1] == t[2]) t = t[1] end return true");
}

static void check_refused(const char *make, const char *want) {
  lua_State *L = new_state();
  assert_int_equal(luaL_dostring(L, make), 0);
  int top = lua_gettop(L);
  struct tg_buffer out = {0};
  char *path = NULL;
  assert_int_equal(tg_buffer_append(&out, "x", 1), TG_OK);
  assert_int_equal(tg_values_pack(L, 1, top, &out, &path), TG_EINVALID);
  assert_int_equal(lua_gettop(L), top);
  assert_int_equal(out.len, 1);
  assert_string_equal(path, want);
  free(path);
  assert_int_equal(tg_values_pack(L, 1, top, &out, NULL), TG_EINVALID);
  tg_buffer_deinit(&out);
  lua_close(L);
}

static void test_refused(void **state) {
  (void)state;
  check_refused("return print", "argument 1: a function");
  check_refused("return 1, {user = {db = print}}", "argument 2.user.db: a function");
  check_refused("return {1, {2, io.stdout}}", "argument 1[2][2]: a userdata");
  check_refused("return {['a b'] = coroutine.create(print)}", "argument 1[string]: a coroutine");
  check_refused("return {[print] = 1}", "argument 1[function]: a function");
  check_refused("return {[0] = require('ffi').new('int[2]')}",
                "argument 1[0]: a cdata that is no 64-bit integer");
  lua_State *L = new_state();
  assert_int_equal(luaL_dostring(L, "local t = {} for i = 1, 300 do t = {t} end return t"), 0);
  struct tg_buffer out = {0};
  char *path;
  assert_int_equal(tg_values_pack(L, 1, 1, &out, &path), TG_EINVALID);
  assert_non_null(strstr(path, ": nested too deep"));
  free(path);
  lua_settop(L, 0);
  assert_int_equal(luaL_dostring(L,
                                 "local s = ('x'):rep(2^20) local t = {} for i = 1, 65 do t[i] = "
                                 "s end return t"),
                   0);
  assert_int_equal(tg_values_pack(L, 1, 1, &out, &path), TG_ETOO_LARGE);
  assert_null(path);
  tg_buffer_deinit(&out);
  lua_close(L);
}

/* Bytes that are cut or changed at any place give values or an error, never more. */
static void test_malformed(void **state) {
  (void)state;
  lua_State *L = new_state();
  assert_int_equal(
      luaL_dostring(L, "local x = {a = 'b', 5LL, true} return {x, x, [x] = null, y = 'zz'}, 7"), 0);
  struct tg_buffer out = {0};
  int count;
  assert_int_equal(tg_values_pack(L, 1, 2, &out, NULL), TG_OK);
  lua_settop(L, 0);
  size_t last = out.len - 9; /* the 7 begins here */
  for (size_t len = 0; len < out.len; len++) {
    assert_int_equal(unpack(L, out.data, len, &count) == 0, len == 1 || len == last);
    lua_settop(L, 0);
  }
  for (size_t i = 0; i < out.len; i++)
    for (int bit = 0; bit < 8; bit++) {
      out.data[i] = (char)(out.data[i] ^ (1 << bit));
      unpack(L, out.data, out.len, &count);
      lua_settop(L, 0);
      out.data[i] = (char)(out.data[i] ^ (1 << bit));
    }
  assert_int_equal(unpack(L, out.data, out.len, &count), 0);
  assert_int_equal(count, 2);
  tg_buffer_deinit(&out);
  lua_close(L);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_crossing),
      cmocka_unit_test(test_references),
      cmocka_unit_test(test_refused),
      cmocka_unit_test(test_malformed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
