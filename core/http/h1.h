/* The reading half of HTTP/1.1 (RFC 9112): bytes in, a checked request head, body bytes and an end
 * out. A pure byte machine over llhttp with all lenient flags off, and with the checks that llhttp
 * leaves to its user; it knows no socket, no clock and no Lua.
 *
 * One tg_h1 serves one exchange at a time: tg_h1_init, then tg_h1_feed until TG_H1_END (or
 * TG_H1_HEAD of a request without a body), then tg_h1_init again for the next request. Verdicts do
 * not depend on how the bytes were cut. It never reads past the end of a message: pipelined bytes
 * stay with the caller. */
#ifndef TG_HTTP_H1_H
#define TG_HTTP_H1_H

#include <llhttp.h>

#include "base/settings.h"
#include "http/request.h"

enum tg_h1_event {
  TG_H1_MORE,  /* all bytes were used, the message goes on */
  TG_H1_HEAD,  /* h1->request is complete; without has_body the message has ended, too */
  TG_H1_BODY,  /* h1->body holds decoded body bytes, inside the bytes given; valid until the next
                  call */
  TG_H1_END,   /* the body (and its trailers) ended */
  TG_H1_ERROR, /* h1->error_status and h1->error_text say what is wrong; feed no more */
};

struct tg_h1 {
  llhttp_t parser;
  struct tg_request request;
  struct tg_slice body;
  int error_status;       /* 400, 413, 414, 417, 431, 501 or 505; 500 when memory is gone */
  const char *error_text; /* static storage: one line for the problem document */
  uint64_t body_max; /* longest decoded body that is let through; may be lowered or raised after
                        TG_H1_HEAD (a route's max_body); past it TG_H1_ERROR with 413 */
  bool started;      /* a byte of this message has been seen (empty lines before it do not count) */
  /* private to h1.c */
  const struct tg_settings *settings;
  struct tg_arena *arena;
  struct tg_h1_private {
    const char *from;         /* where the bytes of the block begin in what is being fed */
    char *kept;               /* copy of the block's bytes of earlier feeds */
    struct tg_h1_span *spans; /* field lines of the block, as offsets from its begin */
    uint32_t kept_len, kept_cap;
    uint32_t span_count, span_cap;
    uint32_t target, target_len;
    uint32_t room; /* bytes that the request line, or the block, may still take */
    uint8_t phase;
    uint8_t blank_lines;   /* empty lines before the request */
    bool after_cr;         /* ... and in the middle of one */
    bool stop;             /* a callback has paused the parser */
    uint64_t body;         /* decoded bytes so far */
    uint64_t framing_room; /* bytes of chunk framing that may still come */
  } p;
};

/* Prepares for one message whose slices will live in `arena`. `settings` is borrowed. */
void tg_h1_init(struct tg_h1 *h1, struct tg_arena *arena, const struct tg_settings *settings);

/* Reads from `bytes` up to the next event; *used says how many were consumed. Call again with the
 * rest after every event but TG_H1_MORE and TG_H1_ERROR (with an empty rest where nothing is left:
 * an event may still be due). */
enum tg_h1_event tg_h1_feed(struct tg_h1 *h1, struct tg_slice bytes, size_t *used);

/* After the end of a message that was answered 101: what follows is another protocol's, and comes
 * as TG_H1_BODY without an end. */
void tg_h1_tunnel(struct tg_h1 *h1);

#endif
