/* Weights of Accept-Encoding and its kin. */
#include "http/accept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int weight(const char *first, const char *second, const char *word) {
  struct tg_field fields[2] = {
      {.name = TG_SLICE("Accept-Encoding"), .value = tg_slice_cstr(first)},
      {.name = TG_SLICE("accept-encoding"), .value = tg_slice_cstr(second)}};
  struct tg_request request = {.fields = fields, .field_count = second ? 2u : first ? 1u : 0u};
  return tg_accept_weight(&request, TG_SLICE("Accept-Encoding"), tg_slice_cstr(word));
}

static void test_weights(void **state) {
  (void)state;
  static const struct {
    const char *value;
    int gzip;
  } rows[] = {
      {"gzip", 1000},
      {"GZIP", 1000},
      {"br, gzip", 1000},
      {"gzip;q=0.5", 500},
      {"gzip ; q=0.05", 50},
      {"gzip;q=0.001", 1},
      {"gzip;q=1.000", 1000},
      {"gzip;Q=0", 0},
      {"gzip;q=0.000", 0},
      {"br", 0},
      {"", 0},
      {"*", 1000},
      {"*;q=0.3, br", 300},
      {"*, gzip;q=0", 0},
      {"gzip;q=0, *", 0},
      {"gzip;q=1.001", 0},
      {"gzip;q=2", 0},
      {"gzip;q=0.1234", 0},
      {"gzip;q=-1", 0},
      {"gzip;q=", 0},
      {"gzip;q=x, *;q=0.2", 200},
      {"gzip;x=1;q=0.7", 700},
      {"xgzip, gzipx", 0},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    assert_int_equal(weight(rows[i].value, NULL, "gzip"), rows[i].gzip);
}

static void test_lines(void **state) {
  (void)state;
  assert_int_equal(weight(NULL, NULL, "br"), 0);
  assert_int_equal(weight("gzip", "br;q=0.4", "br"), 400);
  assert_int_equal(weight("*;q=0.1", "br;q=0.4", "br"), 400);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_weights), cmocka_unit_test(test_lines)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
