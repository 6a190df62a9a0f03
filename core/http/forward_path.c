/* See forward_path.h. */
#include "http/forward_path.h"

static unsigned hex_value(char c) {
  if (c >= '0' && c <= '9') return (unsigned)(c - '0');
  return ((unsigned)c | 0x20u) - 'a' + 10;
}

/* The byte that stands at *at, decoded once; moves behind it. */
static char decoded(struct tg_slice path, size_t *at) {
  char c = path.ptr[(*at)++];
  if (c != '%' || path.len - *at < 2) return c;
  c = (char)(hex_value(path.ptr[*at]) << 4 | hex_value(path.ptr[*at + 1]));
  *at += 2;
  return c;
}

/* A segment may carry parameters behind a ';', which some servers take off before they look. */
bool tg_forward_climbs(struct tg_slice path) {
  if (!memchr(path.ptr, '%', path.len) && !memchr(path.ptr, ';', path.len) &&
      !memchr(path.ptr, '\\', path.len))
    return false;
  size_t at = 0, dots = 0, others = 0;
  bool parameters = false;
  while (at < path.len) {
    char c = decoded(path, &at);
    if (c == '/' || c == '\\') {
      if (dots == 2 && !others) return true;
      dots = others = 0;
      parameters = false;
    } else if (c == ';') {
      parameters = true;
    } else if (!parameters) {
      c == '.' ? dots++ : others++;
    }
  }
  return dots == 2 && !others;
}
