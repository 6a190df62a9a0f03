/* The lag of a loop: p99, the longest turn, and that old turns are forgotten. */
#include "loop/lag.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "base/clock.h"

#include <cmocka.h>

#define BEGIN (1000 * TG_SECOND)

static void test_nothing(void **state) {
  (void)state;
  struct tg_lag lag = {0};
  struct tg_lag_report report;
  tg_lag_read(&lag, BEGIN, &report);
  assert_int_equal(report.turns, 0);
  assert_int_equal(report.p99, 0);
  assert_int_equal(report.longest, 0);
}

/* Whatever the value: p99 is not below it, and at most a quarter above. */
static void test_one_value(void **state) {
  (void)state;
  for (uint64_t took = 20000; took < 20 * TG_SECOND; took = took * 9 / 8) {
    struct tg_lag lag = {0};
    struct tg_lag_report report;
    tg_lag_note(&lag, BEGIN, took);
    tg_lag_note(&lag, BEGIN, 2 * took);
    for (int i = 0; i < 200; i++) tg_lag_note(&lag, BEGIN, took);
    tg_lag_read(&lag, BEGIN, &report);
    assert_int_equal(report.turns, 202);
    assert_int_equal(report.longest, 2 * took);
    assert_true(report.p99 >= took);
    if (took > 100000) assert_true(report.p99 <= took + took / 4);
  }
}

static void test_rare_ones_are_above_the_p99(void **state) {
  (void)state;
  struct tg_lag lag = {0};
  struct tg_lag_report report;
  for (int i = 0; i < 1000; i++) tg_lag_note(&lag, BEGIN, TG_MILLISECOND);
  for (int i = 0; i < 10; i++) tg_lag_note(&lag, BEGIN, 500 * TG_MILLISECOND);
  tg_lag_read(&lag, BEGIN, &report);
  assert_true(report.p99 < 2 * TG_MILLISECOND);
  for (int i = 0; i < 2; i++) tg_lag_note(&lag, BEGIN, 500 * TG_MILLISECOND);
  tg_lag_read(&lag, BEGIN, &report);
  assert_int_equal(report.p99, 500 * TG_MILLISECOND);
}

static void test_old_turns_are_forgotten(void **state) {
  (void)state;
  struct tg_lag lag = {0};
  struct tg_lag_report report;
  tg_lag_note(&lag, BEGIN, TG_SECOND);
  tg_lag_note(&lag, BEGIN + 10 * TG_SECOND, TG_MILLISECOND);
  tg_lag_read(&lag, BEGIN + 10 * TG_SECOND, &report);
  assert_int_equal(report.longest, TG_SECOND);
  assert_int_equal(report.turns, 2);
  tg_lag_note(&lag, BEGIN + 21 * TG_SECOND, TG_MILLISECOND);
  tg_lag_read(&lag, BEGIN + 21 * TG_SECOND, &report);
  assert_int_equal(report.longest, TG_MILLISECOND);
  assert_int_equal(report.turns, 2);
  tg_lag_read(&lag, BEGIN + 60 * TG_SECOND, &report); /* a loop that has slept */
  assert_int_equal(report.turns, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_nothing),
      cmocka_unit_test(test_one_value),
      cmocka_unit_test(test_rare_ones_are_above_the_p99),
      cmocka_unit_test(test_old_turns_are_forgotten),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
