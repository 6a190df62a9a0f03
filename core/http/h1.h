/* The reading half of HTTP/1.1 (RFC 9112): bytes in, a checked request head, body bytes and an end
 * out, over the machine of h1_message.h.
 *
 * One tg_h1 serves one exchange at a time: tg_h1_init, then tg_h1_feed until TG_H1_END (or
 * TG_H1_HEAD of a request without a body), then tg_h1_init again for the next request. Verdicts do
 * not depend on how the bytes were cut. It never reads past the end of a message: pipelined bytes
 * stay with the caller. */
#ifndef TG_HTTP_H1_H
#define TG_HTTP_H1_H

#include "base/settings.h"
#include "http/h1_message.h"

struct tg_h1 {
  struct tg_h1_message message;
  struct tg_request request; /* complete after TG_H1_HEAD; its trailers after TG_H1_END */
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
