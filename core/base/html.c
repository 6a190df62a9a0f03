/* Runs of harmless bytes are copied at once; see html.h. */
#include "base/html.h"

/* What stands for a byte; len 0: itself. */
static struct tg_slice reference(unsigned char c) {
  switch (c) {
    case '&': return TG_SLICE("&amp;");
    case '<': return TG_SLICE("&lt;");
    case '>': return TG_SLICE("&gt;");
    case '"': return TG_SLICE("&#34;");
    case '\'': return TG_SLICE("&#39;");
    case '`': return TG_SLICE("&#96;");
    case '=': return TG_SLICE("&#61;");
    case 0: return TG_SLICE("\xEF\xBF\xBD");
    default: return tg_slice(NULL, 0);
  }
}

/* 1 for the bytes above. */
static const unsigned char special[256] = {
    [0] = 1, ['"'] = 1, ['&'] = 1, ['\''] = 1, ['<'] = 1, ['='] = 1, ['>'] = 1, ['`'] = 1};

tg_status tg_html_append(struct tg_buffer *out, struct tg_slice text) {
  for (;;) {
    size_t plain = 0;
    while (plain < text.len && !special[(unsigned char)text.ptr[plain]]) plain++;
    tg_status status = plain ? tg_buffer_append(out, text.ptr, plain) : TG_OK;
    if (status || plain == text.len) return status;
    struct tg_slice safe = reference((unsigned char)text.ptr[plain]);
    status = tg_buffer_append(out, safe.ptr, safe.len);
    if (status) return status;
    text = tg_slice_skip(text, plain + 1);
  }
}

/* The length of what must not stand in a script at `at`, with what stands for it; 0: nothing. */
static size_t risky(struct tg_slice json, size_t at, struct tg_slice *safe) {
  const char *s = json.ptr + at;
  if (*s == '<') return *safe = TG_SLICE("\\u003c"), 1;
  if (*s == '>') return *safe = TG_SLICE("\\u003e"), 1;
  if (*s == '&') return *safe = TG_SLICE("\\u0026"), 1;
  if (json.len - at < 3 || memcmp(s, "\xE2\x80", 2) != 0) return 0;
  if (s[2] == '\xA8') return *safe = TG_SLICE("\\u2028"), 3;
  if (s[2] == '\xA9') return *safe = TG_SLICE("\\u2029"), 3;
  return 0;
}

tg_status tg_html_append_json(struct tg_buffer *out, struct tg_slice json) {
  size_t from = 0, at = 0;
  while (at < json.len) {
    struct tg_slice safe;
    size_t len = risky(json, at, &safe);
    if (!len) {
      at++;
      continue;
    }
    tg_status status = tg_buffer_append(out, json.ptr + from, at - from);
    if (status == TG_OK) status = tg_buffer_append(out, safe.ptr, safe.len);
    if (status) return status;
    from = at += len;
  }
  return at > from ? tg_buffer_append(out, json.ptr + from, at - from) : TG_OK;
}

static bool is_letter(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_allowed(struct tg_slice scheme) {
  static const struct tg_slice allowed[] = {
      {"http", 4}, {"https", 5}, {"mailto", 6}, {"tel", 3}, {"ftp", 3}};
  for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
    if (tg_slice_ieq(scheme, allowed[i])) return true;
  return false;
}

bool tg_html_url_is_safe(struct tg_slice url) {
  char scheme[8];
  size_t len = 0;
  bool begun = false;
  for (size_t i = 0; i < url.len; i++) {
    unsigned char c = (unsigned char)url.ptr[i];
    if (c == '\t' || c == '\n' || c == '\r' || (!begun && c <= ' ')) continue;
    if (c == ':') return !begun || is_allowed(tg_slice(scheme, len));
    if (!is_letter(c) && !(begun && ((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.')))
      return true; /* no scheme: the URL is relative */
    begun = true;
    if (len < sizeof scheme) scheme[len++] = (char)c;
  }
  return true;
}
