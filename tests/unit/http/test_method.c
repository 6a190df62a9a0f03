/* Names, numbers and Allow lists of methods. */
#include "http/method.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_names_and_numbers_agree(void **state) {
  (void)state;
  for (int i = 0; i < TG_METHOD_COUNT; i++) {
    struct tg_slice name = tg_method_name((enum tg_method)i);
    assert_true(name.len > 0);
    assert_int_equal(tg_method_find(name), i);
  }
  assert_true(tg_slice_eq(tg_method_name(TG_METHOD_PATCH), TG_SLICE("PATCH")));
  assert_int_equal(tg_method_name(TG_METHOD_NONE).len, 0);
}

static void test_names_are_exact(void **state) {
  (void)state;
  static const char *const unknown[] = {"", "get", "Get", "GE", "GETS", "GET ", "BIND", "ANY"};
  for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
    assert_int_equal(tg_method_find(tg_slice_cstr(unknown[i])), TG_METHOD_NONE);
}

static void test_lists(void **state) {
  (void)state;
  char out[200];
  size_t len = tg_method_list(TG_METHOD_BIT(TG_METHOD_POST) | TG_METHOD_BIT(TG_METHOD_GET), out);
  assert_true(tg_slice_eq(tg_slice(out, len), TG_SLICE("GET, POST")));
  assert_int_equal(tg_method_list(0, out), 0);
  len = tg_method_list(TG_METHOD_ANY, out);
  assert_true(len <= sizeof out);
  assert_null(memmem(out, len, "CONNECT", 7));
  assert_null(memmem(out, len, "TRACE", 5));
  assert_true(tg_method_list(UINT32_MAX, out) <= sizeof out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_names_and_numbers_agree),
      cmocka_unit_test(test_names_are_exact),
      cmocka_unit_test(test_lists),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
