/* Cookie fields and Set-Cookie: what is read lies within the field, and what is written is read
 * again as the same name and value, in one line.
 *
 * Input: the field; and, cut at its first two ';', name, value and path of a cookie. */
#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"
#include "http/cookies.h"

static void check_read(struct tg_slice field) {
  struct tg_slice rest = field, name, value;
  size_t left = field.len;
  while (tg_cookies_next(&rest, &name, &value)) {
    TG_CHECK(rest.len < left && name.len + value.len < left - rest.len);
    TG_CHECK(!name.len || !memchr(name.ptr, '=', name.len));
    TG_CHECK(!value.len || !memchr(value.ptr, ';', value.len));
    left = rest.len;
  }
  TG_CHECK(rest.len == 0);
}

static struct tg_slice take(struct tg_slice *rest) {
  const char *end = rest->len ? memchr(rest->ptr, ';', rest->len) : NULL;
  struct tg_slice taken = tg_slice(rest->ptr, end ? (size_t)(end - rest->ptr) : rest->len);
  *rest = tg_slice_skip(*rest, end ? taken.len + 1 : taken.len);
  return taken;
}

static void check_write(struct tg_slice input) {
  struct tg_cookie cookie = {.same_site = TG_SAME_SITE_LAX};
  cookie.name = take(&input);
  cookie.value = take(&input);
  cookie.path = take(&input);
  cookie.domain = input;
  if (tg_cookies_fault(&cookie)) return;
  struct tg_buffer out = {0};
  TG_CHECK(tg_cookies_write(&out, &cookie) == TG_OK);
  for (size_t i = 0; i < out.len; i++)
    TG_CHECK((unsigned char)out.data[i] >= 0x20 && out.data[i] != 0x7f);
  struct tg_slice rest = tg_buffer_slice(&out), name, value;
  TG_CHECK(tg_cookies_next(&rest, &name, &value));
  TG_CHECK(tg_slice_eq(name, cookie.name) && tg_slice_eq(value, cookie.value));
  tg_buffer_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *copy = malloc(size ? size : 1);
  TG_CHECK(copy);
  if (size) memcpy(copy, data, size);
  check_read(tg_slice(copy, size));
  check_write(tg_slice(copy, size));
  free(copy);
  return 0;
}
