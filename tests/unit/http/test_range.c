/* The Range field: what is understood, what is ignored, and what becomes of many ranges. */
#include "http/range.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static const char *shown(const char *value, uint64_t size) {
  static char text[512];
  struct tg_range ranges[TG_RANGES_MAX];
  unsigned count;
  enum tg_range_result result = tg_range_read(tg_slice_cstr(value), size, ranges, &count);
  if (result == TG_RANGE_NONE) return "none";
  if (result == TG_RANGE_UNSATISFIABLE) return "unsatisfiable";
  size_t at = 0;
  for (unsigned i = 0; i < count; i++)
    at += (size_t)snprintf(text + at, sizeof text - at, "%s%llu-%llu", i ? " " : "",
                           (unsigned long long)ranges[i].first, (unsigned long long)ranges[i].last);
  return text;
}

static void test_one(void **state) {
  (void)state;
  static const char *const rows[][2] = {
      {"bytes=0-0", "0-0"},
      {"bytes=0-", "0-9999"},
      {"BYTES=5-9", "5-9"},
      {"bytes=9999-", "9999-9999"},
      {"bytes=0-99999", "0-9999"},
      {"bytes=-1", "9999-9999"},
      {"bytes=-20000", "0-9999"},
      {"bytes= 1-2 ", "1-2"},
      {"bytes=,1-2,,", "1-2"},
      {"bytes=1-18446744073709551615", "1-9999"},
      {"bytes=1-99999999999999999999999999", "1-9999"},
      {"bytes=-99999999999999999999999999", "0-9999"},
      {"bytes=10000-", "unsatisfiable"},
      {"bytes=-0", "unsatisfiable"},
      {"bytes=99999999999999999999999999-", "unsatisfiable"},
      {"bytes=20000-30000,-0", "unsatisfiable"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    assert_string_equal(shown(rows[i][0], 10000), rows[i][1]);
}

static void test_ignored(void **state) {
  (void)state;
  static const char *const rows[] = {
      "",           "bytes",      "bytes=",     "bytes=,",     "bytes=-",       "bytes=a-b",
      "bytes=1",    "bytes=2-1",  "bytes=1--2", "bytes=1-2-3", "lines=1-2",     "bytes=1 -2",
      "bytes=+1-2", "bytes=1-2x", "bytes 1-2",  "bytes=0x1-2", "bytes=1-2;3-4", " bytes=1-2",
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    assert_string_equal(shown(rows[i], 10000), "none");
  assert_string_equal(shown("bytes=0-", 0), "none");
  assert_string_equal(shown("bytes=-5", 0), "none");
}

static void test_several(void **state) {
  (void)state;
  static const char *const rows[][2] = {
      {"bytes=0-9,1000-1009", "0-9 1000-1009"},
      {"bytes=1000-1009,0-9", "1000-1009 0-9"},
      {"bytes=0-9,5-20", "0-20"},
      {"bytes=5-20,0-9", "0-20"},
      {"bytes=0-9,10-20", "0-20"},
      {"bytes=0-9,89-99", "0-99"},
      {"bytes=0-9,90-99", "0-9 90-99"},
      {"bytes=0-9,3000-3009,1000-1009,0-2900", "0-2900 3000-3009"},
      {"bytes=0-9,3000-3009,1000-1009,0-2950", "0-3009"},
      {"bytes=3000-3009,0-9,1000-1009,20-900", "3000-3009 0-900 1000-1009"},
      {"bytes=0-9,20000-30000", "0-9"},
      {"bytes=0-,0-,0-,-1", "0-9999"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    assert_string_equal(shown(rows[i][0], 10000), rows[i][1]);
}

static void test_too_many(void **state) {
  (void)state;
  char value[1024] = "bytes=";
  size_t at = 6;
  for (unsigned i = 0; i < TG_RANGES_MAX; i++)
    at +=
        (size_t)snprintf(value + at, sizeof value - at, "%s%u-%u", i ? "," : "", i * 500, i * 500);
  assert_string_not_equal(shown(value, 10000), "none");
  snprintf(value + at, sizeof value - at, ",9000-9001");
  assert_string_equal(shown(value, 10000), "none");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_one),
      cmocka_unit_test(test_ignored),
      cmocka_unit_test(test_several),
      cmocka_unit_test(test_too_many),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
