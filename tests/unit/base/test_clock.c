/* Clocks that go forward, and dates written and read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"

static void clocks_go_forward(void **state) {
  (void)state;
  uint64_t begin = tg_clock_now(), cpu = tg_clock_thread_cpu();
  for (volatile int i = 0; i < 1000000; i++) continue;
  assert_true(tg_clock_now() > begin);
  assert_true(tg_clock_thread_cpu() > cpu);
  assert_true(tg_clock_wall() > 1700000000ull * TG_SECOND);
}

static void dates_are_written(void **state) {
  (void)state;
  char out[32];
  tg_clock_http_date(784111777, out);
  assert_string_equal(out, "Sun, 06 Nov 1994 08:49:37 GMT");
  tg_clock_http_date(0, out);
  assert_string_equal(out, "Thu, 01 Jan 1970 00:00:00 GMT");
  tg_clock_http_date(951782400, out);
  assert_string_equal(out, "Tue, 29 Feb 2000 00:00:00 GMT");
  assert_int_equal(tg_clock_rfc3339(1767323045678999999ull, out), 24);
  assert_string_equal(out, "2026-01-02T03:04:05.678Z");
}

static int64_t parse(const char *text) {
  return tg_clock_parse_http_date(text, strlen(text));
}

/* The three forms of RFC 9110 section 5.6.7. */
static void dates_are_read(void **state) {
  (void)state;
  assert_int_equal(parse("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777);
  assert_int_equal(parse("Sunday, 06-Nov-94 08:49:37 GMT"), 784111777);
  assert_int_equal(parse("Sun Nov  6 08:49:37 1994"), 784111777);
  static const char *const bad[] = {
      "",
      "now",
      "Sun, 06 Nov 1994 08:49:37",
      "Sun, 06 Nov 1994 08:49:37 GMT x",
      "Sun, 32 Nov 1994 08:49:37 GMT",
      "Sun, 06 Nov 1994 25:49:37 GMT",
      "784111777",
      "Sun, 06 Nov 1994 08:49:37 GMTSun, 06 Nov 1994 08:49:37 GMT......."};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    if (parse(bad[i]) != -1) fail_msg("<%s> is taken", bad[i]);
  assert_int_equal(tg_clock_parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT\0x", 31), -1);
}

static void written_dates_read_back(void **state) {
  (void)state;
  char out[32];
  for (uint64_t t = 0; t < 4102444800ull; t += 86400ull * 13 + 3601) {
    tg_clock_http_date(t, out);
    assert_int_equal(parse(out), t);
  }
}

static void rfc3339_agrees_with_the_library(void **state) {
  (void)state;
  char out[32], expected[32];
  for (uint64_t t = 0; t < 18000000000ull; t += 86400ull * 7 + 3661) {
    time_t seconds = (time_t)t;
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t len = strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.007Z", &tm);
    assert_int_equal(tg_clock_rfc3339(t * TG_SECOND + 7 * TG_MILLISECOND, out), len);
    assert_string_equal(out, expected);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(clocks_go_forward),       cmocka_unit_test(dates_are_written),
      cmocka_unit_test(dates_are_read),          cmocka_unit_test(rfc3339_agrees_with_the_library),
      cmocka_unit_test(written_dates_read_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
