#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/format.h"

#include <cmocka.h>

/* An exact copy on the heap: reading past its end is found by the address sanitizer. */
static bool ask(bool (*is)(struct tg_slice), const char *text) {
  size_t len = strlen(text);
  char *copy = malloc(len ? len : 1);
  memcpy(copy, text, len);
  bool answer = is(tg_slice(copy, len));
  free(copy);
  return answer;
}

static void expect(bool (*is)(struct tg_slice), const char *const *texts, bool wanted) {
  for (; *texts; texts++)
    if (ask(is, *texts) != wanted) fail_msg("%s", *texts);
}

static void test_uuid(void **state) {
  (void)state;
  static const char *const fine[] = {
      "123e4567-e89b-42d3-a456-426614174000", "00000000-0000-0000-0000-000000000000",
      "FFFFFFFF-ffff-FFFF-ffff-ffffffffffff", "0190163d-8694-739b-aea5-966c26f8ad91", NULL};
  static const char *const bad[] = {"",
                                    "123e4567e89b42d3a456426614174000",
                                    "123e4567-e89b-42d3-a456-42661417400",
                                    "123e4567-e89b-42d3-a456-4266141740000",
                                    "123e4567-e89b-42d3-a456_426614174000",
                                    "123e4567-e89b-42d3-a4564-26614174000",
                                    "g23e4567-e89b-42d3-a456-426614174000",
                                    "{123e4567-e89b-42d3-a456-42661417400}",
                                    NULL};
  expect(tg_format_is_uuid, fine, true);
  expect(tg_format_is_uuid, bad, false);
}

static void test_email(void **state) {
  (void)state;
  static const char *const fine[] = {"a@b.cc",
                                     "ada.lovelace+notes@example.com",
                                     "o'brien@example.co.uk",
                                     "x_y-z@1.2.info",
                                     "j\xc3\xb6rg@b\xc3\xbc"
                                     "cher.example",
                                     "!#$%&'*+-/=?^_`{|}~@example.org",
                                     "a@xn--bcher-kva.example",
                                     NULL};
  static const char *const bad[] = {
      "",          "a",         "@",        "a@",         "@b.cc",         "a@b",
      "a@b.",      "a@.b",      "a@b..c",   ".a@b.cc",    "a.@b.cc",       "a..b@c.dd",
      "a b@c.dd",  "a@b c.dd",  "a@b@c.dd", "\"a\"@b.cc", "a@[127.0.0.1]", "a@127.0.0.1",
      "a@-b.cc",   "a@b-.cc",   "a@b_c.dd", "a\r\n@b.cc", "a@b.cc\n",      "Ada <a@b.cc>",
      "a(x)@b.cc", "\xff@b.cc", NULL};
  expect(tg_format_is_email, fine, true);
  expect(tg_format_is_email, bad, false);
  char text[400];
  memset(text, 'a', sizeof text);
  memcpy(text + 64, "@b.cc", 6);
  assert_true(ask(tg_format_is_email, text));
  memset(text, 'a', sizeof text);
  memcpy(text + 65, "@b.cc", 6);
  assert_false(ask(tg_format_is_email, text));
  memset(text, 'a', sizeof text);
  memcpy(text, "a@", 2);
  memcpy(text + 66, ".cc", 4); /* a label of 64 */
  assert_false(ask(tg_format_is_email, text));
  for (size_t i = 2; i < 300; i++) text[i] = i % 50 ? 'a' : '.';
  memcpy(text + 300, ".cc", 4);
  assert_false(ask(tg_format_is_email, text));
}

static void test_url(void **state) {
  (void)state;
  static const char *const fine[] = {"http://a",
                                     "https://example.com",
                                     "HTTPS://Example.com:8443/",
                                     "http://127.0.0.1/a/b;c?d=e&f#g/h?i",
                                     "http://[::1]:80/%20",
                                     "https://example.com?x",
                                     "https://example.com#x",
                                     NULL};
  static const char *const bad[] = {"",
                                    "http:",
                                    "http://",
                                    "http:///x",
                                    "//example.com",
                                    "example.com",
                                    "ftp://example.com",
                                    "javascript:alert(1)",
                                    "http://user@example.com",
                                    "http://user:pw@example.com",
                                    "http://a b",
                                    "http://a/b c",
                                    "http://a/%2",
                                    "http://a/%zz",
                                    "http://a/\xc3\xa4",
                                    "http://a/<x>",
                                    "http://a/#x#y",
                                    "http://a:99999/",
                                    "http://[::1/",
                                    "http://a\\b",
                                    "http://a/\n",
                                    " http://a",
                                    NULL};
  expect(tg_format_is_url, fine, true);
  expect(tg_format_is_url, bad, false);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_uuid),
      cmocka_unit_test(test_email),
      cmocka_unit_test(test_url),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
