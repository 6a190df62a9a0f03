/* What is escaped holds nothing that HTML or a script would take for its own. The input is escaped,
 * as text and as JSON, and judged as a URL. */
#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/html.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(struct tg_slice text) {
  struct tg_buffer out = {0};
  TG_CHECK(tg_html_append(&out, text) == TG_OK);
  TG_CHECK(out.len >= text.len);
  for (size_t i = 0; i < out.len; i++) TG_CHECK(!memchr("<>\"'`=", out.data[i], 7));
  tg_buffer_deinit(&out);
}

static void check_json(struct tg_slice text) {
  struct tg_buffer out = {0};
  TG_CHECK(tg_html_append_json(&out, text) == TG_OK);
  TG_CHECK(out.len >= text.len);
  for (size_t i = 0; i < out.len; i++) TG_CHECK(!memchr("<>&", out.data[i], 3));
  tg_buffer_deinit(&out);
}

/* As browsers do it: blanks and control bytes at the front, tabs and line ends anywhere are left
 * out. */
static void check_url(struct tg_slice url) {
  static const char word[] = "javascript:";
  size_t at = 0, found = 0;
  while (at < url.len && (unsigned char)url.ptr[at] <= ' ') at++;
  for (; at < url.len && found < sizeof word - 1; at++) {
    char c = url.ptr[at];
    if (c == '\t' || c == '\n' || c == '\r') continue;
    if ((c >= 'A' && c <= 'Z' ? (c | 0x20) : c) != word[found]) break;
    found++;
  }
  TG_CHECK(found < sizeof word - 1 || !tg_html_url_is_safe(url));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *copy = malloc(size + !size);
  TG_CHECK(copy);
  if (size) memcpy(copy, data, size);
  check_text(tg_slice(copy, size));
  check_json(tg_slice(copy, size));
  check_url(tg_slice(copy, size));
  free(copy);
  return 0;
}
