/* Cookies (RFC 6265bis): reading the Cookie field, writing Set-Cookie. Pure bytes. */
#ifndef TG_HTTP_COOKIES_H
#define TG_HTTP_COOKIES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"
#include "base/status.h"

#define TG_COOKIE_MAX           4096 /* name and value together: more no browser keeps */
#define TG_COOKIE_ATTRIBUTE_MAX 1024

/* Takes the next "name=value" off *rest, a Cookie field. White space around both and one pair of
 * quotes around the value are taken off; what has no '=' is skipped. False: nothing is left. */
bool tg_cookies_next(struct tg_slice *rest, struct tg_slice *name, struct tg_slice *value);

enum tg_same_site { TG_SAME_SITE_NONE, TG_SAME_SITE_LAX, TG_SAME_SITE_STRICT };

struct tg_cookie {
  struct tg_slice name, value;
  struct tg_slice path;   /* begins with '/' */
  struct tg_slice domain; /* len 0: the host alone */
  bool has_max_age, has_expires;
  int64_t max_age; /* seconds; 0 or less: delete it */
  int64_t expires; /* seconds since 1970 */
  bool secure, http_only, partitioned;
  enum tg_same_site same_site;
};

/* Why no browser would keep the cookie, or why its text would be another one; NULL: all is well.
 * Static storage. */
const char *tg_cookies_fault(const struct tg_cookie *cookie);

/* Appends the value of a Set-Cookie field, of a cookie without fault. */
TG_MUST_CHECK tg_status tg_cookies_write(struct tg_buffer *out, const struct tg_cookie *cookie);

#endif
