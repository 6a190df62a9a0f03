/* Dates there and back, against the system's own calendar, and what is no date. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/calendar.h"

static void splits_as_the_system_does(void **state) {
  (void)state;
  uint64_t step = 86400ull * 3 + 12345;
  for (int64_t at = TG_CALENDAR_LEAST; at <= TG_CALENDAR_MOST; at += (int64_t)step) {
    struct tg_calendar c;
    struct tm tm;
    time_t t = (time_t)at;
    assert_non_null(gmtime_r(&t, &tm));
    tg_calendar_split(&c, at);
    assert_int_equal(c.year, tm.tm_year + 1900);
    assert_int_equal(c.month, tm.tm_mon + 1);
    assert_int_equal(c.day, tm.tm_mday);
    assert_int_equal(c.hour * 3600 + c.minute * 60 + c.second,
                     tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec);
    assert_int_equal(c.weekday, tm.tm_wday);
    assert_true(tg_calendar_join(&c) == at);
  }
}

static void the_ends_are_reached(void **state) {
  (void)state;
  char out[TG_CALENDAR_TEXT];
  tg_calendar_write_rfc3339(TG_CALENDAR_LEAST, 0, 0, TG_CALENDAR_Z, out);
  assert_string_equal(out, "0000-01-01T00:00:00Z");
  tg_calendar_write_rfc3339(TG_CALENDAR_MOST, 999999999, 9, TG_CALENDAR_Z, out);
  assert_string_equal(out, "9999-12-31T23:59:59.999999999Z");
}

static void rfc3339_is_written(void **state) {
  (void)state;
  char out[TG_CALENDAR_TEXT];
  assert_int_equal(tg_calendar_write_rfc3339(1767323045, 678999999, 3, TG_CALENDAR_Z, out), 24);
  assert_string_equal(out, "2026-01-02T03:04:05.678Z");
  tg_calendar_write_rfc3339(1767323045, 0, 0, 120, out);
  assert_string_equal(out, "2026-01-02T05:04:05+02:00");
  tg_calendar_write_rfc3339(1767323045, 5, 9, -(5 * 60 + 30), out);
  assert_string_equal(out, "2026-01-01T21:34:05.000000005-05:30");
  tg_calendar_write_rfc3339(-1, 0, 0, 0, out);
  assert_string_equal(out, "1969-12-31T23:59:59+00:00");
}

static int64_t read3339(const char *text) {
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;
  tg_status status = tg_calendar_read_rfc3339(tg_slice_cstr(text), &seconds, &nanoseconds);
  return status ? status : seconds * 1000000000 + nanoseconds;
}

/* The examples of RFC 3339 section 5.8, and more. */
static void rfc3339_is_read(void **state) {
  (void)state;
  assert_true(read3339("1985-04-12T23:20:50.52Z") == 482196050520000000);
  assert_true(read3339("1996-12-19T16:39:57-08:00") == 851042397000000000);
  assert_true(read3339("1990-12-31T23:59:60Z") == 662688000000000000);
  assert_true(read3339("1990-12-31T15:59:60-08:00") == 662688000000000000);
  assert_true(read3339("1937-01-01T12:00:27.87+00:20") == -1041337172130000000);
  assert_true(read3339("1970-01-01t00:00:00.0000000019z") == 1);
  assert_true(read3339("1970-01-01T00:00:00-00:00") == 0);
  assert_true(read3339("2024-02-29T00:00:00Z") == 1709164800000000000);
}

static void what_is_no_rfc3339_is_refused(void **state) {
  (void)state;
  static const char *const malformed[] = {"",
                                          "now",
                                          "2026-01-02",
                                          "2026-01-02T03:04:05",
                                          "2026-01-02 03:04:05Z",
                                          "2026-01-02T03:04Z",
                                          "2026-01-02T03:04:05.Z",
                                          "2026-01-02T03:04:05,5Z",
                                          "2026-01-02T03:04:05Z ",
                                          " 2026-01-02T03:04:05Z",
                                          "2026-1-2T03:04:05Z",
                                          "02026-01-02T03:04:05Z",
                                          "-026-01-02T03:04:05Z",
                                          "2026-01-02T03:04:05+0200",
                                          "2026-01-02T03:04:05+02",
                                          "2026-01-02T03:04:05+2:00",
                                          "2026-01-02T+3:04:05Z",
                                          "2026-01-02T03:04:05ZZ"};
  for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++)
    if (read3339(malformed[i]) != TG_ESYNTAX) fail_msg("<%s> is taken", malformed[i]);
  static const char *const impossible[] = {
      "2026-00-02T03:04:05Z",      "2026-13-02T03:04:05Z",      "2026-01-00T03:04:05Z",
      "2026-01-32T03:04:05Z",      "2026-04-31T03:04:05Z",      "2026-02-29T03:04:05Z",
      "1900-02-29T03:04:05Z",      "2026-01-02T24:00:00Z",      "2026-01-02T03:60:05Z",
      "2026-01-02T03:04:60Z",      "2026-01-02T03:04:61Z",      "2026-01-02T23:59:60Z",
      "2026-01-02T03:04:05+24:00", "2026-01-02T03:04:05+00:60", "0000-01-01T00:00:00+00:01",
      "9999-12-31T23:59:59-00:01", "9999-12-31T23:59:60Z"};
  for (size_t i = 0; i < sizeof impossible / sizeof impossible[0]; i++)
    if (read3339(impossible[i]) != TG_ERANGE) fail_msg("<%s> is taken", impossible[i]);
  int64_t seconds;
  uint32_t nanoseconds;
  assert_int_equal(
      tg_calendar_read_rfc3339(tg_slice("2026-01-02T03:04:05Z\0", 21), &seconds, &nanoseconds),
      TG_ESYNTAX);
}

