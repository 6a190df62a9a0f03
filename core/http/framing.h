/* The fields that say where a message ends and whether the connection goes on (RFC 9112 sections 6
 * and 9), read the same way in requests and in replies. */
#ifndef TG_HTTP_FRAMING_H
#define TG_HTTP_FRAMING_H

#include "http/request.h"

/* As found in one pass over the fields; NULL where absent. */
struct tg_framing {
  const struct tg_field *length, *coding;
  bool close, keep_alive, upgrade; /* members of Connection */
};

/* Notes a field; others than Content-Length, Transfer-Encoding and Connection are passed over.
 * NULL, or why the message is refused (static storage). */
const char *tg_framing_note(struct tg_framing *framing, const struct tg_field *field);

/* Nobody keeps a body as long as this; to wait for it would be to wait for ever. */
#define TG_FRAMING_LENGTH_MAX (UINT64_C(1) << 50)

/* Reads a Content-Length. NULL, or why it is refused; *length is TG_FRAMING_LENGTH_MAX then where
 * it is only too large. */
const char *tg_framing_length(struct tg_slice value, uint64_t *length);

#endif
