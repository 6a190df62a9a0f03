/* Numbers as text: shortest, exact, and strict. */
#include "base/number.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *written(double value, char out[TG_NUMBER_LEN + 1]) {
  out[tg_number_write(value, out)] = 0;
  return out;
}

static void test_write_known(void **state) {
  (void)state;
  static const struct {
    double value;
    const char *text;
  } rows[] = {
      {0, "0"},
      {-0.0, "-0"},
      {1, "1"},
      {-1, "-1"},
      {99, "99"},
      {100, "100"},
      {1.5, "1.5"},
      {0.1, "0.1"},
      {-0.1, "-0.1"},
      {0.30000000000000004, "0.30000000000000004"},
      {1.0 / 3, "0.3333333333333333"},
      {2.0 / 3, "0.6666666666666666"},
      {100.25, "100.25"},
      {0.00001, "0.00001"},
      {0.000001, "1e-6"},
      {123456789.125, "123456789.125"},
      {2251799813685249.5, "2251799813685249.5"},
      {9007199254740991, "9007199254740991"},
      {9007199254740992, "9007199254740992"},
      {-9007199254740992, "-9007199254740992"},
      {9007199254740994, "9.007199254740994e15"},
      {1700000000123456, "1700000000123456"},
      {1e17, "1e17"},
      {1e300, "1e300"},
      {-1.5e-300, "-1.5e-300"},
      {5e-324, "5e-324"},
      {2.2250738585072014e-308, "2.2250738585072014e-308"},
      {1.7976931348623157e308, "1.7976931348623157e308"},
      {9.5367431640625e-07, "9.5367431640625e-7"},
      {1024.0 / 1048576, "0.0009765625"},
      {5e-5, "0.00005"},
  };
  char out[TG_NUMBER_LEN + 1];
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    assert_string_equal(written(rows[i].value, out), rows[i].text);
}

static uint64_t random_bits(uint64_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 7;
  *seed ^= *seed << 17;
  return *seed;
}

static int significant(const char *text) {
  int count = 0, zeros = 0;
  for (; *text && *text != 'e'; text++) {
    if (*text < '0' || *text > '9') continue;
    if (*text == '0' && !count) continue;
    count++;
    zeros = *text == '0' ? zeros + 1 : 0;
  }
  return count - zeros;
}

static void check_shortest(double value) {
  char out[TG_NUMBER_LEN + 1], other[40];
  written(value, out);
  struct tg_number number;
  assert_int_equal(tg_number_read(out, strlen(out), &number), strlen(out));
  assert_memory_equal(&number.real, &value, sizeof value);
  assert_true(strtod(out, NULL) == value);
  for (int precision = 0; precision < 17; precision++) {
    snprintf(other, sizeof other, "%.*e", precision, value);
    if (strtod(other, NULL) != value) continue;
    if (significant(out) > significant(other)) fail_msg("%s is longer than %s", out, other);
    break;
  }
}

static void test_write_random(void **state) {
  (void)state;
  uint64_t seed = 88172645463325252u;
  for (int i = 0; i < 100000; i++) {
    uint64_t bits = random_bits(&seed);
    double value;
    memcpy(&value, &bits, sizeof value);
    if (isfinite(value)) check_shortest(value);
    check_shortest((double)(bits >> 11) / 9007199254740992.0); /* [0, 1) */
    check_shortest((double)(bits >> 20) / 1000);
    check_shortest(ldexp((double)(bits >> 11), (int)(bits % 120) - 100));
    check_shortest(ldexp(1, (int)(bits % 2000) - 1000)); /* the interval below is half as wide */
  }
}

static void test_read_like_strtod(void **state) {
  (void)state;
  uint64_t seed = 362436069;
  for (int i = 0; i < 100000; i++) {
    char text[64];
    uint64_t a = random_bits(&seed), b = random_bits(&seed);
    int len = snprintf(text, sizeof text, "%llu.%llue%d", (unsigned long long)(a >> (b % 64)),
                       (unsigned long long)b, (int)(a % 640) - 330);
    struct tg_number number;
    assert_int_equal(tg_number_read(text, (size_t)len, &number), len);
    double value = strtod(text, NULL);
    assert_memory_equal(&number.real, &value, sizeof value);
  }
}

