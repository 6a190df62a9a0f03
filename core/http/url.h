/* URLs as the gateway meets them: percent-encoding, dot segments, query strings and forms
 * (RFC 3986; WHATWG application/x-www-form-urlencoded). Pure functions over slices. */
#ifndef TG_HTTP_URL_H
#define TG_HTTP_URL_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/slice.h"
#include "base/status.h"

/* Is every '%' of `s` followed by two hexadecimal digits? */
bool tg_url_well_encoded(struct tg_slice s);

/* Removes dot segments, also percent-encoded ones ("%2e"), RFC 3986 section 5.2.4; `path` begins
 * with '/'. The answer is `path` itself where nothing had to be done, else lies in `arena`.
 * TG_EINVALID when `..` climbs out of the root, also through encoded dots, or when a segment that
 * decodes to "." or ".." hides in double slashes or backslashes ("..\\"); TG_ENOMEM. */
TG_MUST_CHECK tg_status tg_url_normalise(struct tg_arena *arena, struct tg_slice path,
                                         struct tg_slice *out);

/* Decodes %XX (and '+' as a space when `plus`). The answer is `s` itself where nothing was encoded.
 * TG_EINVALID for a bad escape, TG_ENOMEM. */
TG_MUST_CHECK tg_status tg_url_decode(struct tg_arena *arena, struct tg_slice s, bool plus,
                                      struct tg_slice *out);

/* Steps through "a=1&b=2": takes the next pair off *rest into *name and *value, still encoded;
 * a pair without '=' has an empty value; empty pairs are skipped. False when nothing is left. */
bool tg_url_next_pair(struct tg_slice *rest, struct tg_slice *name, struct tg_slice *value);

/* Is `host` a valid authority "name", "name:port", "1.2.3.4:80", "[::1]:80" (RFC 3986 section 3.2.2
 * without userinfo, RFC 9110 section 7.2)? */
bool tg_url_valid_authority(struct tg_slice host);

#endif
