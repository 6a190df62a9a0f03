/* Strict where a value ends: what was not understood is refused, never skipped over, because the
 * parts of a form hang on it. */
#include "http/parameter.h"

bool tg_parameter_is_token(unsigned char c) {
  if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')) return true;
  return c && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static size_t token_length(struct tg_slice s) {
  size_t len = 0;
  while (len < s.len && tg_parameter_is_token((unsigned char)s.ptr[len])) len++;
  return len;
}

static struct tg_slice skip_space(struct tg_slice s) {
  while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) s = tg_slice_skip(s, 1);
  return s;
}

/* Behind the opening quote; takes the closing one, too. */
static bool take_quoted(struct tg_slice *s, struct tg_slice *text) {
  size_t at = 0;
  while (at < s->len && s->ptr[at] != '"') {
    unsigned char c = (unsigned char)s->ptr[at];
    if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
    at += c == '\\' && at + 1 < s->len && (s->ptr[at + 1] == '"' || s->ptr[at + 1] == '\\') ? 2 : 1;
  }
  if (at >= s->len) return false;
  *text = tg_slice(s->ptr, at);
  *s = tg_slice_skip(*s, at + 1);
  return true;
}

enum tg_parameter_step tg_parameter_next(struct tg_slice *rest, struct tg_parameter *out) {
  struct tg_slice s = skip_space(*rest);
  bool first = true;
  while (s.len && s.ptr[0] == ';') {
    s = skip_space(tg_slice_skip(s, 1));
    first = false;
  }
  if (!s.len) {
    *rest = s;
    return TG_PARAMETER_END;
  }
  size_t len = token_length(s);
  if (first || !len || len == s.len || s.ptr[len] != '=') return TG_PARAMETER_BAD;
  *out = (struct tg_parameter){.name = tg_slice(s.ptr, len)};
  s = tg_slice_skip(s, len + 1);
  if (s.len && s.ptr[0] == '"') {
    out->quoted = true;
    s = tg_slice_skip(s, 1);
    if (!take_quoted(&s, &out->text)) return TG_PARAMETER_BAD;
  } else {
    len = token_length(s);
    if (!len) return TG_PARAMETER_BAD;
    out->text = tg_slice(s.ptr, len);
    s = tg_slice_skip(s, len);
  }
  *rest = s;
  return TG_PARAMETER_TAKEN;
}

size_t tg_parameter_unquote(struct tg_slice text, char *out) {
  size_t len = 0;
  for (size_t i = 0; i < text.len; i++) {
    bool escape = text.ptr[i] == '\\' && i + 1 < text.len &&
                  (text.ptr[i + 1] == '"' || text.ptr[i + 1] == '\\');
    out[len++] = text.ptr[escape ? ++i : i];
  }
  return len;
}

bool tg_parameter_is(const struct tg_parameter *parameter, struct tg_slice text) {
  char plain[64];
  if (parameter->text.len > sizeof plain) return false;
  if (!parameter->quoted) return tg_slice_ieq(parameter->text, text);
  return tg_slice_ieq(tg_slice(plain, tg_parameter_unquote(parameter->text, plain)), text);
}
