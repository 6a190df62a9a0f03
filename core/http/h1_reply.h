/* The reading half of HTTP/1.1 for replies of a backend (RFC 9112): bytes in, checked heads, body
 * bytes and an end out. The counterpart of h1.h, over the same machine (h1_message.h).
 *
 * A backend is believed no more than a client: what two readers could understand in two ways is
 * refused. Verdicts do not depend on how the bytes were cut, and it never reads past the end of a
 * reply: what follows it stays with the caller.
 *
 * TG_H1_HEAD comes for each interim reply (1xx), whose slices hold until the next call, and for the
 * final one. TG_H1_END follows the body; there is none after a head without has_body. */
#ifndef TG_HTTP_H1_REPLY_H
#define TG_HTTP_H1_REPLY_H

#include "http/h1_message.h"

#define TG_REPLY_NO_LENGTH UINT64_MAX

struct tg_reply {
  int status;      /* 100 to 599 */
  uint8_t minor;   /* HTTP/1.<minor>: 0 or 1 */
  bool keep_alive; /* what version, Connection and framing allow */
  bool chunked;
  bool until_close; /* the body ends with the connection */
  bool has_body;
  bool upgrade;            /* it names a protocol (Upgrade) */
  uint64_t content_length; /* as said, also where no body follows (HEAD, 304), or NO_LENGTH */
  struct tg_slice reason;
  struct tg_field *fields;
  uint32_t field_count;
  struct tg_field *trailers; /* filled when the body has ended */
  uint32_t trailer_count;
};

/* What a reply means depends on the request's method (RFC 9112 section 6.3). */
enum tg_reply_to { TG_REPLY_TO_OTHER, TG_REPLY_TO_HEAD, TG_REPLY_TO_CONNECT };

struct tg_h1_reply {
  struct tg_h1_message message;
  struct tg_reply reply;
  /* private to h1_reply.c */
  enum tg_reply_to to;
  struct tg_arena *arena;
  struct tg_h1_limits limits;
};

/* Prepares for one reply, with the interim ones before it, whose slices will live in `arena`.
 * `head_bytes`: most bytes of a status line, and of all field lines of a head; `head_fields`: most
 * fields. */
void tg_h1_reply_init(struct tg_h1_reply *h1, struct tg_arena *arena, enum tg_reply_to to,
                      uint32_t head_bytes, uint32_t head_fields);

/* Reads from `bytes` up to the next event, as tg_h1_feed. After TG_H1_ERROR message.error_text says
 * what is wrong; error_status is 500 when memory is gone, 502 otherwise. */
enum tg_h1_event tg_h1_reply_feed(struct tg_h1_reply *h1, struct tg_slice bytes, size_t *used);

/* The connection has ended in order: was that the end of the reply? False: it was cut, at any place
 * where the body does not end so. */
bool tg_h1_reply_ends_here(const struct tg_h1_reply *h1);

/* Bytes of the body that are still to come; UINT64_MAX where that is not known. */
uint64_t tg_h1_reply_left(const struct tg_h1_reply *h1);

/* Value of the first field of that name (any case); {NULL, 0} when there is none. */
struct tg_slice tg_reply_find(const struct tg_reply *reply, struct tg_slice name);

#endif
