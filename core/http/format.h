/* Forms of text that schemas know by name. Pure functions; what they take is a documented subset
 * of its RFC, chosen so that what passes can be used. */
#ifndef TG_HTTP_FORMAT_H
#define TG_HTTP_FORMAT_H

#include <stdbool.h>

#include "base/slice.h"

#define TG_FORMAT_UUID_LEN 36

/* RFC 9562 section 4: groups of 8, 4, 4, 4 and 12 hexadecimal digits, of any version, nil and max
 * included; no braces, no "urn:uuid:". */
bool tg_format_is_uuid(struct tg_slice text);

/* An address as mail is sent to (RFC 5321 section 4.1.2): a local part of at most 64 bytes made of
 * atoms with single dots between them, '@', and a domain name of two labels at least whose last one
 * is not all digits. Letters beyond ASCII are taken in both (RFC 6531). At most 254 bytes. Quoted
 * local parts, address literals, comments and names without a dot are refused. */
bool tg_format_is_email(struct tg_slice text);

/* An absolute URL (RFC 3986) with the scheme http or https and a host; of ASCII, so that what is
 * beyond is percent-encoded. User information is refused, because it serves to mislead. */
bool tg_format_is_url(struct tg_slice text);

#endif
