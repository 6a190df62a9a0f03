/* The order of addresses, where it does not hang on the machine's network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "loop/address_order.h"

static void check(const char *given, const char *wanted) {
  struct tg_dns_address addresses[TG_ADDRESS_ORDER_MAX];
  char copy[512], out[512] = "", text[TG_DNS_ADDRESS_TEXT], *rest = NULL;
  size_t count = 0;
  strcpy(copy, given);
  for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
    assert_true(tg_dns_address_read(tg_slice_cstr(word), &addresses[count++]));
  tg_address_order(addresses, count);
  for (size_t i = 0; i < count; i++) {
    tg_dns_address_write(&addresses[i], text);
    if (i) strcat(out, " ");
    strcat(out, text);
  }
  assert_string_equal(out, wanted);
}

static void lists_of_ipv4_stay(void **state) {
  (void)state;
  check("192.0.2.9 127.0.0.1 10.0.0.1 192.0.2.1", "192.0.2.9 127.0.0.1 10.0.0.1 192.0.2.1");
}

/* 240.0.0.1 and the documentation prefix of a machine without a route to them cannot be reached;
 * the loopback always can. Where IPv6 is off, ::1 cannot, and the order is another one. */
static void the_loopback_comes_first(void **state) {
  (void)state;
  check("ff05::1 127.0.0.1", "127.0.0.1 ff05::1");
}

static void nothing_and_one(void **state) {
  (void)state;
  check("", "");
  check("::1", "::1");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(lists_of_ipv4_stay),
      cmocka_unit_test(the_loopback_comes_first),
      cmocka_unit_test(nothing_and_one),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
