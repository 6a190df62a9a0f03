#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/multiple.h"

#include <cmocka.h>

static void test_multiples(void **state) {
  (void)state;
  static const double rows[][2] = {
      {0, 0.01},     {0.07, 0.01},     {19.99, 0.01}, {1.1, 0.1},      {4.35, 0.01},
      {1e300, 0.01}, {1e300, 1e-9},    {-0.3, 0.1},   {0.3, -0.1},     {9, 3},
      {-9, 3},       {0.0075, 1e-4},   {1e22, 7e-3},  {2.5e-9, 5e-10}, {1e-320, 1e-323},
      {0.5, 0.25},   {12345678.9, 0.1}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    bool wanted = i != 12; /* no power of ten is a multiple of 7 */
    if (tg_multiple_of(rows[i][0], rows[i][1]) != wanted)
      fail_msg("%.17g of %.17g", rows[i][0], rows[i][1]);
  }
}

static void test_others(void **state) {
  (void)state;
  static const double rows[][2] = {{0.001, 0.01},   {19.995, 0.01}, {10, 3},
                                   {0.1, 0.3},      {1e-9, 1},      {35, 1.5},
                                   {0.00751, 1e-4}, {1, 1e300},     {1e300, 3e299 + 1e285},
                                   {5e-324, 1e-322}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    if (tg_multiple_of(rows[i][0], rows[i][1])) fail_msg("%.17g of %.17g", rows[i][0], rows[i][1]);
}

static void test_int64(void **state) {
  (void)state;
  assert_true(tg_multiple_of_int64(INT64_MIN, 2));
  assert_true(tg_multiple_of_int64(INT64_MAX, 7));
  assert_false(tg_multiple_of_int64(INT64_MAX, 10));
  assert_true(tg_multiple_of_int64(5, 0.5));
  assert_false(tg_multiple_of_int64(5, 1e30));
  assert_true(tg_multiple_of_int64(0, 1e30));
  assert_false(tg_multiple_of_int64(INT64_MAX - 1, 1e18));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_multiples),
      cmocka_unit_test(test_others),
      cmocka_unit_test(test_int64),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