#define IN_2026 1767323045

static int64_t read_http(const char *text) {
  int64_t seconds = 0;
  tg_status status = tg_calendar_read_http(tg_slice_cstr(text), IN_2026, &seconds);
  return status ? status : seconds;
}

static void http_dates_go_there_and_back(void **state) {
  (void)state;
  char out[TG_CALENDAR_TEXT];
  assert_int_equal(tg_calendar_write_http(784111777, out), 29);
  assert_string_equal(out, "Sun, 06 Nov 1994 08:49:37 GMT");
  for (int64_t at = TG_CALENDAR_LEAST; at < TG_CALENDAR_MOST; at += 86400ll * 999 + 7) {
    tg_calendar_write_http(at, out);
    assert_true(read_http(out) == at);
  }
}

static void the_three_forms_are_read(void **state) {
  (void)state;
  assert_true(read_http("Sun, 06 Nov 1994 08:49:37 GMT") == 784111777);
  assert_true(read_http("Sunday, 06-Nov-94 08:49:37 GMT") == 784111777);
  assert_true(read_http("Sun Nov  6 08:49:37 1994") == 784111777);
  assert_true(read_http("Wed Nov 16 08:49:37 1994") == 784975777);
  assert_true(read_http("Saturday, 31-Dec-16 23:59:60 GMT") == 1483228800);
  /* at most 50 years ahead */
  assert_true(read_http("Wednesday, 01-Jan-76 00:00:00 GMT") == 3345062400);
  assert_true(read_http("Saturday, 01-Jan-77 00:00:00 GMT") == 220924800);
}

static void what_is_no_http_date_is_refused(void **state) {
  (void)state;
  static const char *const malformed[] = {"",
                                          "Sun, 6 Nov 1994 08:49:37 GMT",
                                          "Sun,  06 Nov 1994 08:49:37 GMT",
                                          "sun, 06 nov 1994 08:49:37 GMT",
                                          "Sun, 06 Nov 1994 08:49:37 UTC",
                                          "Sun, 06 Nov 1994 08:49:37 +0000",
                                          "Sun, 06 Nov 1994 08:49:37",
                                          "Sun, 06 Nov 1994 08:49:37 GMT ",
                                          "Sunday, 06 Nov 1994 08:49:37 GMT",
                                          "Sunday, 06-Nov-1994 08:49:37 GMT",
                                          "Sun, 06-Nov-94 08:49:37 GMT",
                                          "Sun Nov 6 08:49:37 1994",
                                          "Sun Nov 06 08:49:37 1994 GMT",
                                          "784111777"};
  for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++)
    if (read_http(malformed[i]) != TG_ESYNTAX) fail_msg("<%s> is taken", malformed[i]);
  static const char *const impossible[] = {
      "Mon, 06 Nov 1994 08:49:37 GMT", "Sun, 31 Nov 1994 08:49:37 GMT",
      "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:60:37 GMT",
      "Sun, 06 Nov 1994 08:49:60 GMT", "Monday, 06-Nov-94 08:49:37 GMT",
      "Sun, 00 Nov 1994 08:49:37 GMT"};
  for (size_t i = 0; i < sizeof impossible / sizeof impossible[0]; i++)
    if (read_http(impossible[i]) != TG_ERANGE) fail_msg("<%s> is taken", impossible[i]);
}

static void test_read_date(void **state) {
  (void)state;
  int64_t seconds;
  assert_int_equal(tg_calendar_read_date(TG_SLICE("1970-01-02"), &seconds), TG_OK);
  assert_int_equal(seconds, 86400);
  assert_int_equal(tg_calendar_read_date(TG_SLICE("2000-02-29"), &seconds), TG_OK);
  static const char *const none[] = {"1900-02-29", "2023-13-01", "2023-00-10", "2023-04-31"};
  for (size_t i = 0; i < 4; i++)
    assert_int_equal(tg_calendar_read_date(tg_slice_cstr(none[i]), &seconds), TG_ERANGE);
  static const char *const bad[] = {"", "2023-1-01", "2023-01-01T", "20230101", "-023-01-01"};
  for (size_t i = 0; i < 5; i++)
    assert_int_equal(tg_calendar_read_date(tg_slice_cstr(bad[i]), &seconds), TG_ESYNTAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_read_date),
      cmocka_unit_test(splits_as_the_system_does),
      cmocka_unit_test(the_ends_are_reached),
      cmocka_unit_test(rfc3339_is_written),
      cmocka_unit_test(rfc3339_is_read),
      cmocka_unit_test(what_is_no_rfc3339_is_refused),
      cmocka_unit_test(http_dates_go_there_and_back),
      cmocka_unit_test(the_three_forms_are_read),
      cmocka_unit_test(what_is_no_http_date_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
