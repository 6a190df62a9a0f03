/* A scanner that finds where a value ends, and a few readers on top of it. */
#include "app/json_scan.h"

#include <stdlib.h>

#define DEPTH_MAX 32

static bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip_space(const char *at, const char *end) {
  while (at < end && is_space(*at)) at++;
  return at;
}

static const char *skip_string(const char *at, const char *end) {
  if (at >= end || *at != '"') return NULL;
  for (at++; at < end; at++) {
    if (*at == '"') return at + 1;
    if ((unsigned char)*at < 0x20) return NULL;
    if (*at == '\\') at++;
  }
  return NULL;
}

static const char *skip_word(const char *at, const char *end) {
  const char *begin = at;
  while (at < end && ((*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'z') || *at == '-' ||
                      *at == '+' || *at == '.' || *at == 'E'))
    at++;
  return at == begin ? NULL : at;
}

static const char *skip_value(const char *at, const char *end, int depth);

/* Past `"key" : value` or `value`, in front of what follows. */
static const char *skip_member(const char *at, const char *end, bool with_key, int depth) {
  if (with_key) {
    at = skip_string(at, end);
    if (!at) return NULL;
    at = skip_space(at, end);
    if (at >= end || *at != ':') return NULL;
    at = skip_space(at + 1, end);
  }
  return skip_value(at, end, depth);
}

static const char *skip_group(const char *at, const char *end, int depth) {
  bool with_key = *at == '{';
  char close = with_key ? '}' : ']';
  at = skip_space(at + 1, end);
  if (at < end && *at == close) return at + 1;
  for (;;) {
    at = skip_member(at, end, with_key, depth);
    if (!at) return NULL;
    at = skip_space(at, end);
    if (at >= end) return NULL;
    if (*at == close) return at + 1;
    if (*at != ',') return NULL;
    at = skip_space(at + 1, end);
  }
}

static const char *skip_value(const char *at, const char *end, int depth) {
  if (at >= end || depth > DEPTH_MAX) return NULL;
  if (*at == '"') return skip_string(at, end);
  if (*at == '{' || *at == '[') return skip_group(at, end, depth + 1);
  return skip_word(at, end);
}

struct tg_slice tg_json_scan_value(struct tg_slice text) {
  if (!text.len) return tg_slice(NULL, 0);
  const char *end = text.ptr + text.len;
  const char *begin = skip_space(text.ptr, end);
  const char *after = skip_value(begin, end, 0);
  if (!after || skip_space(after, end) != end) return tg_slice(NULL, 0);
  return tg_slice(begin, (size_t)(after - begin));
}

/* `rest` stands at the opening bracket first, later in front of a comma or the closing one, which
 * is its last byte always. */
bool tg_json_scan_next(struct tg_slice *rest, struct tg_slice *key, struct tg_slice *value) {
  if (rest->len < 2) return false;
  const char *end = rest->ptr + rest->len;
  if (end[-1] != '}' && end[-1] != ']') return false;
  const char *at = skip_space(rest->ptr + 1, end);
  *key = tg_slice(NULL, 0);
  if (end[-1] == '}') {
    const char *after = skip_string(at, end);
    if (!after) return false;
    *key = tg_slice(at + 1, (size_t)(after - at) - 2);
    at = skip_space(skip_space(after, end) + 1, end);
  }
  const char *after = skip_value(at, end, 0);
  if (!after) return false;
  *value = tg_slice(at, (size_t)(after - at));
  after = skip_space(after, end);
  *rest = tg_slice(after, (size_t)(end - after));
  return true;
}

struct tg_slice tg_json_scan_find(struct tg_slice object, const char *key) {
  struct tg_slice name, value;
  if (object.len && object.ptr[0] == '{')
    while (tg_json_scan_next(&object, &name, &value))
      if (tg_slice_eq(name, tg_slice_cstr(key))) return value;
  return tg_slice(NULL, 0);
}

static unsigned read_hex4(const char *at) {
  char digits[5] = {at[0], at[1], at[2], at[3], 0};
  return (unsigned)strtoul(digits, NULL, 16);
}

static size_t write_utf8(unsigned code, char out[4]) {
  if (code < 0x80) return out[0] = (char)code, 1;
  if (code < 0x800) {
    out[0] = (char)(0xC0 | code >> 6);
    out[1] = (char)(0x80 | (code & 0x3F));
    return 2;
  }
  if (code < 0x10000) {
    out[0] = (char)(0xE0 | code >> 12);
    out[1] = (char)(0x80 | (code >> 6 & 0x3F));
    out[2] = (char)(0x80 | (code & 0x3F));
    return 3;
  }
  out[0] = (char)(0xF0 | code >> 18);
  out[1] = (char)(0x80 | (code >> 12 & 0x3F));
  out[2] = (char)(0x80 | (code >> 6 & 0x3F));
  out[3] = (char)(0x80 | (code & 0x3F));
  return 4;
}

/* One escape at `at`, behind the backslash, of at least one byte; returns the bytes that it takes.
 */
static size_t read_escape(const char *at, const char *end, char out[4], size_t *written) {
  static const char letters[] = "nrtbf", bytes[] = "\n\r\t\b\f";
  const char *letter = memchr(letters, *at, sizeof letters - 1);
  if (*at != 'u' || end - at < 5) {
    out[0] = letter ? bytes[letter - letters] : *at;
    *written = 1;
    return 1;
  }
  unsigned code = read_hex4(at + 1);
  size_t used = 5;
  if (code >= 0xD800 && code < 0xDC00 && end - at >= 11 && at[5] == '\\' && at[6] == 'u') {
    code = 0x10000 + ((code - 0xD800) << 10) + ((read_hex4(at + 7) - 0xDC00) & 0x3FF);
    used = 11;
  }
  *written = write_utf8(code, out);
  return used;
}

tg_status tg_json_scan_text(struct tg_slice value, struct tg_buffer *out) {
  if (!value.len || value.ptr[0] != '"') return tg_buffer_append(out, value.ptr, value.len);
  const char *at = value.ptr + 1, *end = value.ptr + value.len - 1;
  tg_status status = TG_OK;
  while (!status && at < end) {
    const char *stop = memchr(at, '\\', (size_t)(end - at));
    if (!stop) stop = end;
    status = tg_buffer_append(out, at, (size_t)(stop - at));
    at = stop;
    if (status || at + 1 >= end) break;
    char bytes[4];
    size_t written;
    at++;
    at += read_escape(at, end, bytes, &written);
    status = tg_buffer_append(out, bytes, written);
  }
  return status;
}
