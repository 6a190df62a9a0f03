/* Lists of addresses and networks. */
#include "net/network.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_members(void **state) {
  (void)state;
  static const struct {
    const char *list, *address;
    bool wanted;
  } rows[] = {
      {"", "127.0.0.1", false},
      {"127.0.0.1", "127.0.0.1", true},
      {"127.0.0.1", "127.0.0.2", false},
      {"10.0.0.0/8", "10.255.0.1", true},
      {"10.0.0.0/8", "11.0.0.1", false},
      {"192.168.4.0/22", "192.168.7.255", true},
      {"192.168.4.0/22", "192.168.8.0", false},
      {"0.0.0.0/0", "8.8.8.8", true},
      {"0.0.0.0/0", "2001:db8::1", false},
      {"::/0", "8.8.8.8", true},
      {"fd00::/8", "fd12::1", true},
      {"fd00::/8", "fe80::1", false},
      {"::1 unix 10.0.0.1", "10.0.0.1", true},
      {"::1 unix", "unix", true},
      {"::1", "unix", false},
      {"10.0.0.1", "::ffff:10.0.0.1", true},
      {"10.0.0.1/33", "10.0.0.1", false},
      {"10.0.0.1/", "10.0.0.1", false},
      {"10.0.0.1/x", "10.0.0.1", false},
      {"10.0.0.1/99999999999", "10.0.0.1", false},
      {"nonsense  10.0.0.1", "10.0.0.1", true},
      {"10.0.0.1", "nonsense", false},
      {"10.0.0.1", "", false},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (tg_network_list_has(tg_slice_cstr(rows[i].list), tg_slice_cstr(rows[i].address)) !=
        rows[i].wanted)
      fail_msg("%s in %s", rows[i].address, rows[i].list);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_members)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
