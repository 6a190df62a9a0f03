/* Base64 in both alphabets, and hexadecimal digits. */
#include "base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void check(struct tg_slice bytes, const char *plain, const char *url) {
  char text[64], back[64];
  const char *const expected[] = {plain, url};
  for (int kind = TG_BASE64; kind <= TG_BASE64_URL; kind++) {
    size_t len = tg_base64_write((enum tg_base64)kind, bytes, text), size;
    assert_true(tg_slice_eq(tg_slice(text, len), tg_slice_cstr(expected[kind])));
    assert_true(len <= TG_BASE64_SIZE(bytes.len));
    assert_true(tg_base64_read((enum tg_base64)kind, tg_slice(text, len), back, &size));
    assert_true(tg_slice_eq(tg_slice(back, size), bytes));
    assert_true(size <= TG_BASE64_BYTES(len));
  }
}

/* RFC 4648 section 10, and the characters that differ. */
static void test_both_ways(void **state) {
  (void)state;
  check(TG_SLICE(""), "", "");
  check(TG_SLICE("f"), "Zg==", "Zg");
  check(TG_SLICE("fo"), "Zm8=", "Zm8");
  check(TG_SLICE("foo"), "Zm9v", "Zm9v");
  check(TG_SLICE("foob"), "Zm9vYg==", "Zm9vYg");
  check(TG_SLICE("foobar"), "Zm9vYmFy", "Zm9vYmFy");
  check(TG_SLICE("\xff\xfe\xfd\0"), "//79AA==", "__79AA");
  check(TG_SLICE("\xfb\xef\xbe"), "++++", "----");
}

static void test_refused(void **state) {
  (void)state;
  static const char *const bad[2][9] = {
      {"Zg", "Zg=", "Z===", "====", "Zh==", "Zm9=", "Zm9v\n", "Zm-v", "Zg==Zg=="},
      {"Z", "Zg=", "Z===", "====", "Zh", "Zm9", "Zm9v ", "Zm+v", "Zg==Zg=="},
  };
  char out[64];
  size_t len;
  for (int kind = TG_BASE64; kind <= TG_BASE64_URL; kind++)
    for (size_t i = 0; i < 9; i++)
      if (tg_base64_read((enum tg_base64)kind, tg_slice_cstr(bad[kind][i]), out, &len))
        fail_msg("%d: %s", kind, bad[kind][i]);
  assert_true(tg_base64_read(TG_BASE64_URL, TG_SLICE("Zg=="), out, &len));
}

static void test_hex(void **state) {
  (void)state;
  char out[16];
  tg_base64_write_hex(TG_SLICE("\0\x7f\xff"), out);
  assert_memory_equal(out, "007fff", 6);
  assert_true(tg_base64_read_hex(TG_SLICE("00Af"), out));
  assert_memory_equal(out, "\0\xaf", 2);
  assert_true(tg_base64_read_hex(TG_SLICE(""), out));
  assert_false(tg_base64_read_hex(TG_SLICE("0"), out));
  assert_false(tg_base64_read_hex(TG_SLICE("0g"), out));
  assert_false(tg_base64_read_hex(TG_SLICE("0x00"), out));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_both_ways),
      cmocka_unit_test(test_refused),
      cmocka_unit_test(test_hex),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
