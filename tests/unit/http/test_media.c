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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_by_path),
      cmocka_unit_test(test_parse),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
