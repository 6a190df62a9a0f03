/* The head of a request to a backend, serialised once: the counterpart of response.h.
 *
 * Framing and connection are decided here and nowhere else: whatever the fields of the caller say,
 * exactly one framing field goes out where there is a body (bad framing towards a backend is how
 * requests are smuggled, RFC 9112 section 11.2). */
#ifndef TG_HTTP_REQUEST_HEAD_H
#define TG_HTTP_REQUEST_HEAD_H

#include "http/response.h"

struct tg_request_head {
  struct tg_slice method;    /* a token */
  struct tg_slice target;    /* as it goes out */
  struct tg_slice authority; /* value of Host */
  const struct tg_response_field *fields;
  size_t field_count;
  uint64_t length; /* bytes of the body, TG_LENGTH_CHUNKED, or TG_LENGTH_NONE: no body */
  bool expect_continue;
  bool close;          /* writes Connection: close */
  bool takes_trailers; /* writes TE: trailers, and names it in Connection */
  bool upgrade;        /* writes Connection: upgrade; the protocol stands in `fields` (Upgrade) */
};

/* Appends the request line, Host, the framing field, the given fields and the blank line, in one
 * reservation. Without a body POST, PUT and PATCH get Content-Length: 0. Fields named Host,
 * Connection, Content-Length, Transfer-Encoding, Expect, Keep-Alive, Proxy-Connection, with
 * `takes_trailers` TE, and without `upgrade` Upgrade, are skipped. TG_EINVALID: the method or a
 * name is no token, the target or the authority holds a space or a byte that is not of ASCII, or a
 * value holds a control byte; TG_ENOMEM. What was in the buffer stays. */
TG_MUST_CHECK tg_status tg_request_head_write(struct tg_buffer *out,
                                              const struct tg_request_head *head);

#endif
