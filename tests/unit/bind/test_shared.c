/* tg.shared as scripts see it: every call, every kind of value, two states on two threads. */
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "script/error.h"
#include "script/module.h"
#include "script/plain.h"
#include "script/vm.h"
#include "store/shared.h"

TG_MODULE(shared)

/* A state with just enough of a vm around it for tg_vm_of and error objects. */
struct state {
  struct tg_vm vm;
  struct tg_host host;
};

static void *on_alloc(void *owner, void *ptr, size_t old_size, size_t new_size) {
  (void)owner;
  (void)old_size;
  if (new_size) return realloc(ptr, new_size);
  free(ptr);
  return NULL;
}

static lua_State *open_state(struct state *state, struct tg_shared_registry *registry) {
  *state = (struct state){.host = {.shared = registry}};
  state->vm.host = &state->host;
  lua_State *L = lua_newstate(on_alloc, &state->vm);
  state->vm.L = L;
  luaL_openlibs(L);
  tg_error_open(L);
  tg_plain_open(L);
  lua_settop(L, 0);
  tg_open_shared(L);
  lua_setglobal(L, "shared");
  lua_pushlightuserdata(L, NULL);
  lua_setglobal(L, "null");
  static const char helpers[] =
      "function fails(text, f, ...) local ok, err = pcall(f, ...)\n"
      "assert(not ok, 'no error'); err = tostring(err)\n"
      "assert(err:find(text, 1, true), err) end";
  assert_int_equal(luaL_dostring(L, helpers), 0);
  return L;
}

static void run(lua_State *L, const char *code) {
  if (luaL_dostring(L, code)) {
    if (!lua_isstring(L, -1)) luaL_callmeta(L, -1, "__tostring");
    fail_msg("%s", lua_tostring(L, -1));
  }
  lua_settop(L, 0);
}

static void check(const char *code) {
  struct state state;
  struct tg_shared_registry *registry = tg_shared_registry_new(NULL);
  lua_State *L = open_state(&state, registry);
  run(L, code);
  lua_close(L);
  tg_shared_registry_free(registry);
}

static void calls(void **state) {
  (void)state;
  check(
      "local d = shared('d')\n"
      "assert(d == shared('d') and d ~= shared('e'))\n"
      "assert(d:get('k') == nil)\n"
      "assert(d:set('k', 'v') == true and d:get('k') == 'v')\n"
      "assert(d:add('k', 1) == false and d:get('k') == 'v')\n"
      "assert(d:replace('k', 2) == true and d:get('k') == 2)\n"
      "assert(d:replace('x', 2) == false and d:get('x') == nil)\n"
      "assert(d:delete('k') == true and d:delete('k') == false)\n"
      "assert(d:incr('n') == 1 and d:incr('n', 2.5) == 3.5 and d:incr('n', -1) == 2.5)\n"
      "assert(d:incr('m', 1, 10) == 11 and d:incr('o', 1, false) == nil)\n"
      "assert(d:ttl('n') == math.huge and d:ttl('x') == nil)\n"
      "assert(d:expire('n', 100) == true and d:expire('x', 100) == false)\n"
      "assert(d:ttl('n') > 99 and d:ttl('n') <= 100)\n"
      "assert(d:expire('n') and d:ttl('n') == math.huge)\n"
      "assert(d:set('t', 1, 50) and d:ttl('t') > 49)\n"
      "assert(d:set('t') == true and d:get('t') == nil)\n"
      "d:set(7, 'seven') assert(d:get('7') == 'seven')\n");
}

static void values_come_back_as_they_were(void **state) {
  (void)state;
  check(
      "local d = shared('d')\n"
      "for _, v in ipairs{true, false, 0, -1.5, 1e300, '', 'a\\0b', ('x'):rep(100000)} do\n"
      "  d:set('k', v) assert(d:get('k') == v) end\n"
      "d:set('k', {a = {1, 2, {b = 'c'}}, [true] = 5, null})\n"
      "local t = d:get('k')\n"
      "assert(t.a[3].b == 'c' and t.a[2] == 2 and t[true] == 5 and t[1] == null)\n"
      "assert(d:get('k') ~= t)\n" /* a copy each time */
      "d:set('k', null) assert(d:get('k') == null)\n"
      "d:set('k', 2^53 + 0LL) assert(d:get('k') == 2^53 + 0LL)\n");
}

