/* UTF-8: all code points there and back, and everything else refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"

/* All code points are taken, in their shortest form only; surrogates are not. */
static void utf8_is_strict(void **state) {
  (void)state;
  for (unsigned point = 0x80; point < 0x110000; point++) {
    char out[4];
    size_t len;
    if (point < 0x800) {
      len = 2;
      out[0] = (char)(0xC0 | point >> 6);
    } else if (point < 0x10000) {
      len = 3;
      out[0] = (char)(0xE0 | point >> 12);
    } else {
      len = 4;
      out[0] = (char)(0xF0 | point >> 18);
    }
    for (size_t i = 1; i < len; i++) out[i] = (char)(0x80 | (point >> (6 * (len - 1 - i)) & 63));
    char written[4];
    bool surrogate = point >= 0xD800 && point < 0xE000;
    size_t got = tg_utf8_sequence(out, len);
    if (got != (surrogate ? 0 : len)) fail_msg("U+%04X gives %zu", point, got);
    if (!surrogate) {
      assert_int_equal(tg_utf8_write(point, written), len);
      assert_memory_equal(written, out, len);
    }
    if (tg_utf8_sequence(out, len - 1)) fail_msg("U+%04X cut short is taken", point);
  }
  static const char *const bad[] = {"\x80",
                                    "\xC0\x80",
                                    "\xC1\xBF",
                                    "\xE0\x9F\xBF",
                                    "\xF0\x8F\xBF\xBF",
                                    "\xF4\x90\x80\x80",
                                    "\xF5\x80\x80\x80",
                                    "\xE1\x80z",
                                    "\xFE",
                                    "\xFF"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    assert_int_equal(tg_utf8_sequence(bad[i], strlen(bad[i])), 0);
}

/* The check may look at many bytes at once: a bad one at every place of a longer text. */
static void the_first_bad_byte_is_found(void **state) {
  (void)state;
  char text[100];
  for (size_t i = 0; i < sizeof text; i++) {
    memset(text, 'a', sizeof text);
    assert_int_equal(tg_utf8_check(text, sizeof text), sizeof text);
    text[i] = (char)0xFF;
    assert_int_equal(tg_utf8_check(text, sizeof text), i);
    text[i] = (char)0xC3; /* begins a sequence that does not go on */
    assert_int_equal(tg_utf8_check(text, sizeof text), i);
    if (i + 1 == sizeof text) break;
    text[i + 1] = (char)0xA9;
    assert_int_equal(tg_utf8_check(text, sizeof text), sizeof text);
  }
  assert_int_equal(tg_utf8_check(text, 0), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(utf8_is_strict),
      cmocka_unit_test(the_first_bad_byte_is_found),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
