/* Media types by ending, and the parser of Content-Type values. */
#include "http/media.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_by_path(void **state) {
  (void)state;
  static const char *const rows[][2] = {
      {"a.html", "text/html; charset=utf-8"},
      {"/x/y.d/INDEX.HTML", "text/html; charset=utf-8"},
      {"a.htm", "text/html; charset=utf-8"},
      {"a.css", "text/css; charset=utf-8"},
      {"a.js", "text/javascript; charset=utf-8"},
      {"a.mjs", "text/javascript; charset=utf-8"},
      {"a.json", "application/json"},
      {"a.jsonld", "application/ld+json"},
      {"a.min.js.map", "application/json"},
      {"a.m4a", "audio/mp4"},
      {"a.svg", "image/svg+xml"},
      {"a.7z", "application/x-7z-compressed"},
      {"a.webm", "video/webm"},
      {"a.webmanifest", "application/manifest+json"},
      {"a.webp", "image/webp"},
      {"a.woff2", "font/woff2"},
      {"a.woff", "font/woff"},
      {"a.zst", "application/zstd"},
      {"a.txt", "text/plain; charset=utf-8"},
      {"html", "application/octet-stream"},
      {"a.", "application/octet-stream"},
      {"", "application/octet-stream"},
      {"a.html/b", "application/octet-stream"},
      {"a.unknown", "application/octet-stream"},
      {"a.averyveryverylongending", "application/octet-stream"},
      {"a.htmlx", "application/octet-stream"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    struct tg_slice type = tg_media_of_path(tg_slice_cstr(rows[i][0]));
    if (!tg_slice_eq(type, tg_slice_cstr(rows[i][1])))
      fail_msg("%s: %.*s", rows[i][0], (int)type.len, type.ptr);
  }
  assert_true(
      tg_slice_eq(tg_media_of_path(TG_SLICE("a.js\0n")), TG_SLICE("application/octet-stream")));
}

static void test_parse(void **state) {
  (void)state;
  struct tg_slice type;
  assert_true(tg_media_parse(TG_SLICE("application/json"), &type));
  assert_true(tg_slice_eq(type, TG_SLICE("application/json")));
  assert_true(tg_media_parse(TG_SLICE(" text/html \t; charset=\"utf-8\""), &type));
  assert_true(tg_slice_eq(type, TG_SLICE("text/html")));
  assert_true(tg_media_parse(TG_SLICE("application/vnd.api+json;"), &type));
  static const char *const bad[] = {"",      ";",    "/",       "text",    "text/", "/html",
                                    "a/b/c", "a /b", "a/ b",    "a,b/c",   "a/b c", "a/b, c/d",
                                    ";a/b",  "a",    "a/\"b\"", "a/b\x80", "\xa0/b"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    if (tg_media_parse(tg_slice_cstr(bad[i]), &type)) fail_msg("%s is taken", bad[i]);
  assert_false(tg_media_parse(TG_SLICE("a/b\0c"), &type));
  assert_false(tg_media_parse(tg_slice(NULL, 0), &type));
}

static void test_matches(void **state) {
  (void)state;
  static const struct {
    const char *value, *pattern;
    bool matches;
  } rows[] = {
      {"application/json", "application/json", true},
      {"Application/JSON; charset=utf-8", "application/json", true},
      {"application/problem+json", "application/json", true},
      {"application/problem+json", "application/*+json", true},
      {"application/json", "application/*+json", false},
      {"application/+json", "application/json", false},
      {"text/x+json", "application/json", false},
      {"image/json", "image/png", false},
      {"application/jsonl", "application/json", false},
      {"application/json+xml", "application/json", false},
      {"image/png", "image/*", true},
      {"image/png", "*/*", true},
      {"image/png", "text/*", false},
      {"image/svg+xml", "image/*+xml", true},
      {"application/problem+json", "application/problem+json", true},
      {"application/json", "application/problem+json", false},
      {"json", "application/json", false},
      {"application/json", "json", false},
      {"a", "*/*", false},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    if (tg_media_matches(tg_slice_cstr(rows[i].value), tg_slice_cstr(rows[i].pattern)) !=
        rows[i].matches)
      fail_msg("%s, %s", rows[i].value, rows[i].pattern);
}

static void test_charset(void **state) {
  (void)state;
  static const struct {
    const char *value;
    enum tg_media_charset charset;
  } rows[] = {
      {"", TG_CHARSET_NONE},
      {"a/b", TG_CHARSET_NONE},
      {"a/b;", TG_CHARSET_NONE},
      {"a/b; x=y", TG_CHARSET_NONE},
      {"a/b; Charset=\"UTF-8\"", TG_CHARSET_UTF8},
      {"a/b;charset=utf8", TG_CHARSET_UTF8},
      {"a/b; charset=iso-8859-1", TG_CHARSET_OTHER},
      {"a/b; charset=utf-8; charset=utf-8", TG_CHARSET_BAD},
      {"a/b; charset", TG_CHARSET_BAD},
      {"a/b; charset=", TG_CHARSET_BAD},
      {"a/b; x", TG_CHARSET_BAD},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    if (tg_media_charset(tg_slice_cstr(rows[i].value)) != rows[i].charset)
      fail_msg("%s", rows[i].value);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_by_path),
      cmocka_unit_test(test_parse),
      cmocka_unit_test(test_matches),
      cmocka_unit_test(test_charset),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