static void misuse_is_named(void **state) {
  (void)state;
  check(
      "local d = shared('d', {bytes = 4096})\n"
      "fails('dictionary', d.get, 1, 'k')\n"
      "fails('dictionary', d.get, io.stdout, 'k')\n"
      "fails('string expected', d.get, d)\n"
      "fails('string expected', d.set, d, {}, 1)\n"
      "fails('function', d.set, d, 'k', print)\n"
      "fails('user.db', d.set, d, 'k', {user = {db = print}})\n"
      "fails('time to live', d.set, d, 'k', 1, 0)\n"
      "fails('time to live', d.expire, d, 'k', -1)\n"
      "fails('time to live', d.expire, d, 'k', 0/0)\n"
      "fails('finite', d.incr, d, 'k', 1/0)\n"
      "d:set('s', 'text') fails('no number', d.incr, d, 's')\n"
      "local ok, err = pcall(d.set, d, 'k', ('x'):rep(5000))\n"
      "assert(not ok and err.code == 'too_large' and err.status == nil)\n"
      "fails('#1', shared) fails('#1', shared, 5) fails('255 bytes', shared, '')\n"
      "fails('#2', shared, 'd', 5) fails('bytes', shared, 'd', {bytes = 1})\n"
      "fails('bytes', shared, 'd', {bytes = 'many'})\n"
      "assert(d:get('s') == 'text')\n"
      "assert(getmetatable(d) == 'tg.shared' and getmetatable(shared) == 'tg.shared')\n");
}

/* A finalizer that runs while a value is pushed uses the same dictionary. */
static void finalizers_may_use_a_dictionary(void **state) {
  (void)state;
  check(
      "local d = shared('d')\n"
      "d:set('k', ('k'):rep(1000)) d:set('other', ('o'):rep(3000)) d:set('t', {('t'):rep(50)})\n"
      "local ran = 0\n"
      "local function trap() local p = newproxy(true)\n"
      "  getmetatable(p).__gc = function() ran = ran + 1; assert(#d:get('other') == 3000)\n"
      "    d:set('other', ('o'):rep(3000)) end end\n"
      "collectgarbage('setpause', 0) collectgarbage('setstepmul', 10000)\n"
      "for i = 1, 3000 do trap()\n"
      "  assert(d:get('k') == ('k'):rep(1000)) assert(d:get('t')[1] == ('t'):rep(50)) end\n"
      "assert(ran > 100)\n");
}

static void a_state_without_a_registry_says_so(void **state) {
  (void)state;
  struct state without;
  lua_State *L = open_state(&without, NULL);
  run(L, "fails('not available', shared, 'd')");
  lua_close(L);
}

#define THREADS 4

static void *count(void *arg) {
  struct state state;
  lua_State *L = open_state(&state, arg);
  run(L, "local d = shared('hits') for i = 1, 20000 do d:incr('n') d:set('t', {i}) d:get('t') end");
  lua_close(L);
  return NULL;
}

static void incr_is_exact_over_states(void **state) {
  (void)state;
  struct tg_shared_registry *registry = tg_shared_registry_new(NULL);
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, count, registry), 0);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  struct state last;
  lua_State *L = open_state(&last, registry);
  run(L, "assert(shared('hits'):get('n') == 80000)");
  lua_close(L);
  tg_shared_registry_free(registry);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(calls),
      cmocka_unit_test(values_come_back_as_they_were),
      cmocka_unit_test(misuse_is_named),
      cmocka_unit_test(finalizers_may_use_a_dictionary),
      cmocka_unit_test(a_state_without_a_registry_says_so),
      cmocka_unit_test(incr_is_exact_over_states),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
