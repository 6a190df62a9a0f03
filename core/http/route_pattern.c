/* Reading of route patterns, and what a typed parameter takes: see route_pattern.h. */
#include "http/route_pattern.h"

#define NUM_MAX 64 /* longest text of a {name:num}: far within what a double can hold */

static const struct tg_slice kind_names[TG_ROUTE_KIND_COUNT] = {
    [TG_ROUTE_UUID] = {"uuid", 4}, [TG_ROUTE_INT] = {"int", 3},   [TG_ROUTE_NUM] = {"num", 3},
    [TG_ROUTE_NAME] = {"", 0},     [TG_ROUTE_PATH] = {"path", 4},
};

struct tg_slice tg_route_kind_name(enum tg_route_kind kind) {
  return kind_names[kind];
}

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  char lower = (char)(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

size_t tg_route_pattern_decode(struct tg_slice text, char *out) {
  size_t len = 0;
  for (size_t i = 0; i < text.len; i++) {
    int high = -1, low = -1;
    if (text.ptr[i] == '%' && text.len - i > 2) {
      high = hex_value(text.ptr[i + 1]);
      low = hex_value(text.ptr[i + 2]);
    }
    if (high < 0 || low < 0) {
      out[len++] = text.ptr[i];
      continue;
    }
    out[len++] = (char)(high << 4 | low);
    i += 2;
  }
  return len;
}

/* --- values --------------------------------------------------------------------------------------- */

static bool accepts_int(struct tg_slice s) {
  bool negative = s.len && s.ptr[0] == '-';
  uint64_t most = (uint64_t)INT64_MAX + negative, value = 0;
  size_t i = negative;
  if (i == s.len || s.len > NUM_MAX) return false;
  for (; i < s.len; i++) {
    if (!is_digit(s.ptr[i])) return false;
    uint64_t digit = (uint64_t)(s.ptr[i] - '0');
    if (value > (most - digit) / 10) return false;
    value = value * 10 + digit;
  }
  return true;
}

static size_t skip_digits(struct tg_slice s, size_t from) {
  while (from < s.len && is_digit(s.ptr[from])) from++;
  return from;
}

static bool accepts_num(struct tg_slice s) {
  if (s.len > NUM_MAX) return false;
  size_t begin = s.len && s.ptr[0] == '-';
  size_t at = skip_digits(s, begin);
  if (at == begin) return false;
  if (at == s.len) return true;
  if (s.ptr[at] != '.') return false;
  size_t end = skip_digits(s, at + 1);
  return end == s.len && end > at + 1;
}

static bool accepts_uuid(struct tg_slice s) {
  if (s.len != 36) return false;
  for (size_t i = 0; i < 36; i++) {
    bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? s.ptr[i] != '-' : hex_value(s.ptr[i]) < 0) return false;
  }
  return true;
}

bool tg_route_pattern_accepts(enum tg_route_kind kind, struct tg_slice text) {
  switch (kind) {
    case TG_ROUTE_UUID: return accepts_uuid(text);
    case TG_ROUTE_INT: return accepts_int(text);
    case TG_ROUTE_NUM: return accepts_num(text);
    case TG_ROUTE_NAME:
    case TG_ROUTE_PATH: return text.len > 0;
    case TG_ROUTE_KIND_COUNT: break;
  }
  return false;
}

/* --- patterns ------------------------------------------------------------------------------------- */

static bool valid_param_name(struct tg_slice name) {
  if (name.len == 0 || name.len > 64 || is_digit(name.ptr[0])) return false;
  for (size_t i = 0; i < name.len; i++) {
    char c = name.ptr[i], lower = (char)(c | 0x20);
    if (!is_digit(c) && c != '_' && !(lower >= 'a' && lower <= 'z')) return false;
  }
  return true;
}

/* `inner` is what stands between the braces. Returns what is wrong, or NULL. */
static const char *parse_param(struct tg_slice inner, struct tg_route_param *param) {
  const char *colon = inner.len ? memchr(inner.ptr, ':', inner.len) : NULL;
  param->name = colon ? tg_slice(inner.ptr, (size_t)(colon - inner.ptr)) : inner;
  param->kind = TG_ROUTE_NAME;
  if (!valid_param_name(param->name))
    return "the name of a parameter is a letter or '_', then letters, digits and '_', at most 64";
  if (!colon) return NULL;
  struct tg_slice word = tg_slice_skip(inner, param->name.len + 1);
  for (int kind = 0; kind < TG_ROUTE_KIND_COUNT; kind++) {
    if (word.len == 0 || !tg_slice_eq(word, kind_names[kind])) continue;
    param->kind = (enum tg_route_kind)kind;
    return NULL;
  }
  return "the type of a parameter is int, num, uuid or path";
}

