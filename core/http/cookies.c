/* Cookies are read kindly, since others set them, too, and written by the letter (RFC 6265bis
 * section 4.1.1): a cookie that a browser would drop without a word is refused here, with one. */
#include "http/cookies.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/calendar.h"
#include "http/parameter.h"

bool tg_cookies_next(struct tg_slice *rest, struct tg_slice *name, struct tg_slice *value) {
  while (rest->len) {
    const char *semicolon = memchr(rest->ptr, ';', rest->len);
    size_t len = semicolon ? (size_t)(semicolon - rest->ptr) : rest->len;
    struct tg_slice pair = tg_slice_trim(tg_slice(rest->ptr, len));
    *rest = tg_slice_skip(*rest, semicolon ? len + 1 : len);
    const char *equals = pair.len ? memchr(pair.ptr, '=', pair.len) : NULL;
    if (!equals) continue;
    *name = tg_slice_trim(tg_slice(pair.ptr, (size_t)(equals - pair.ptr)));
    *value = tg_slice_trim(tg_slice_skip(pair, (size_t)(equals - pair.ptr) + 1));
    if (value->len >= 2 && value->ptr[0] == '"' && value->ptr[value->len - 1] == '"')
      *value = tg_slice(value->ptr + 1, value->len - 2);
    return true;
  }
  return false;
}

static bool is_name(struct tg_slice s) {
  for (size_t i = 0; i < s.len; i++)
    if (!tg_parameter_is_token((unsigned char)s.ptr[i])) return false;
  return s.len > 0;
}

/* cookie-octet: no control bytes, white space, quotes, comma, semicolon, backslash. */
static bool is_value(struct tg_slice s) {
  for (size_t i = 0; i < s.len; i++) {
    unsigned char c = (unsigned char)s.ptr[i];
    if (c <= 0x20 || c >= 0x7f || c == '"' || c == ',' || c == ';' || c == '\\') return false;
  }
  return true;
}

static bool is_path(struct tg_slice s) {
  if (!s.len || s.ptr[0] != '/') return false;
  for (size_t i = 0; i < s.len; i++) {
    unsigned char c = (unsigned char)s.ptr[i];
    if (c < 0x20 || c == 0x7f || c == ';') return false;
  }
  return s.ptr[s.len - 1] != ' ';
}

static bool is_domain(struct tg_slice s) {
  for (size_t i = 0; i < s.len; i++) {
    unsigned char c = (unsigned char)s.ptr[i], low = c | 0x20;
    bool plain = (c >= '0' && c <= '9') || (low >= 'a' && low <= 'z') || c == '-' || c == '.';
    if (!plain) return false;
  }
  return true;
}

static bool begins_with(struct tg_slice s, struct tg_slice prefix) {
  return s.len >= prefix.len && tg_slice_ieq(tg_slice(s.ptr, prefix.len), prefix);
}

const char *tg_cookies_fault(const struct tg_cookie *cookie) {
  if (!is_name(cookie->name)) return "the name is a token: letters, digits and !#$%&'*+-.^_`|~";
  if (!is_value(cookie->value))
    return "the value holds control bytes, spaces, quotes, commas, semicolons, backslashes or "
           "bytes "
           "that are not ASCII; encode it, for instance with "
           "tg.crypto.base64url_encode";
  if (cookie->name.len + cookie->value.len > TG_COOKIE_MAX)
    return "name and value are longer than 4096 bytes together, which no browser keeps";
  if (!is_path(cookie->path) || cookie->path.len > TG_COOKIE_ATTRIBUTE_MAX)
    return "the path begins with '/' and holds no control bytes or semicolons";
  if (!is_domain(cookie->domain) || cookie->domain.len > TG_COOKIE_ATTRIBUTE_MAX)
    return "the domain is a host name";
  if (cookie->has_expires &&
      (cookie->expires < TG_CALENDAR_LEAST || cookie->expires > TG_CALENDAR_MOST))
    return "expires is a time in seconds since 1970";
  if (cookie->same_site == TG_SAME_SITE_NONE && !cookie->secure)
    return "same_site = \"None\" needs secure = true";
  if (cookie->partitioned && !cookie->secure) return "partitioned needs secure = true";
  bool host = begins_with(cookie->name, TG_SLICE("__Host-"));
  if ((host || begins_with(cookie->name, TG_SLICE("__Secure-"))) && !cookie->secure)
    return "a name that begins with __Host- or __Secure- needs secure = true";
  if (host && (cookie->domain.len || !tg_slice_eq(cookie->path, TG_SLICE("/"))))
    return "a name that begins with __Host- needs the path \"/\" and no domain";
  return NULL;
}

tg_status tg_cookies_write(struct tg_buffer *out, const struct tg_cookie *cookie) {
  static const char *const same_sites[] = {"None", "Lax", "Strict"};
  struct tg_slice name = cookie->name, value = cookie->value, path = cookie->path;
  struct tg_slice domain = cookie->domain;
  char date[TG_CALENDAR_TEXT], max_age[40] = "";
  if (cookie->has_expires) tg_calendar_write_http(cookie->expires, date);
  if (cookie->has_max_age) snprintf(max_age, sizeof max_age, "; Max-Age=%" PRId64, cookie->max_age);
  return tg_buffer_format(
      out, "%.*s=%.*s; Path=%.*s%s%.*s%s%s%s%s%s%s; SameSite=%s", (int)name.len, name.ptr,
      (int)value.len, value.ptr ? value.ptr : "", (int)path.len, path.ptr,
      domain.len ? "; Domain=" : "", (int)domain.len, domain.ptr ? domain.ptr : "", max_age,
      cookie->has_expires ? "; Expires=" : "", cookie->has_expires ? date : "",
      cookie->secure ? "; Secure" : "", cookie->http_only ? "; HttpOnly" : "",
      cookie->partitioned ? "; Partitioned" : "", same_sites[cookie->same_site]);
}
