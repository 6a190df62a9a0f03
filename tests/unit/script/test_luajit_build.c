/*
 * The LuaJIT that ./dev builds can be stopped by a hook that a signal handler sets: in interpreted
 * and in compiled loops, in the pattern matcher and in table.sort; and the search for a plain
 * string is linear. The time limits of handlers rest on this, so it is tested apart from them.
 */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include <cmocka.h>

#define ASKED_MS 50
/* The hook comes within microseconds of the signal; the rest is room for a busy machine and the
 * sanitizers. */
#define LATEST_MS 2000

static lua_State *running;

static void on_hook(lua_State *L, lua_Debug *ar) {
  (void)ar;
  luaL_error(L, "time is up");
}

static void on_alarm(int signal_number) {
  (void)signal_number;
  lua_sethook(running, on_hook, LUA_MASKCOUNT, 1);
}

static void alarm_start(void) {
  const struct itimerval once = {.it_value = {.tv_usec = ASKED_MS * 1000}};
  assert_int_equal(setitimer(ITIMER_REAL, &once, NULL), 0);
}

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int setup(void **state) {
  struct sigaction action = {.sa_handler = on_alarm};
  sigaction(SIGALRM, &action, NULL);
  running = luaL_newstate();
  luaL_openlibs(running);
  *state = running;
  return 0;
}

static int teardown(void **state) {
  lua_close(*state);
  return 0;
}

/* Runs a chunk that would not end in a day, and wants it ended by the hook. */
static void assert_is_stopped(lua_State *L, const char *code) {
  lua_sethook(L, NULL, 0, 0);
  assert_int_equal(luaL_loadstring(L, code), 0);
  const int64_t start = now_ms();
  alarm_start();
  assert_int_equal(lua_pcall(L, 0, 0, 0), LUA_ERRRUN);
  assert_in_range(now_ms() - start, 0, LATEST_MS);
  assert_non_null(strstr(lua_tostring(L, -1), "time is up"));
  lua_pop(L, 1);
}

static void test_loops_are_stopped(void **state) {
  assert_is_stopped(*state, "while true do end");
  assert_is_stopped(*state, "local n = 0; for i = 1, 1e18 do n = n + i % 7 end");
  assert_is_stopped(*state, "jit.off(true, true); while true do end");
  assert_is_stopped(*state, "local function f() return f() end return f()");
  assert_is_stopped(
      *state,
      "local t = setmetatable({}, {__index = function(t, k) while true do end end}) return t.x");
}

static void test_patterns_are_stopped(void **state) {
  assert_is_stopped(*state, "return string.find(('a'):rep(4000), '.-.-.-.-.-b')");
  assert_is_stopped(*state, "return string.match(('a'):rep(4000), '(.*)(.*)(.*)(.*)b')");
  assert_is_stopped(*state, "return string.gsub(('a'):rep(4000), '.+.+.+.+b', '')");
  assert_is_stopped(*state, "for _ in string.gmatch(('a'):rep(4000), '.-.-.-.-.-b') do end");
  assert_is_stopped(*state, "return string.gsub('aaaa', 'a', function() while true do end end)");
}

/* Without a comparator no Lua runs, so that only the comparison itself can notice the hook. */
static void test_sort_is_stopped(void **state) {
  lua_State *L = *state;
  assert_int_equal(luaL_dostring(L, "big = {} for i = 1, 3e6 do big[i] = i * 7919 % 1000003 end"),
                   0);
  assert_is_stopped(L, "table.sort(big)");
  assert_is_stopped(L, "table.sort(big, function(a, b) while true do end end)");
}

static void test_stop_survives_pcall(void **state) {
  assert_is_stopped(*state, "while true do pcall(function() while true do end end) end");
}

/* After an error thrown out of the matcher the state is as good as before, and so is the hook. */
static void test_state_is_sound_afterwards(void **state) {
  lua_State *L = *state;
  for (int i = 0; i < 3; i++) {
    assert_is_stopped(L, "return string.find(('a'):rep(4000), '.-.-.-.-.-b')");
    lua_sethook(L, NULL, 0, 0);
    lua_gc(L, LUA_GCCOLLECT, 0);
    assert_int_equal(luaL_dostring(L, "return (('x1y2'):gsub('%a(%d)', '%1'))"), 0);
    assert_string_equal(lua_tostring(L, -1), "12");
    lua_pop(L, 1);
  }
}

static int hook_calls;

static void on_hook_counted(lua_State *L, lua_Debug *ar) {
  (void)L;
  (void)ar;
  hook_calls++;
}

/* A hook that returns lets the match go on to the same result. */
static void test_match_goes_on_after_hook(void **state) {
  lua_State *L = *state;
  hook_calls = 0;
  lua_sethook(L, on_hook_counted, LUA_MASKCOUNT, 1000);
  assert_int_equal(luaL_dostring(L, "return string.find(('a'):rep(100) .. 'b', '.-.-.-b')"), 0);
  lua_sethook(L, NULL, 0, 0);
  assert_int_equal(lua_tointeger(L, -2), 1);
  assert_int_equal(lua_tointeger(L, -1), 101);
  lua_pop(L, 2);
  assert_int_equal(luaL_dostring(L, "return string.find(('a'):rep(60), '.-.-.-b')"), 0);
  lua_pop(L, 1);
  const int unhooked = hook_calls;
  lua_sethook(L, on_hook_counted, LUA_MASKCOUNT, 1000);
  assert_int_equal(luaL_dostring(L, "return string.find(('a'):rep(60), '.-.-.-b')"), 0);
  lua_sethook(L, NULL, 0, 0);
  assert_true(lua_isnil(L, -1));
  lua_pop(L, 1);
  assert_true(hook_calls > unhooked + 10);
}

static void test_plain_find_is_linear(void **state) {
  lua_State *L = *state;
  const int64_t start = now_ms();
  assert_int_equal(luaL_dostring(L,
                                 "local a = ('a'):rep(2^22)\n"
                                 "assert(not a:find(('a'):rep(2^21) .. 'b', 1, true))\n"
                                 "assert(('xxabcabd'):find('abd', 1, true) == 6)\n"
                                 "assert(('abc'):find('', 2, true) == 2)\n"
                                 "assert(('a\\0b\\0c'):find('\\0c', 1, true) == 4)\n"
                                 "assert(not ('ab'):find('abc', 1, true))"),
                   0);
  assert_in_range(now_ms() - start, 0, LATEST_MS);
}

/* A Lua module in C finds the Lua API in the program that loads it. */
static void test_c_module_loads(void **state) {
  lua_State *L = *state;
  lua_pushliteral(L, TG_LUA_CPATH);
  lua_setglobal(L, "cpath");
  assert_int_equal(luaL_dostring(L,
                                 "package.cpath = cpath\n"
                                 "return require('cjson').encode({1, 'x'})"),
                   0);
  assert_string_equal(lua_tostring(L, -1), "[1,\"x\"]");
  lua_pop(L, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_loops_are_stopped, setup, teardown),
      cmocka_unit_test_setup_teardown(test_patterns_are_stopped, setup, teardown),
      cmocka_unit_test_setup_teardown(test_sort_is_stopped, setup, teardown),
      cmocka_unit_test_setup_teardown(test_stop_survives_pcall, setup, teardown),
      cmocka_unit_test_setup_teardown(test_state_is_sound_afterwards, setup, teardown),
      cmocka_unit_test_setup_teardown(test_match_goes_on_after_hook, setup, teardown),
      cmocka_unit_test_setup_teardown(test_plain_find_is_linear, setup, teardown),
      cmocka_unit_test_setup_teardown(test_c_module_loads, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
