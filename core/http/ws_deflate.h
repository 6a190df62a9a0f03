/* permessage-deflate (RFC 7692): what is agreed on in the handshake, and messages to and from their
 * compressed form. Bytes only; zlib does the work.
 *
 * Without context takeover a message stands for itself, and an idle connection holds no window. */
#ifndef TG_HTTP_WS_DEFLATE_H
#define TG_HTTP_WS_DEFLATE_H

#include <zlib.h>

#include "base/buffer.h"
#include "base/slice.h"
#include "base/status.h"

/* What a server wants. */
enum tg_ws_compress {
  TG_WS_COMPRESS_NEVER,
  TG_WS_COMPRESS_ALONE,  /* each message by itself */
  TG_WS_COMPRESS_CONTEXT /* with what went before, where the client wants that, too */
};

struct tg_ws_deflate_terms {
  bool agreed;
  bool server_alone, client_alone;  /* no context takeover */
  uint8_t server_bits, client_bits; /* of the windows, 9 to 15 */
  bool names_client_bits;           /* the answer must say them */
};

/* Longest value of Sec-WebSocket-Extensions that is written. */
#define TG_WS_DEFLATE_TERMS_MAX 160

/* Considers one member of Sec-WebSocket-Extensions; false: not this one. */
bool tg_ws_deflate_offer(struct tg_slice member, enum tg_ws_compress wanted,
                         struct tg_ws_deflate_terms *terms);

/* Writes the value of the answer's field; returns its length. */
size_t tg_ws_deflate_write_terms(char out[TG_WS_DEFLATE_TERMS_MAX],
                                 const struct tg_ws_deflate_terms *terms);

struct tg_ws_deflate {
  struct tg_ws_deflate_terms terms;
  z_stream in, out;
  bool in_open, out_open;
};

void tg_ws_deflate_init(struct tg_ws_deflate *d, const struct tg_ws_deflate_terms *terms);
void tg_ws_deflate_deinit(struct tg_ws_deflate *d);

/* Appends what a piece of a client's message holds, at most `most` bytes: TG_ETOO_LARGE past that;
 * TG_EINVALID: it is not compressed data; TG_ENOMEM. */
TG_MUST_CHECK tg_status tg_ws_inflate(struct tg_ws_deflate *d, struct tg_slice piece,
                                      struct tg_buffer *out, size_t most);

/* The same, behind the last piece of a message. */
TG_MUST_CHECK tg_status tg_ws_inflate_end(struct tg_ws_deflate *d, struct tg_buffer *out,
                                          size_t most);

/* Appends a message's compressed form. TG_ENOMEM: nothing; with context takeover the connection
 * cannot go on then. */
TG_MUST_CHECK tg_status tg_ws_deflate_message(struct tg_ws_deflate *d, struct tg_slice bytes,
                                              struct tg_buffer *out);

#endif
