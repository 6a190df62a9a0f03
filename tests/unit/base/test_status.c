/* Statuses: every row has a name, a text and an HTTP status; foreign ones have usable answers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <string.h>

#include "base/status.h"

static void every_row(void **state) {
  (void)state;
#define X(suffix, value, name, http, text)                         \
  assert_string_equal(tg_status_name(TG_E##suffix), name);         \
  assert_string_equal(tg_status_text(TG_E##suffix), text);         \
  assert_int_equal(tg_status_http(TG_E##suffix), http);            \
  assert_true((http) >= 400 && (http) <= 599 && strlen(text) > 0); \
  assert_null(strpbrk(name, " -ABCDEFGHIJKLMNOPQRSTUVWXYZ"));
  TG_STATUS_MAP(X)
#undef X
}

static void rows_are_apart(void **state) {
  (void)state;
  static const tg_status all[] = {
#define X(suffix, value, name, http, text) TG_E##suffix,
      TG_STATUS_MAP(X)
#undef X
  };
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    assert_true(all[i] < -6000); /* below errno and libuv's own */
    for (size_t k = 0; k < i; k++) assert_int_not_equal(all[i], all[k]);
  }
}

static void foreign_values(void **state) {
  (void)state;
  assert_string_equal(tg_status_name(TG_OK), "ok");
  assert_string_equal(tg_status_text(TG_OK), "ok");
  assert_string_equal(tg_status_name(-ECONNREFUSED), "refused");
  assert_int_equal(tg_status_http(-ECONNREFUSED), 502);
  assert_string_equal(tg_status_name(-EXDEV), "io");
  assert_int_equal(tg_status_http(-EXDEV), 500);
  assert_true(strlen(tg_status_text(-EXDEV)) > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_row),
      cmocka_unit_test(rows_are_apart),
      cmocka_unit_test(foreign_values),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
