/* Scanners, a character at a time. */
#include "http/format.h"

#include <stddef.h>

#include "base/utf8.h"
#include "http/url.h"

#define EMAIL_MAX  254u
#define LOCAL_MAX  64u
#define DOMAIN_MAX 253u
#define LABEL_MAX  63u

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static bool is_letter(char c) {
  return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static bool is_hex(char c) {
  return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

bool tg_format_is_uuid(struct tg_slice text) {
  if (text.len != TG_FORMAT_UUID_LEN) return false;
  for (size_t i = 0; i < text.len; i++) {
    bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text.ptr[i] != '-' : !is_hex(text.ptr[i])) return false;
  }
  return true;
}

/* Bytes of an atom (RFC 5322 section 3.2.3); whether those beyond ASCII are UTF-8 was seen before.
 */
static bool is_atom(char c) {
  if ((unsigned char)c >= 0x80 || is_letter(c) || is_digit(c)) return true;
  for (const char *p = "!#$%&'*+-/=?^_`{|}~"; *p; p++)
    if (*p == c) return true;
  return false;
}

static bool is_local_part(struct tg_slice text) {
  bool after_dot = true;
  if (text.len > LOCAL_MAX) return false;
  for (size_t i = 0; i < text.len; i++) {
    bool dot = text.ptr[i] == '.';
    if (dot ? after_dot : !is_atom(text.ptr[i])) return false;
    after_dot = dot;
  }
  return !after_dot;
}

static bool is_label(struct tg_slice label) {
  if (!label.len || label.len > LABEL_MAX) return false;
  for (size_t i = 0; i < label.len; i++) {
    char c = label.ptr[i];
    bool edge = i == 0 || i + 1 == label.len;
    if (is_letter(c) || is_digit(c) || (unsigned char)c >= 0x80) continue;
    if (c != '-' || edge) return false;
  }
  return true;
}

static bool is_number(struct tg_slice label) {
  for (size_t i = 0; i < label.len; i++)
    if (!is_digit(label.ptr[i])) return false;
  return true;
}

static bool is_domain(struct tg_slice text) {
  struct tg_slice rest = text, label = {NULL, 0};
  unsigned labels = 0;
  if (text.len > DOMAIN_MAX) return false;
  for (;;) {
    size_t len = 0;
    while (len < rest.len && rest.ptr[len] != '.') len++;
    label = tg_slice(rest.ptr, len);
    if (!is_label(label)) return false;
    labels++;
    if (len == rest.len) return labels >= 2 && !is_number(label);
    rest = tg_slice_skip(rest, len + 1);
  }
}

bool tg_format_is_email(struct tg_slice text) {
  if (text.len > EMAIL_MAX || tg_utf8_check(text.ptr, text.len) != text.len) return false;
  size_t at = 0;
  while (at < text.len && text.ptr[at] != '@') at++;
  if (at == text.len) return false;
  return is_local_part(tg_slice(text.ptr, at)) && is_domain(tg_slice_skip(text, at + 1));
}

static bool is_scheme(struct tg_slice *text) {
  static const struct tg_slice schemes[] = {{"https://", 8}, {"http://", 7}};
  for (int i = 0; i < 2; i++) {
    if (text->len < schemes[i].len) continue;
    if (!tg_slice_ieq(tg_slice(text->ptr, schemes[i].len), schemes[i])) continue;
    *text = tg_slice_skip(*text, schemes[i].len);
    return true;
  }
  return false;
}

/* Characters of path, query and fragment (RFC 3986 section 3.3 to 3.5), '%' looked at elsewhere. */
static bool is_url_character(char c) {
  if (is_letter(c) || is_digit(c)) return true;
  for (const char *p = "-._~!$&'()*+,;=:@/?%"; *p; p++)
    if (*p == c) return true;
  return false;
}

bool tg_format_is_url(struct tg_slice text) {
  if (!is_scheme(&text)) return false;
  size_t host = 0;
  while (host < text.len && text.ptr[host] != '/' && text.ptr[host] != '?' && text.ptr[host] != '#')
    host++;
  if (!host || !tg_url_valid_authority(tg_slice(text.ptr, host))) return false;
  text = tg_slice_skip(text, host);
  bool in_fragment = false;
  for (size_t i = 0; i < text.len; i++) {
    bool hash = text.ptr[i] == '#';
    if (hash ? in_fragment : !is_url_character(text.ptr[i])) return false;
    in_fragment |= hash;
  }
  return tg_url_well_encoded(text);
}
