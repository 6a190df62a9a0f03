/* Addresses of peers, and what a peer is made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "upstream/group.h"

static void check_split(const char *text, const char *host, unsigned port) {
  struct tg_slice found;
  uint16_t number;
  assert_int_equal(tg_peer_split(tg_slice_cstr(text), &found, &number), TG_OK);
  assert_true(tg_slice_eq(found, tg_slice_cstr(host)));
  assert_int_equal(number, port);
}

static void test_addresses_are_divided(void **state) {
  (void)state;
  check_split("127.0.0.1:9001", "127.0.0.1", 9001);
  check_split("api.internal:80", "api.internal", 80);
  check_split("[::1]:65535", "::1", 65535);
  check_split("unix:/run/api.sock", "unix:/run/api.sock", 0);
}

static void test_what_is_no_address_is_refused(void **state) {
  (void)state;
  static const char *const bad[] = {"",      "a",     ":80",   "a:",     "a:0",   "a:65536",
                                    "::1:9", "[::1]", "[]:80", "[::1:9", "unix:", "a:99999999999",
                                    "a:-1",  "a:8 0"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct tg_slice host;
    uint16_t port;
    assert_int_equal(tg_peer_split(tg_slice_cstr(bad[i]), &host, &port), TG_EINVALID);
  }
  struct tg_slice host;
  uint16_t port;
  assert_int_equal(tg_peer_split(TG_SLICE("a\0b:80"), &host, &port), TG_EINVALID);
}

static void test_a_peer_has_texts_of_its_own(void **state) {
  (void)state;
  struct tg_rules *rules = tg_rules_new();
  char address[] = "10.0.0.1:8443", authority[] = "api.test:8443", zone[] = "a";
  struct tg_peer *peer;
  rules->secure = true;
  assert_int_equal(tg_peer_new(NULL, rules, tg_slice_cstr(address), tg_slice_cstr(authority),
                               tg_slice_cstr(zone), &peer),
                   TG_OK);
  address[0] = authority[0] = zone[0] = '!';
  assert_true(tg_slice_eq(peer->address, TG_SLICE("10.0.0.1:8443")));
  assert_true(tg_slice_eq(peer->authority, TG_SLICE("api.test:8443")));
  assert_true(tg_slice_eq(peer->zone, TG_SLICE("a")));
  assert_true(tg_slice_eq(peer->origin.host, TG_SLICE("10.0.0.1")));
  assert_true(tg_slice_eq(peer->origin.tls_name, TG_SLICE("api.test")));
  assert_int_equal(peer->origin.port, 8443);
  assert_true(peer->origin.secure);
  assert_int_equal(strlen(peer->id), TG_PEER_ID);
  tg_peer_release(peer);
  snprintf(rules->tls_name, sizeof rules->tls_name, "other.test");
  assert_int_equal(
      tg_peer_new(NULL, rules, TG_SLICE("[::1]:1"), TG_SLICE("[::1]:1"), TG_SLICE(""), &peer),
      TG_OK);
  assert_true(tg_slice_eq(peer->origin.tls_name, TG_SLICE("other.test")));
  assert_true(tg_slice_eq(peer->origin.host, TG_SLICE("::1")));
  tg_peer_release(peer);
  assert_int_equal(tg_peer_new(NULL, rules, TG_SLICE("x"), TG_SLICE("x"), TG_SLICE(""), &peer),
                   TG_EINVALID);
  tg_rules_release(rules);
}

/* Other gateways, and this one after a restart, are to choose alike. */
static void test_hashes_are_the_same_in_every_process(void **state) {
  (void)state;
  assert_true(tg_group_hash(TG_SLICE("127.0.0.1:9001")) == 0xcd728e314169e97bull);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_addresses_are_divided),
      cmocka_unit_test(test_what_is_no_address_is_refused),
      cmocka_unit_test(test_a_peer_has_texts_of_its_own),
      cmocka_unit_test(test_hashes_are_the_same_in_every_process),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
