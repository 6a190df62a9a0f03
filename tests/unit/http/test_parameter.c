/* Parameters of Content-Type and Content-Disposition. */
#include "http/parameter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* "name=text," for each that is taken, then "end" or "bad". */
static void check(const char *input, const char *expected) {
  struct tg_slice rest = tg_slice_cstr(input);
  struct tg_parameter parameter;
  enum tg_parameter_step step;
  char out[256] = "", plain[256];
  size_t len = 0;
  while ((step = tg_parameter_next(&rest, &parameter)) == TG_PARAMETER_TAKEN) {
    size_t n = parameter.text.len;
    if (parameter.quoted)
      n = tg_parameter_unquote(parameter.text, plain);
    else
      memcpy(plain, parameter.text.ptr, n);
    len += (size_t)snprintf(out + len, sizeof out - len, "%.*s=%.*s,", (int)parameter.name.len,
                            parameter.name.ptr, (int)n, plain);
  }
  snprintf(out + len, sizeof out - len, step == TG_PARAMETER_END ? "end" : "bad");
  assert_string_equal(out, expected);
}

static void test_next(void **state) {
  (void)state;
  check("", "end");
  check(" \t", "end");
  check(";", "end");
  check("; ; ;a=b;;", "a=b,end");
  check(";a=b ; c=\"d;e\"", "a=b,c=d;e,end");
  check(";a=\"\"", "a=,end");
  check(";a=\"\\\"\\\\\\x\\\"", "bad");
  check(";a=\"\\\"\\\\\\x\"", "a=\"\\\\x,end");
  check("a=b", "bad");
  check(";a", "bad");
  check(";a=", "bad");
  check(";a =b", "bad");
  check(";a= b", "bad");
  check(";=b", "bad");
  check(";a=b c=d", "a=b,bad");
  check(";a=\"b\"c", "a=b,bad");
  check(";a=\"b", "bad");
  check(";a=\"b\n\"", "bad");
  check(";a=b\x80", "a=b,bad");
}

static void test_is(void **state) {
  (void)state;
  struct tg_slice rest = TG_SLICE(";a=UTF-8;b=\"utf\\-8\";c=\"u\\\"\"");
  struct tg_parameter parameter;
  assert_int_equal(tg_parameter_next(&rest, &parameter), TG_PARAMETER_TAKEN);
  assert_true(tg_parameter_is(&parameter, TG_SLICE("utf-8")));
  assert_int_equal(tg_parameter_next(&rest, &parameter), TG_PARAMETER_TAKEN);
  assert_false(tg_parameter_is(&parameter, TG_SLICE("utf-8")));
  assert_int_equal(tg_parameter_next(&rest, &parameter), TG_PARAMETER_TAKEN);
  assert_true(tg_parameter_is(&parameter, TG_SLICE("U\"")));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_next),
      cmocka_unit_test(test_is),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
