/* Names and addresses as text. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "loop/dns_name.h"

static void names(void **state) {
  static const char *const good[] = {
      "a", "A.B", "x.test.", "_http._tcp.test", "xn--bcher-kva.de", "1.2.3"};
  static const char *const bad[] = {"",    ".",         "a..b", ".a",  "a b",  "a/b",
                                    "*.a", "b\xc3\xbc", "a:1",  "a%b", "[::1]"};
  char out[TG_DNS_NAME_LEN + 1];
  bool absolute;
  (void)state;
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
    assert_null(tg_dns_name_check(tg_slice_cstr(good[i]), false, out, &absolute));
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    assert_non_null(tg_dns_name_check(tg_slice_cstr(bad[i]), false, out, &absolute));
  assert_null(tg_dns_name_check(TG_SLICE("X.Test."), false, out, &absolute));
  assert_string_equal(out, "x.test");
  assert_true(absolute);
  assert_null(tg_dns_name_check(TG_SLICE("*.0/25.test"), true, out, &absolute));
  assert_false(absolute);
}

static void lengths(void **state) {
  char name[300], out[TG_DNS_NAME_LEN + 1];
  bool absolute;
  (void)state;
  memset(name, 'x', sizeof name);
  for (size_t i = 50; i < sizeof name; i += 51) name[i] = '.';
  assert_null(tg_dns_name_check(tg_slice(name, 253), false, out, &absolute));
  assert_non_null(tg_dns_name_check(tg_slice(name, 256), false, out, &absolute));
  name[253] = '.'; /* the last dot is not counted */
  assert_null(tg_dns_name_check(tg_slice(name, 254), false, out, &absolute));
  memset(name, 'x', sizeof name);
  assert_null(tg_dns_name_check(tg_slice(name, 63), false, out, &absolute));
  assert_non_null(tg_dns_name_check(tg_slice(name, 64), false, out, &absolute));
}

static void kinds(void **state) {
  (void)state;
  assert_true(tg_dns_name_is_numeric("127.1") && tg_dns_name_is_numeric("1") &&
              tg_dns_name_is_numeric("a.0x7f") && tg_dns_name_is_numeric("0x"));
  assert_false(tg_dns_name_is_numeric("1.a") || tg_dns_name_is_numeric("x1") ||
               tg_dns_name_is_numeric("0xg"));
  assert_true(tg_dns_name_is_local("localhost") && tg_dns_name_is_local("a.b.localhost"));
  assert_false(tg_dns_name_is_local("xlocalhost") || tg_dns_name_is_local("localhost.test"));
}

static void addresses(void **state) {
  struct tg_dns_address address = {0};
  char text[TG_DNS_ADDRESS_TEXT], name[TG_DNS_NAME_LEN + 1];
  (void)state;
  assert_true(tg_dns_address_read(TG_SLICE("192.0.2.3"), &address));
  tg_dns_address_reverse(&address, name);
  assert_string_equal(name, "3.2.0.192.in-addr.arpa");
  assert_true(tg_dns_address_read(TG_SLICE("2001:DB8::0:1"), &address));
  assert_int_equal(address.family, AF_INET6);
  tg_dns_address_write(&address, text);
  assert_string_equal(text, "2001:db8::1");
  tg_dns_address_reverse(&address, name);
  assert_string_equal(name,
                      "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
  static const char *const bad[] = {"",    "1.2.3", "01.2.3.4.5", "1.2.3.4 ",
                                    "::g", "[::1]", "fe80::1%lo"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    assert_false(tg_dns_address_read(tg_slice_cstr(bad[i]), &address));
  assert_false(tg_dns_address_read(tg_slice("1.2.3.4\0", 8), &address));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(names), cmocka_unit_test(lengths),
                                     cmocka_unit_test(kinds), cmocka_unit_test(addresses)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
