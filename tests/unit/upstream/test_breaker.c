/* The breaker and the ejection of outliers, by a clock of the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "upstream/breaker.h"
#include "upstream/outlier.h"

static const struct tg_rules_breaker rules = {
    .errors = 0.5, .min = 10, .window = 10 * TG_SECOND, .open = 5 * TG_SECOND, .probes = 2};

#define START (1000 * TG_SECOND)

static bool pass(struct tg_breaker *breaker, uint64_t now, uint32_t *turn) {
  uint64_t wait;
  return tg_breaker_pass(breaker, &rules, now, turn, &wait);
}

static bool run(struct tg_breaker *breaker, unsigned count, bool failed, uint64_t now) {
  bool changed = false;
  uint32_t turn;
  for (unsigned i = 0; i < count; i++) {
    assert_true(pass(breaker, now, &turn));
    changed |= tg_breaker_note(breaker, &rules, turn, failed, now);
  }
  return changed;
}

static void test_it_opens_at_its_share(void **state) {
  (void)state;
  struct tg_breaker breaker = {0};
  uint32_t turn;
  uint64_t wait;
  assert_false(run(&breaker, 6, false, START));
  assert_false(run(&breaker, 5, true, START));
  assert_true(run(&breaker, 1, true, START)); /* 6 of 12 */
  assert_false(tg_breaker_pass(&breaker, &rules, START + TG_SECOND, &turn, &wait));
  assert_int_equal(wait, 4 * TG_SECOND);
}

static void test_few_requests_say_nothing(void **state) {
  (void)state;
  struct tg_breaker breaker = {0};
  assert_false(run(&breaker, 9, true, START));
  assert_true(run(&breaker, 1, true, START));
}

static void test_the_window_slides(void **state) {
  (void)state;
  struct tg_breaker breaker = {0};
  assert_false(run(&breaker, 9, true, START));
  assert_false(run(&breaker, 9, true, START + 11 * TG_SECOND));
  assert_false(run(&breaker, 20, false, START + 15 * TG_SECOND));
  assert_false(run(&breaker, 9, true, START + 16 * TG_SECOND)); /* 18 of 38 */
  assert_false(run(&breaker, 9, true, START + 100 * TG_SECOND));
}

static void test_probes_close_it(void **state) {
  (void)state;
  struct tg_breaker breaker = {0};
  uint32_t one, two, three;
  run(&breaker, 10, true, START);
  uint64_t later = START + 5 * TG_SECOND;
  assert_true(pass(&breaker, later, &one));
  assert_true(pass(&breaker, later, &two));
  assert_false(pass(&breaker, later, &three)); /* no more at once */
  assert_false(tg_breaker_note(&breaker, &rules, one, false, later));
  assert_false(pass(&breaker, later, &three));
  assert_true(tg_breaker_note(&breaker, &rules, two, false, later));
  assert_int_equal(breaker.state, TG_BREAKER_CLOSED);
  assert_false(run(&breaker, 9, true, later)); /* with an empty window */
}

static void test_a_failed_probe_opens_it_anew(void **state) {
  (void)state;
  struct tg_breaker breaker = {0};
  uint32_t one, two;
  run(&breaker, 10, true, START);
  uint64_t later = START + 6 * TG_SECOND;
  assert_true(pass(&breaker, later, &one));
  assert_true(pass(&breaker, later, &two));
  assert_true(tg_breaker_note(&breaker, &rules, one, true, later));
  assert_false(pass(&breaker, later + 4 * TG_SECOND, &one));
  /* the other probe is of a turn that is over */
  assert_false(tg_breaker_note(&breaker, &rules, two, false, later + TG_SECOND));
  assert_true(pass(&breaker, later + 5 * TG_SECOND, &one));
}

static void test_old_outcomes_are_no_probes(void **state) {
  (void)state;
  struct tg_breaker breaker = {0};
  uint32_t old, probe;
  assert_true(pass(&breaker, START, &old));
  run(&breaker, 10, true, START);
  assert_true(pass(&breaker, START + 5 * TG_SECOND, &probe));
  assert_false(tg_breaker_note(&breaker, &rules, old, false, START + 5 * TG_SECOND));
  assert_int_equal(breaker.state, TG_BREAKER_HALF_OPEN);
  tg_breaker_forget(&breaker, probe); /* given up: its place is free again */
  assert_true(pass(&breaker, START + 5 * TG_SECOND, &probe));
}

static void test_a_reload_may_take_it_away(void **state) {
  (void)state;
  struct tg_breaker breaker = {0};
  static const struct tg_rules_breaker none = {.window = TG_SECOND};
  uint32_t turn;
  uint64_t wait;
  run(&breaker, 10, true, START);
  assert_true(tg_breaker_pass(&breaker, &none, START, &turn, &wait));
  assert_false(tg_breaker_note(&breaker, &none, turn, true, START));
}

/* ---- outliers ---- */

static bool note(struct tg_outlier *outlier, bool failed, uint64_t now) {
  return tg_outlier_note(outlier, failed, 3, 10 * TG_SECOND, 35 * TG_SECOND, now);
}

static uint64_t throw_out(struct tg_outlier *outlier, uint64_t now) {
  assert_false(note(outlier, true, now));
  assert_false(note(outlier, true, now));
  assert_true(note(outlier, true, now));
  return outlier->until - now;
}

static void test_failures_in_a_row_eject(void **state) {
  (void)state;
  struct tg_outlier outlier = {0};
  assert_false(note(&outlier, true, START));
  assert_false(note(&outlier, true, START));
  assert_false(note(&outlier, false, START)); /* not in a row */
  assert_int_equal(throw_out(&outlier, START), 10 * TG_SECOND);
  assert_true(tg_outlier_out(&outlier, START + 9 * TG_SECOND));
  assert_false(tg_outlier_out(&outlier, START + 10 * TG_SECOND));
}

static void test_its_time_grows_and_is_forgotten(void **state) {
  (void)state;
  struct tg_outlier outlier = {0};
  assert_int_equal(throw_out(&outlier, START), 10 * TG_SECOND);
  assert_int_equal(throw_out(&outlier, outlier.until + TG_SECOND), 20 * TG_SECOND);
  assert_int_equal(throw_out(&outlier, outlier.until + TG_SECOND), 35 * TG_SECOND);
  assert_int_equal(throw_out(&outlier, outlier.until + TG_SECOND), 35 * TG_SECOND);
  assert_int_equal(throw_out(&outlier, outlier.until + 36 * TG_SECOND), 10 * TG_SECOND);
}

static void test_what_was_under_way_does_not_count_twice(void **state) {
  (void)state;
  struct tg_outlier outlier = {0};
  throw_out(&outlier, START);
  uint64_t until = outlier.until;
  for (int i = 0; i < 10; i++) assert_false(note(&outlier, true, START + TG_SECOND));
  assert_int_equal(outlier.until, until);
  assert_false(tg_outlier_note(&outlier, true, 0, TG_SECOND, TG_SECOND, until + 1)); /* off */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_it_opens_at_its_share),
      cmocka_unit_test(test_few_requests_say_nothing),
      cmocka_unit_test(test_the_window_slides),
      cmocka_unit_test(test_probes_close_it),
      cmocka_unit_test(test_a_failed_probe_opens_it_anew),
      cmocka_unit_test(test_old_outcomes_are_no_probes),
      cmocka_unit_test(test_a_reload_may_take_it_away),
      cmocka_unit_test(test_failures_in_a_row_eject),
      cmocka_unit_test(test_its_time_grows_and_is_forgotten),
      cmocka_unit_test(test_what_was_under_way_does_not_count_twice),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
