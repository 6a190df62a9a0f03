/* The writing half of HTTP/1.1: a head serialised once, chunk framing, and problem documents.
 *
 * Pure bytes into a tg_buffer. A field name or value with CR, LF, NUL or another control byte never
 * gets out: it is refused here, the last place before the wire (RFC 9110 section 5.5). */
#ifndef TG_HTTP_RESPONSE_H
#define TG_HTTP_RESPONSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"
#include "base/status.h"

struct tg_response_field {
  struct tg_slice name;
  struct tg_slice value;
};

#define TG_LENGTH_CHUNKED UINT64_MAX /* Transfer-Encoding: chunked */
#define TG_LENGTH_NONE \
  (UINT64_MAX - 1) /* no framing field at all: 1xx, 204, 304, or HTTP/1.0 until close */

struct tg_response_head {
  int status;
  uint64_t length;              /* bytes of the body, or one of the values above */
  bool close;                   /* writes Connection: close */
  bool keep_alive;              /* writes Connection: keep-alive (for HTTP/1.0 clients) */
  bool upgrade;                 /* writes Connection: upgrade (with 101 and an Upgrade field) */
  struct tg_slice content_type; /* len 0: none is written */
  struct tg_slice date;         /* IMF-fixdate, TG_HTTP_DATE_LEN bytes */
  const struct tg_response_field *fields;
  size_t field_count;
};

/* Reason phrase of a status ("Not Found"; "Unknown" where there is none); static storage. */
struct tg_slice tg_response_reason(int status);

/* Appends "HTTP/1.1 200 OK\r\n", Server, Date, the framing field, the given fields and the blank
 * line, in one reservation. 1xx and 204 get no framing field whatever `length` says; an empty
 * `date` writes no Date. Fields named Connection, Content-Length, Transfer-Encoding, Date, Server
 * among `fields` are skipped (framing is ours). TG_EINVALID: a name is no token, a value holds a
 * control byte, or the status lies outside 100 to 599; TG_ENOMEM. What was in the buffer stays. */
TG_MUST_CHECK tg_status tg_response_write_head(struct tg_buffer *out,
                                               const struct tg_response_head *head);

/* Is `name` a token (RFC 9110 section 5.6.2) and `value` free of control bytes but tab? */
bool tg_response_valid_field(struct tg_slice name, struct tg_slice value);

/* Writes the size line of a chunk of `size` (> 0) bytes into `out` (at least 20 bytes), returns its
 * length; the data and "\r\n" follow it. */
size_t tg_response_chunk_head(uint64_t size, char *out);

/* Appends the end of a chunked body: the last chunk, the trailer fields that are fit for the wire,
 * and the blank line. TG_ENOMEM adds nothing. */
TG_MUST_CHECK tg_status tg_response_write_end(struct tg_buffer *out,
                                              const struct tg_response_field *trailers,
                                              size_t count);

/* An RFC 9457 problem document. Empty texts are left out, but type is "about:blank" and title the
 * reason phrase then. */
struct tg_problem {
  int status;
  struct tg_slice type, title, detail, instance;
  struct tg_slice members; /* further ones: valid JSON of an object without its braces */
};

/* Appends the document. Text is escaped for JSON; bytes that are not UTF-8 become U+FFFD.
 * TG_ENOMEM adds nothing. */
TG_MUST_CHECK tg_status tg_response_write_problem(struct tg_buffer *out,
                                                  const struct tg_problem *problem);

#endif