static void test_read_long(void **state) {
  (void)state;
  char text[4096];
  struct tg_number number;
  /* Halfway between 1 and the next double, decided by a digit far away. */
  static const char half[] = "1.00000000000000011102230246251565404236316680908203125";
  size_t len = (size_t)snprintf(text, sizeof text, "%s%02000d", half, 0);
  assert_int_equal(tg_number_read(text, len, &number), len);
  assert_true(number.real == 1.0);
  text[len - 1] = '1';
  assert_int_equal(tg_number_read(text, len, &number), len);
  assert_true(number.real == nextafter(1.0, 2));
  /* Many zeros that an exponent takes back. */
  len = (size_t)snprintf(text, sizeof text, "0.%02000d1e2001", 0);
  assert_int_equal(tg_number_read(text, len, &number), len);
  assert_true(number.real == 1.0);
  len = (size_t)snprintf(text, sizeof text, "1%02000de-2000", 0);
  assert_int_equal(tg_number_read(text, len, &number), len);
  assert_true(number.real == 1.0);
}

static void test_read_kinds(void **state) {
  (void)state;
  static const struct {
    const char *text;
    enum tg_number_kind kind;
    uint64_t bits;
    double real;
  } rows[] = {
      {"0", TG_NUMBER_DOUBLE, 0, 0},
      {"9007199254740992", TG_NUMBER_DOUBLE, 0, 9007199254740992.0},
      {"9007199254740993", TG_NUMBER_INT64, 9007199254740993u, 9007199254740992.0},
      {"-9007199254740993", TG_NUMBER_INT64, -9007199254740993u, -9007199254740992.0},
      {"9223372036854775807", TG_NUMBER_INT64, INT64_MAX, 9223372036854775807.0},
      {"-9223372036854775808", TG_NUMBER_INT64, (uint64_t)1 << 63, -9223372036854775808.0},
      {"-9223372036854775809", TG_NUMBER_DOUBLE, 0, -9223372036854775808.0},
      {"9223372036854775808", TG_NUMBER_UINT64, (uint64_t)1 << 63, 9223372036854775808.0},
      {"18446744073709551615", TG_NUMBER_UINT64, UINT64_MAX, 18446744073709551615.0},
      {"18446744073709551616", TG_NUMBER_DOUBLE, 0, 18446744073709551616.0},
      {"99999999999999999999", TG_NUMBER_DOUBLE, 0, 1e20},
      {"9007199254740993.0", TG_NUMBER_DOUBLE, 0, 9007199254740992.0},
      {"1e400", TG_NUMBER_DOUBLE, 0, INFINITY},
      {"-1e400", TG_NUMBER_DOUBLE, 0, -INFINITY},
      {"1e99999999999999999999", TG_NUMBER_DOUBLE, 0, INFINITY},
      {"1e-99999999999999999999", TG_NUMBER_DOUBLE, 0, 0},
      {"0e99999999999999999999", TG_NUMBER_DOUBLE, 0, 0},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    struct tg_number number;
    assert_int_equal(tg_number_read(rows[i].text, strlen(rows[i].text), &number),
                     strlen(rows[i].text));
    assert_int_equal(number.kind, rows[i].kind);
    if (number.kind != TG_NUMBER_DOUBLE) assert_true(number.bits == rows[i].bits);
    assert_true(number.real == rows[i].real);
  }
}

static void test_read_refused(void **state) {
  (void)state;
  static const char *rows[] = {"", "-", "+1", ".5", "1.", "1.e1", "1e", "1e+", "-.5", "x", "- 1"};
  struct tg_number number;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    assert_int_equal(tg_number_read(rows[i], strlen(rows[i]), &number), 0);
  assert_int_equal(tg_number_read("01", 2, &number), 1);
  assert_int_equal(tg_number_read("0x10", 4, &number), 1);
  assert_int_equal(tg_number_read("12345", 2, &number), 2); /* never past the end */
}

static void test_integers(void **state) {
  (void)state;
  char out[TG_NUMBER_LEN + 1];
  out[tg_number_write_u64(UINT64_MAX, out)] = 0;
  assert_string_equal(out, "18446744073709551615");
  out[tg_number_write_i64(INT64_MIN, out)] = 0;
  assert_string_equal(out, "-9223372036854775808");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_write_known),      cmocka_unit_test(test_write_random),
      cmocka_unit_test(test_read_like_strtod), cmocka_unit_test(test_read_long),
      cmocka_unit_test(test_read_kinds),       cmocka_unit_test(test_read_refused),
      cmocka_unit_test(test_integers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
