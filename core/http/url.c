/* Work behind url.h. What decides about safety (normalise, valid_authority) knows only what it
 * lets through; the rest is refused. */
#include "http/url.h"

#include <arpa/inet.h>
#include <stdint.h>

static int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = (char)(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Byte of the escape at s[i] (where '%' stands), or -1. */
static int escape_at(struct tg_slice s, size_t i) {
  if (s.len - i < 3) return -1;
  int high = hex_value(s.ptr[i + 1]), low = hex_value(s.ptr[i + 2]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

bool tg_url_well_encoded(struct tg_slice s) {
  size_t i = 0;
  while (i < s.len) {
    const char *percent = memchr(s.ptr + i, '%', s.len - i);
    if (!percent) return true;
    i = (size_t)(percent - s.ptr);
    if (escape_at(s, i) < 0) return false;
    i += 3;
  }
  return true;
}

/* --- dot segments ------------------------------------------------------------------------------ */

enum segment { SEGMENT_PLAIN, SEGMENT_DOT, SEGMENT_DOT_DOT, SEGMENT_BAD };

/* UTF-8 that needs fewer bytes than it takes spells '.' and '/' past a filter; no encoder makes it.
 */
static bool is_overlong(int lead, struct tg_slice s, size_t next) {
  if (lead != 0xc0 && lead != 0xc1 && lead != 0xe0 && lead != 0xf0) return false;
  int c = next < s.len && s.ptr[next] == '%' ? escape_at(s, next) : -1;
  if (c < 0x80 || c > 0xbf) return false;
  return lead <= 0xc1 || (lead == 0xe0 && c < 0xa0) || (lead == 0xf0 && c < 0x90);
}

/* Looks at a segment as whoever decodes it will: a dot segment between backslashes or encoded
 * slashes would reach a file system as a step, so it is refused rather than understood. */
static enum segment classify(struct tg_slice s) {
  size_t dots = 0, piece = 0;
  bool hidden = false, split = false;
  for (size_t i = 0; i < s.len;) {
    int c = (unsigned char)s.ptr[i];
    size_t step = 1;
    if (c == '%') {
      c = escape_at(s, i);
      step = 3;
      if (c <= 0 || is_overlong(c, s, i + 3)) return SEGMENT_BAD;
    }
    i += step;
    if (c == '\\' || c == '/') {
      hidden |= piece == dots && (dots == 1 || dots == 2);
      split = true;
      dots = piece = 0;
      continue;
    }
    piece++;
    if (c == '.') dots++;
  }
  bool dotted = piece == dots && (dots == 1 || dots == 2);
  if (split) return hidden || dotted ? SEGMENT_BAD : SEGMENT_PLAIN;
  if (!dotted) return SEGMENT_PLAIN;
  return dots == 1 ? SEGMENT_DOT : SEGMENT_DOT_DOT;
}

/* The segment that begins after the '/' at path[at]. */
static struct tg_slice segment_at(struct tg_slice path, size_t at) {
  const char *from = path.ptr + at + 1;
  size_t left = path.len - at - 1;
  const char *slash = left ? memchr(from, '/', left) : NULL;
  return tg_slice(from, slash ? (size_t)(slash - from) : left);
}

static tg_status remove_dots(struct tg_slice path, char *out, size_t *out_len) {
  size_t len = 0;
  for (size_t at = 0; at < path.len;) {
    struct tg_slice segment = segment_at(path, at);
    at += 1 + segment.len;
    enum segment kind = classify(segment);
    if (kind == SEGMENT_PLAIN) {
      out[len++] = '/';
      if (segment.len) memcpy(out + len, segment.ptr, segment.len);
      len += segment.len;
      continue;
    }
    if (kind == SEGMENT_DOT_DOT) {
      /* An empty segment is nothing to a file system, but one step to RFC 3986: they would disagree
       * about where ".." leads. */
      if (len == 0 || out[len - 1] == '/') return TG_EINVALID;
      while (out[--len] != '/') {
      }
    }
    if (at >= path.len) out[len++] = '/';
  }
  *out_len = len;
  return TG_OK;
}

tg_status tg_url_normalise(struct tg_arena *arena, struct tg_slice path, struct tg_slice *out) {
  if (path.len == 0 || path.ptr[0] != '/') return TG_EINVALID;
  *out = path;
  bool suspicious = false;
  for (size_t i = 0; i < path.len && !suspicious; i++) {
    char c = path.ptr[i];
    suspicious = c == '%' || c == '\\' || (c == '.' && path.ptr[i - 1] == '/');
  }
  if (!suspicious) return TG_OK;

  bool dotted = false;
  for (size_t at = 0; at < path.len;) {
    struct tg_slice segment = segment_at(path, at);
    enum segment kind = classify(segment);
    if (kind == SEGMENT_BAD) return TG_EINVALID;
    dotted |= kind != SEGMENT_PLAIN;
    at += 1 + segment.len;
  }
  if (!dotted) return TG_OK;

  char *buffer = tg_arena_alloc(arena, path.len);
  if (!buffer) return TG_ENOMEM;
  size_t len;
  tg_status status = remove_dots(path, buffer, &len);
  if (status == TG_OK) *out = tg_slice(buffer, len);
  return status;
}

/* --- decoding ---------------------------------------------------------------------------------- */

tg_status tg_url_decode(struct tg_arena *arena, struct tg_slice s, bool plus,
                        struct tg_slice *out) {
  *out = s;
  bool encoded = s.len && memchr(s.ptr, '%', s.len);
  if (!encoded && !(plus && s.len && memchr(s.ptr, '+', s.len))) return TG_OK;
  if (encoded && !tg_url_well_encoded(s)) return TG_EINVALID;
  char *buffer = tg_arena_alloc(arena, s.len);
  if (!buffer) return TG_ENOMEM;
  size_t len = 0;
  for (size_t i = 0; i < s.len; i++) {
    char c = s.ptr[i];
    if (c == '%') {
      c = (char)escape_at(s, i);
      i += 2;
    } else if (c == '+' && plus) {
      c = ' ';
    }
    buffer[len++] = c;
  }
  *out = tg_slice(buffer, len);
  return TG_OK;
}

bool tg_url_next_pair(struct tg_slice *rest, struct tg_slice *name, struct tg_slice *value) {
  while (rest->len && rest->ptr[0] == '&') *rest = tg_slice_skip(*rest, 1);
  if (rest->len == 0) return false;
  const char *end = memchr(rest->ptr, '&', rest->len);
  struct tg_slice pair = tg_slice(rest->ptr, end ? (size_t)(end - rest->ptr) : rest->len);
  *rest = tg_slice_skip(*rest, pair.len);
  const char *equals = memchr(pair.ptr, '=', pair.len);
  size_t name_len = equals ? (size_t)(equals - pair.ptr) : pair.len;
  *name = tg_slice(pair.ptr, name_len);
  *value = tg_slice_skip(pair, equals ? name_len + 1 : name_len);
  return true;
}

/* --- authority --------------------------------------------------------------------------------- */

static bool valid_port(struct tg_slice port) {
  unsigned value = 0;
  if (port.len == 0 || port.len > 5) return false;
  for (size_t i = 0; i < port.len; i++) {
    if (port.ptr[i] < '0' || port.ptr[i] > '9') return false;
    value = value * 10 + (unsigned)(port.ptr[i] - '0');
  }
  return value <= 65535;
}

static bool valid_ipv6(struct tg_slice literal) {
  char text[INET6_ADDRSTRLEN];
  struct in6_addr address;
  if (literal.len == 0 || literal.len >= sizeof text || memchr(literal.ptr, 0, literal.len))
    return false;
  memcpy(text, literal.ptr, literal.len);
  text[literal.len] = '\0';
  return inet_pton(AF_INET6, text, &address) == 1;
}

#define NAME_MAX_LEN 255

/* Sub-delimiters and escapes, which RFC 3986 allows in a name, occur in no host name that resolves;
 * a comma among them would let a list through. */
static const bool name_bytes[256] = {
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['.'] = true,
    ['-'] = true,         ['_'] = true,         ['~'] = true,
};

bool tg_url_valid_authority(struct tg_slice host) {
  size_t end = 0;
  if (host.len && host.ptr[0] == '[') {
    const char *close = memchr(host.ptr, ']', host.len);
    if (!close) return false;
    end = (size_t)(close - host.ptr) + 1;
    if (!valid_ipv6(tg_slice(host.ptr + 1, end - 2))) return false;
  } else {
    while (end < host.len && name_bytes[(unsigned char)host.ptr[end]]) end++;
    if (end == 0 || end > NAME_MAX_LEN) return false;
  }
  if (end == host.len) return true;
  return host.ptr[end] == ':' && valid_port(tg_slice_skip(host, end + 1));
}
