/* Escaping for HTML, JSON in scripts, and URLs that browsers would run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/html.h"

static void assert_text(tg_status (*append)(struct tg_buffer *, struct tg_slice),
                        struct tg_slice text, const char *expected) {
  struct tg_buffer buffer = {0};
  assert_int_equal(append(&buffer, text), TG_OK);
  assert_int_equal(tg_buffer_size(&buffer), strlen(expected));
  if (buffer.len) assert_memory_equal(buffer.data, expected, strlen(expected));
  tg_buffer_deinit(&buffer);
}

static void text_is_escaped(void **state) {
  (void)state;
  assert_text(tg_html_append, TG_SLICE(""), "");
  assert_text(tg_html_append, TG_SLICE("plain / text; \xC3\xA9\xFF"), "plain / text; \xC3\xA9\xFF");
  assert_text(tg_html_append, TG_SLICE("<a b=\"c\" d='e' f=`g`>&amp;"),
              "&lt;a b&#61;&#34;c&#34; d&#61;&#39;e&#39; f&#61;&#96;g&#96;&gt;&amp;amp;");
  assert_text(tg_html_append, tg_slice("a\0b", 3),
              "a\xEF\xBF\xBD"
              "b");
}

static void every_byte(void **state) {
  (void)state;
  for (int c = 1; c < 256; c++) {
    char byte = (char)c;
    struct tg_buffer buffer = {0};
    assert_int_equal(tg_html_append(&buffer, tg_slice(&byte, 1)), TG_OK);
    if (strchr("&<>\"'`=", c))
      assert_true(buffer.len > 3 && buffer.data[0] == '&' && buffer.data[buffer.len - 1] == ';');
    else
      assert_true(buffer.len == 1 && buffer.data[0] == byte);
    tg_buffer_deinit(&buffer);
  }
}

static void json_cannot_end_a_script(void **state) {
  (void)state;
  assert_text(tg_html_append_json, TG_SLICE(""), "");
  assert_text(tg_html_append_json, TG_SLICE("[\"</script><!--&\"]"),
              "[\"\\u003c/script\\u003e\\u003c!--\\u0026\"]");
  assert_text(tg_html_append_json, TG_SLICE("\"\xE2\x80\xA8\xE2\x80\xA9\xE2\x80\xA7\xE2\x80\""),
              "\"\\u2028\\u2029\xE2\x80\xA7\xE2\x80\"");
  assert_text(tg_html_append_json, TG_SLICE("\xE2\x80"), "\xE2\x80");
}

static void urls(void **state) {
  (void)state;
  static const char *const safe[] = {"",
                                     "/",
                                     "x",
                                     "x/y:z",
                                     "?a:b",
                                     "#a:b",
                                     "//h/x",
                                     "http://h",
                                     "HTTPS://h",
                                     "mailto:a@b",
                                     "tel:1",
                                     "ftp://h",
                                     "../x",
                                     ":x",
                                     "1:x",
                                     "-:x",
                                     "\xC3\xA9:x",
                                     "java script:x",
                                     "a%3Ab",
                                     "&#106;avascript:x",
                                     "http:javascript:x"};
  static const char *const unsafe[] = {"javascript:x",
                                       "JavaScript:x",
                                       " javascript:x",
                                       "\x01javascript:x",
                                       "java\tscript:x",
                                       "java\nscript:x",
                                       "\r\njavascript\r\n:x",
                                       "data:x",
                                       "vbscript:x",
                                       "blob:x",
                                       "x:y",
                                       "a+b-c.d1:x",
                                       "httpss:x",
                                       "http\tx:x",
                                       "averyveryverylongscheme:x",
                                       "httpsXXXXX:x",
                                       "view-source:x"};
  for (size_t i = 0; i < sizeof safe / sizeof safe[0]; i++)
    if (!tg_html_url_is_safe(tg_slice_cstr(safe[i]))) fail_msg("%s", safe[i]);
  for (size_t i = 0; i < sizeof unsafe / sizeof unsafe[0]; i++)
    if (tg_html_url_is_safe(tg_slice_cstr(unsafe[i]))) fail_msg("%s", unsafe[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(text_is_escaped),
      cmocka_unit_test(every_byte),
      cmocka_unit_test(json_cannot_end_a_script),
      cmocka_unit_test(urls),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
