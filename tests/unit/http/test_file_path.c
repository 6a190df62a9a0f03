/* Paths of URLs as paths below a folder. */
#include "http/file_path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const char *decoded(struct tg_slice encoded, bool hidden) {
  static char out[TG_FILE_PATH_MAX];
  return tg_file_path_decode(encoded, hidden, out) ? "(none)" : out;
}

static void test_names(void **state) {
  (void)state;
  static const char *const rows[][2] = {
      {"", ""},
      {"a.txt", "a.txt"},
      {"a/b/c.txt", "a/b/c.txt"},
      {"a/b/", "a/b/"},
      {"a%20b%25.txt", "a b%.txt"},
      {"%e4%FF", "\xe4\xff"},
      {"a%5cb", "a\\b"},
      {"a%0ab", "a\nb"},
      {"a..b", "a..b"},
      {"a.", "a."},
      {"%2561", "%61"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    assert_string_equal(decoded(tg_slice_cstr(rows[i][0]), false), rows[i][1]);
}

static void test_refused(void **state) {
  (void)state;
  static const char *const rows[] = {
      "/",   "/a",    "a//b", "a//",  "..",       "../a",   "a/..",   "a/../b",
      ".",   "./a",   "a/.",  "a%",   "a%4",      "a%zz",   "%2e%2e", "a/%2e%2e/b",
      "%2e", "a%2fb", "%2F",  "a%00", "a/%2e%2e", "%2e./a", ".%2e/a",
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    assert_string_equal(decoded(tg_slice_cstr(rows[i]), false), "(none)");
    assert_string_equal(decoded(tg_slice_cstr(rows[i]), true), "(none)");
  }
  assert_string_equal(decoded(tg_slice("a\0b", 3), false), "(none)");
}

static void test_hidden(void **state) {
  (void)state;
  static const char *const rows[] = {".a", "a/.git/config", "...", "..a", ".well-known/x"};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    assert_string_equal(decoded(tg_slice_cstr(rows[i]), false), "(none)");
    assert_string_equal(decoded(tg_slice_cstr(rows[i]), true), rows[i]);
  }
}

static void test_long(void **state) {
  (void)state;
  char text[TG_FILE_PATH_MAX + 1];
  memset(text, 'a', sizeof text);
  assert_string_equal(decoded(tg_slice(text, TG_FILE_PATH_MAX), false), "(none)");
  assert_int_equal(strlen(decoded(tg_slice(text, TG_FILE_PATH_MAX - 1), false)),
                   TG_FILE_PATH_MAX - 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_names),
      cmocka_unit_test(test_refused),
      cmocka_unit_test(test_hidden),
      cmocka_unit_test(test_long),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
