/* Escaping: every byte, every UTF-8 sequence, and outputs that are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/escape.h"

static void assert_escaped(struct tg_slice text, const char *expected) {
  struct tg_buffer buffer = {0};
  assert_int_equal(tg_escape_append(&buffer, text), TG_OK);
  assert_int_equal(tg_buffer_size(&buffer), strlen(expected));
  assert_memory_equal(buffer.data, expected, strlen(expected));
  tg_buffer_deinit(&buffer);
}

static void texts(void **state) {
  (void)state;
  assert_escaped(TG_SLICE(""), "\"\"");
  assert_escaped(TG_SLICE("plain / text"), "\"plain / text\"");
  assert_escaped(TG_SLICE("\"\\\n\r\t\b\0\x1F\x7F"),
                 "\"\\\"\\\\\\n\\r\\t\\u0008\\u0000\\u001f\\u007f\"");
  assert_escaped(TG_SLICE("\xC2\x80\xC2\x9F\xC2\xA0"), "\"\\u0080\\u009f\xC2\xA0\"");
  assert_escaped(TG_SLICE("\xF0\x9F\x98\x80\xFF\xC3"),
                 "\"\xF0\x9F\x98\x80\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

static void a_cut_never_divides_a_character(void **state) {
  (void)state;
  struct tg_slice text = TG_SLICE("a\n\x01\xC3\xA9\xFFz");
  static const size_t ends[] = {0, 1, 3, 9, 11, 14, 15}; /* after each character */
  for (size_t room = 0; room <= 20; room++) {
    char out[20];
    size_t used = 99, len = tg_escape_json(text, out, room, &used), best = 0;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
      if (ends[i] <= room) best = ends[i];
    assert_int_equal(len, best);
    assert_int_equal(used == text.len, room >= 15);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(texts),
      cmocka_unit_test(a_cut_never_divides_a_character),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