/* What no normalised request path can contain would be a route that nothing reaches. */
static const char *check_text(struct tg_slice text) {
  if (text.len > TG_ROUTE_SEGMENT_MAX) return "a segment is longer than 255 bytes";
  for (size_t i = 0; i < text.len; i++) {
    unsigned char c = (unsigned char)text.ptr[i];
    if (c == '{' || c == '}') return "a parameter is a whole segment: /{name} or /{name:type}";
    if (c == '*') return "'*' is no pattern; the rest of a path is {name:path}";
    if (c <= 0x20 || c == 0x7F) return "white space and control bytes must be percent-encoded";
    if (c == '?' || c == '#') return "a path has no '?' and no '#'";
    if (c == '\\') return "a path has no backslash";
    if (c != '%') continue;
    if (text.len - i < 3 || hex_value(text.ptr[i + 1]) < 0 || hex_value(text.ptr[i + 2]) < 0)
      return "a '%' begins no %XX; a '%' of its own is written %25";
  }
  char decoded[TG_ROUTE_SEGMENT_MAX];
  struct tg_slice plain = tg_slice(decoded, tg_route_pattern_decode(text, decoded));
  if (tg_slice_eq(plain, TG_SLICE(".")) || tg_slice_eq(plain, TG_SLICE("..")))
    return "'.' and '..' never reach the routes";
  return NULL;
}

static const char *parse_segment(struct tg_slice text, bool last, struct tg_route_segment *out) {
  if (text.len == 0 && !last) return "an empty segment ('//')";
  out->is_param = text.len >= 2 && text.ptr[0] == '{' && text.ptr[text.len - 1] == '}' &&
                  !memchr(text.ptr + 1, '{', text.len - 1) &&
                  memchr(text.ptr, '}', text.len) == text.ptr + text.len - 1;
  out->text = text;
  if (!out->is_param) return check_text(text);
  const char *why = parse_param(tg_slice(text.ptr + 1, text.len - 2), &out->param);
  if (!why && out->param.kind == TG_ROUTE_PATH && !last)
    return "{name:path} takes the rest of the path: it must be last";
  return why;
}

static const char *check_params(const struct tg_route_pattern *pattern) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < pattern->count; i++) {
    if (!pattern->segments[i].is_param) continue;
    count++;
    for (uint32_t k = 0; k < i; k++)
      if (pattern->segments[k].is_param &&
          tg_slice_eq(pattern->segments[k].param.name, pattern->segments[i].param.name))
        return "two parameters have the same name";
  }
  return count > TG_ROUTE_PARAMS_MAX ? "more than 16 parameters" : NULL;
}

static const char *parse(struct tg_route_pattern *pattern, struct tg_slice text) {
  pattern->count = 0;
  if (text.len == 0 || text.ptr[0] != '/') return "a path begins with '/'";
  for (bool last = false; !last;) {
    text = tg_slice_skip(text, 1);
    const char *slash = text.len ? memchr(text.ptr, '/', text.len) : NULL;
    struct tg_slice segment = slash ? tg_slice(text.ptr, (size_t)(slash - text.ptr)) : text;
    last = !slash;
    if (pattern->count == TG_ROUTE_DEPTH_MAX) return "more than 64 segments";
    const char *why = parse_segment(segment, last, &pattern->segments[pattern->count]);
    if (why) return why;
    pattern->count++;
    text = tg_slice_skip(text, segment.len);
  }
  return check_params(pattern);
}

tg_status tg_route_pattern_parse(struct tg_route_pattern *pattern, struct tg_slice text,
                                 const char **why) {
  *why = parse(pattern, text);
  return *why ? TG_EINVALID : TG_OK;
}

tg_status tg_route_tree_parse_pattern(struct tg_slice text,
                                      struct tg_route_param params[TG_ROUTE_PARAMS_MAX],
                                      uint32_t *count, const char **why) {
  struct tg_route_pattern pattern;
  tg_status status = tg_route_pattern_parse(&pattern, text, why);
  if (status) return status;
  *count = 0;
  for (uint32_t i = 0; i < pattern.count; i++)
    if (pattern.segments[i].is_param) params[(*count)++] = pattern.segments[i].param;
  return TG_OK;
}
