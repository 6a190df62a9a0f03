/* The adaptive limit against a simulated group: so many requests at once are served at full speed,
 * more of them wait for each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "upstream/adaptive.h"

static const struct tg_rules_adaptive rules = {.least = 8, .most = 1000};

/* Everybody asks all the time: as many are under way as the limit lets. Latency is 10 ms up to
 * `capacity` at once. */
static uint32_t run(struct tg_adaptive *adaptive, double capacity, double seconds, bool failing,
                    uint64_t *now) {
  uint64_t end = *now + (uint64_t)(seconds * 1e9);
  while (*now < end) {
    uint32_t active = tg_adaptive_limit(adaptive, &rules);
    double latency = 10e6 * (active > capacity ? active / capacity : 1);
    tg_adaptive_note(adaptive, &rules, (uint64_t)latency, failing && *now % 5 == 0, active, *now);
    *now += (uint64_t)(latency / active);
  }
  return tg_adaptive_limit(adaptive, &rules);
}

static void test_it_finds_what_the_group_can_do(void **state) {
  (void)state;
  struct tg_adaptive adaptive = {0};
  uint64_t now = 1000 * TG_SECOND;
  assert_int_equal(tg_adaptive_limit(&adaptive, &rules), 8);
  assert_in_range(run(&adaptive, 100, 5, false, &now), 100, 200);
  assert_in_range(run(&adaptive, 30, 5, false, &now), 20, 75); /* half of the peers have gone */
  assert_in_range(run(&adaptive, 300, 10, false, &now), 250, 600);
}

static void test_an_overload_that_lasts_does_not_become_usual(void **state) {
  (void)state;
  struct tg_adaptive adaptive = {0};
  uint64_t now = 1000 * TG_SECOND;
  run(&adaptive, 100, 60, false, &now);
  assert_in_range(tg_adaptive_limit(&adaptive, &rules), 100, 400);
}

static void test_it_keeps_within_its_bounds(void **state) {
  (void)state;
  struct tg_adaptive adaptive = {0};
  uint64_t now = 1000 * TG_SECOND;
  assert_int_equal(run(&adaptive, 1e9, 20, false, &now), 1000);
  static const struct tg_rules_adaptive narrow = {.least = 10, .most = 20};
  assert_int_equal(tg_adaptive_limit(&adaptive, &narrow), 20); /* after a reload */
}

static void test_what_is_not_used_does_not_grow(void **state) {
  (void)state;
  struct tg_adaptive adaptive = {0};
  for (uint64_t now = TG_SECOND; now < 20 * TG_SECOND; now += TG_MILLISECOND)
    tg_adaptive_note(&adaptive, &rules, 10 * TG_MILLISECOND, false, 3, now);
  assert_int_equal(tg_adaptive_limit(&adaptive, &rules), 8);
}

static void test_failures_shrink_it(void **state) {
  (void)state;
  struct tg_adaptive adaptive = {0};
  uint64_t now = 1000 * TG_SECOND;
  run(&adaptive, 1e9, 2, false, &now);
  uint32_t before = tg_adaptive_limit(&adaptive, &rules);
  for (int i = 0; i < 2000; i++, now += TG_MILLISECOND)
    tg_adaptive_note(&adaptive, &rules, 10 * TG_MILLISECOND, i % 4 == 0, before, now);
  assert_in_range(tg_adaptive_limit(&adaptive, &rules), 8, before / 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_it_finds_what_the_group_can_do),
      cmocka_unit_test(test_an_overload_that_lasts_does_not_become_usual),
      cmocka_unit_test(test_it_keeps_within_its_bounds),
      cmocka_unit_test(test_what_is_not_used_does_not_grow),
      cmocka_unit_test(test_failures_shrink_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
