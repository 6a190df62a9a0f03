/* The Cookie field, and what goes into Set-Cookie. */
#include "http/cookies.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void check_read(const char *field, const char *expected) {
  struct tg_slice rest = tg_slice_cstr(field), name, value;
  char out[256] = "";
  size_t len = 0;
  while (tg_cookies_next(&rest, &name, &value))
    len += (size_t)snprintf(out + len, sizeof out - len, "%.*s=%.*s,", (int)name.len, name.ptr,
                            (int)value.len, value.ptr);
  assert_string_equal(out, expected);
}

static void test_read(void **state) {
  (void)state;
  check_read("", "");
  check_read("a=1", "a=1,");
  check_read("a=1; b=2;c=3", "a=1,b=2,c=3,");
  check_read(" a = 1 ;\tb=2 ", "a=1,b=2,");
  check_read("a=\"x y\"; b=\"", "a=x y,b=\",");
  check_read("a; ;;b=2", "b=2,");
  check_read("=1; a==2", "=1,a==2,");
}

static struct tg_cookie plain(void) {
  return (struct tg_cookie){.name = TG_SLICE("a"),
                            .value = TG_SLICE("1"),
                            .path = TG_SLICE("/"),
                            .same_site = TG_SAME_SITE_LAX};
}

static void check_write(const struct tg_cookie *cookie, const char *expected) {
  struct tg_buffer out = {0};
  assert_null(tg_cookies_fault(cookie));
  assert_int_equal(tg_cookies_write(&out, cookie), TG_OK);
  assert_int_equal(tg_buffer_append(&out, "", 1), TG_OK);
  assert_string_equal(out.data, expected);
  tg_buffer_deinit(&out);
}

static void test_write(void **state) {
  (void)state;
  struct tg_cookie cookie = plain();
  check_write(&cookie, "a=1; Path=/; SameSite=Lax");
  cookie.value = tg_slice(NULL, 0);
  check_write(&cookie, "a=; Path=/; SameSite=Lax");
  cookie = (struct tg_cookie){.name = TG_SLICE("__Secure-a"),
                              .value = TG_SLICE("b=c"),
                              .path = TG_SLICE("/x y"),
                              .domain = TG_SLICE("example.com"),
                              .has_max_age = true,
                              .max_age = 3600,
                              .has_expires = true,
                              .expires = 784111777,
                              .secure = true,
                              .http_only = true,
                              .partitioned = true,
                              .same_site = TG_SAME_SITE_NONE};
  check_write(&cookie,
              "__Secure-a=b=c; Path=/x y; Domain=example.com; Max-Age=3600; Expires=Sun, 06 Nov "
              "1994 08:49:37 GMT; Secure; HttpOnly; Partitioned; SameSite=None");
}

#define REFUSE(...)                             \
  do {                                          \
    struct tg_cookie cookie = plain();          \
    __VA_ARGS__;                                \
    assert_non_null(tg_cookies_fault(&cookie)); \
  } while (0)

static void test_faults(void **state) {
  (void)state;
  static char large[TG_COOKIE_MAX + 1];
  memset(large, 'x', sizeof large);
  REFUSE(cookie.name = TG_SLICE(""));
  REFUSE(cookie.name = TG_SLICE("a b"));
  REFUSE(cookie.name = TG_SLICE("a="));
  REFUSE(cookie.name = TG_SLICE("a\0"));
  REFUSE(cookie.value = TG_SLICE("a;b"));
  REFUSE(cookie.value = TG_SLICE("a\r\nSet-Cookie: b=c"));
  REFUSE(cookie.value = TG_SLICE("a\0b"));
  REFUSE(cookie.value = TG_SLICE("a b"));
  REFUSE(cookie.value = TG_SLICE("\"a\""));
  REFUSE(cookie.value = TG_SLICE("\xc3\xa4"));
  REFUSE(cookie.value = tg_slice(large, TG_COOKIE_MAX));
  REFUSE(cookie.path = TG_SLICE(""));
  REFUSE(cookie.path = TG_SLICE("a"));
  REFUSE(cookie.path = TG_SLICE("/; HttpOnly"));
  REFUSE(cookie.path = TG_SLICE("/\r\n"));
  REFUSE(cookie.path = tg_slice(large, TG_COOKIE_ATTRIBUTE_MAX + 1));
  REFUSE(cookie.domain = TG_SLICE("a b"));
  REFUSE(cookie.domain = TG_SLICE("a;b"));
  REFUSE(cookie.domain = TG_SLICE("a\n"));
  REFUSE(cookie.has_expires = true; cookie.expires = INT64_MAX);
  REFUSE(cookie.same_site = TG_SAME_SITE_NONE);
  REFUSE(cookie.partitioned = true);
  REFUSE(cookie.name = TG_SLICE("__Secure-a"));
  REFUSE(cookie.name = TG_SLICE("__host-a"));
  REFUSE(cookie.name = TG_SLICE("__Host-a"); cookie.secure = true; cookie.path = TG_SLICE("/a"));
  REFUSE(cookie.name = TG_SLICE("__Host-a"); cookie.secure = true; cookie.domain = TG_SLICE("a"));
  struct tg_cookie cookie = plain();
  cookie.name = TG_SLICE("__Host-a");
  cookie.secure = true;
  assert_null(tg_cookies_fault(&cookie));
  cookie = plain();
  cookie.value = tg_slice(large, TG_COOKIE_MAX - 1);
  assert_null(tg_cookies_fault(&cookie));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_read),
      cmocka_unit_test(test_write),
      cmocka_unit_test(test_faults),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
