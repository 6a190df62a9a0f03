/* Answers of name servers, byte by byte: names, compression, sections, what a message says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "loop/dns_message.h"

#define BYTES(literal) \
  { "" literal, sizeof(literal) - 1 }

/* a.b + a pointer to it at 0, and one to its second label at 6 */
static const struct tg_slice names = {"\1a\1b\0\xc0\0\1c\xc0\2\xc0\7\xc0\x0b", 13};

static void names_are_read(void **state) {
  (void)state;
  char out[TG_DNS_NAME_TEXT];
  size_t at = 0;
  assert_int_equal(tg_dns_name_read(names, &at, out), TG_OK);
  assert_string_equal(out, "a.b");
  assert_int_equal(at, 5);
  assert_int_equal(tg_dns_name_read(names, &at, out), TG_OK);
  assert_string_equal(out, "a.b");
  assert_int_equal(at, 7);
  assert_int_equal(tg_dns_name_read(names, &at, out), TG_OK);
  assert_string_equal(out, "c.b");
  assert_int_equal(at, 11);
}

static void names_that_are_none(void **state) {
  static const struct tg_slice bad[] = {
      BYTES(""),         BYTES("\1"),       BYTES("\1a"),          BYTES("\xc0"),
      BYTES("\xc0\0"),   BYTES("\xc0\1"),   BYTES("\1a\xc0\0"),    BYTES("\xc0\xff"),
      BYTES("\x40zz\0"), BYTES("\x80zz\0"), BYTES("\xc0\2\xc0\0"),
  };
  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    char out[TG_DNS_NAME_TEXT];
    size_t at = 0;
    assert_int_equal(tg_dns_name_read(bad[i], &at, out), TG_ESYNTAX);
  }
}

static void odd_bytes_are_escaped(void **state) {
  (void)state;
  char out[TG_DNS_NAME_TEXT];
  size_t at = 0;
  assert_int_equal(tg_dns_name_read(TG_SLICE("\7a.b\\ \0\xff\0"), &at, out), TG_OK);
  assert_string_equal(out, "a\\.b\\\\\\032\\000\\255");
  at = 0;
  assert_int_equal(tg_dns_name_read(TG_SLICE("\0"), &at, out), TG_OK);
  assert_string_equal(out, ".");
}

static void the_longest_name_fits(void **state) {
  (void)state;
  char wire[260], out[TG_DNS_NAME_TEXT];
  memset(wire, 0xff, sizeof wire);
  wire[0] = wire[64] = wire[128] = 63;
  wire[192] = 61;
  wire[254] = 0;
  size_t at = 0;
  assert_int_equal(tg_dns_name_read(tg_slice(wire, 255), &at, out), TG_OK);
  assert_int_equal(strlen(out), 250 * 4 + 3);
  wire[192] = 62;
  wire[255] = 0;
  at = 0;
  assert_int_equal(tg_dns_name_read(tg_slice(wire, 256), &at, out), TG_ESYNTAX);
}

/* Builds a message: head, the question x.test A, then records. */
static void begin(struct tg_buffer *out, int code, int answers, int authorities) {
  char head[12] = {0, 1, (char)0x81, (char)code, 0, 1, 0, (char)answers, 0, (char)authorities,
                   0, 0};
  tg_buffer_clear(out);
  assert_int_equal(tg_buffer_append(out, head, 12), TG_OK);
  assert_int_equal(tg_buffer_append(out, "\1x\4test\0\0\1\0\1", 12), TG_OK);
}

static void record(struct tg_buffer *out, int type, uint32_t ttl, const char *data, size_t len) {
  char head[12] = {(char)0xc0,
                   12,
                   0,
                   (char)type,
                   0,
                   1,
                   (char)(ttl >> 24),
                   (char)(ttl >> 16),
                   (char)(ttl >> 8),
                   (char)ttl,
                   (char)(len >> 8),
                   (char)len};
  assert_int_equal(tg_buffer_append(out, head, 12), TG_OK);
  assert_int_equal(tg_buffer_append(out, data, len), TG_OK);
}

static void judge(const struct tg_buffer *message, tg_status status, uint32_t ttl) {
  uint32_t found = 0;
  assert_int_equal(tg_dns_message_judge(tg_buffer_slice(message), TG_DNS_A, &found), status);
  assert_int_equal(found, ttl);
}

static const char soa[] = "\0\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\x3c"; /* minimum 60 */

static void what_a_message_says(void **state) {
  struct tg_buffer m = {0};
  (void)state;
  begin(&m, 0, 2, 0);
  record(&m, TG_DNS_CNAME, 30, "\0", 1);
  record(&m, TG_DNS_A, 300, "\x7f\0\0\1", 4);
  judge(&m, TG_OK, 30);
  begin(&m, 0, 1, 1);
  record(&m, TG_DNS_CNAME, 30, "\0", 1);
  record(&m, TG_DNS_SOA, 300, soa, 22);
  judge(&m, TG_ENO_DATA, 60);
  begin(&m, 3, 0, 1);
  record(&m, TG_DNS_SOA, 20, soa, 22);
  judge(&m, TG_ENO_NAME, 20);
  begin(&m, 3, 0, 0);
  judge(&m, TG_ENO_NAME, 0);
  begin(&m, 5, 0, 0);
  judge(&m, TG_EDNS_REFUSED, 0);
  begin(&m, 2, 0, 0);
  judge(&m, TG_EDNS_SERVFAIL, 0);
  begin(&m, 0, 1, 0);
  record(&m, TG_DNS_A, 0x80000000u, "\x7f\0\0\1", 4);
  judge(&m, TG_OK, 0); /* RFC 2181 section 8 */
  tg_buffer_deinit(&m);
}

static void a_message_that_is_cut_is_none(void **state) {
  struct tg_buffer m = {0};
  (void)state;
  begin(&m, 0, 1, 1);
  record(&m, TG_DNS_A, 300, "\x7f\0\0\1", 4);
  record(&m, TG_DNS_SOA, 20, soa, 22);
  judge(&m, TG_OK, 300);
  for (size_t len = m.len; len-- > 0;) {
    uint32_t ttl = 0;
    assert_int_equal(tg_dns_message_judge(tg_slice(m.data, len), TG_DNS_A, &ttl), TG_EDNS_SERVFAIL);
  }
  tg_buffer_deinit(&m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(names_are_read),        cmocka_unit_test(names_that_are_none),
      cmocka_unit_test(odd_bytes_are_escaped), cmocka_unit_test(the_longest_name_fits),
      cmocka_unit_test(what_a_message_says),   cmocka_unit_test(a_message_that_is_cut_is_none),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
