/* Keys in sources: the C module beside the scan in Lua that stands for it in specs. What is to hold
 * is written in Lua, in key_scan_suite.lua. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "plain_vm.h"
#include "script/key_scan.h"
#include "script/module.h"

#include <cmocka.h>

TG_MODULE(key_scan)

static void test_suite(void **state) {
  (void)state;
  struct plain_vm plain;
  lua_State *L = plain_vm_open(&plain, tg_open_key_scan);
  static const char paths[] = "package.path = 'lua/?.lua;tests/lua/?.lua'";
  assert_int_equal(luaL_dostring(L, paths), 0);
  if (luaL_loadfile(L, "tests/unit/bind/key_scan_suite.lua")) fail_msg("%s", lua_tostring(L, -1));
  lua_getglobal(L, "module");
  if (lua_pcall(L, 1, 1, 0)) fail_msg("%s", lua_tostring(L, -1));
  assert_true(lua_tointeger(L, -1) > 1000);
  plain_vm_close(&plain);
}

/* A text that does not compile, cut anywhere. */
static void test_cut(void **state) {
  (void)state;
  static const char text[] =
      "return{a=1,['b\\n\\x41\\65\\u{2260}\\z  c']={[ [=[d]=] ]=2,--[[x]]e=3;},f=function()end}";
  struct tg_key_scan scan;
  tg_key_scan_init(&scan);
  for (size_t len = 0; len < sizeof text; len++) {
    char *cut = malloc(len + 1); /* of that length, for the sanitizer */
    memcpy(cut, text, len);
    assert_int_equal(tg_key_scan_run(&scan, tg_slice(cut, len)), TG_OK);
    free(cut);
  }
  assert_int_equal(tg_key_scan_run(&scan, tg_slice_cstr(text)), TG_OK);
  assert_int_equal(scan.key_count, 5);
  assert_int_equal(scan.root, 0);
  const struct tg_key *key = tg_key_scan_find(&scan, 0,
                                              TG_SLICE("b\nAA\xe2\x89\xa0"
                                                       "c"));
  assert_non_null(key);
  assert_int_equal(key->value, 1);
  assert_non_null(tg_key_scan_find(&scan, 1, TG_SLICE("d")));
  assert_null(tg_key_scan_find(&scan, 0, TG_SLICE("d")));
  tg_key_scan_deinit(&scan);
  assert_null(tg_key_scan_find(&scan, 0, TG_SLICE("a")));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_suite), cmocka_unit_test(test_cut)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
