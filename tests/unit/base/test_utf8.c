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

/* In pieces the verdict comes at the same byte: the first that makes it wrong. */
static void pieces_are_judged_byte_by_byte(void **state) {
  (void)state;
  static const struct {
    const char *text;
    size_t bad; /* index of the byte that is refused; SIZE_MAX: none */
    unsigned need;
  } rows[] = {
      {"plain ascii of some length", SIZE_MAX, 0},
      {"\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5", SIZE_MAX, 0},
      {"a\xF0\x9F\x98\x80z", SIZE_MAX, 0},
      {"a\xF0\x9F\x98", SIZE_MAX, 1},
      {"a\xF0", SIZE_MAX, 3},
      {"\xED\x9F\xBF", SIZE_MAX, 0},
      {"\xED\xA0\x80", 1, 0},
      {"\xE0\x9F\xBF", 1, 0},
      {"\xF0\x8F\xBF\xBF", 1, 0},
      {"\xF4\x8F\xBF\xBF", SIZE_MAX, 0},
      {"\xF4\x90\x80\x80", 1, 0},
      {"\xF5", 0, 0},
      {"\xC1\xBF", 0, 0},
      {"abcdefghij\x80", 10, 0},
      {"abcdefgh\xE1\x80z", 10, 0},
      {"\xFF", 0, 0},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    size_t len = strlen(rows[i].text);
    for (size_t step = 1; step <= len; step++) {
      struct tg_utf8_run run = {0};
      size_t at = 0;
      bool good = true;
      for (; at < len && good; at += step)
        good = tg_utf8_run_feed(&run, rows[i].text + at, step < len - at ? step : len - at);
      if (good != (rows[i].bad == SIZE_MAX)) fail_msg("row %zu, step %zu", i, step);
      if (good) assert_int_equal(run.need, rows[i].need);
      if (!good && step == 1) assert_int_equal(at - 1, rows[i].bad);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(utf8_is_strict),
      cmocka_unit_test(the_first_bad_byte_is_found),
      cmocka_unit_test(pieces_are_judged_byte_by_byte),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
