/* The opening handshake of the WebSocket protocol, the server's side (RFC 6455 section 4.2): is
 * this request one, from where, and what is answered. Bytes only; the head is written by others. */
#ifndef TG_HTTP_WS_HANDSHAKE_H
#define TG_HTTP_WS_HANDSHAKE_H

#include "http/request.h"
#include "http/ws_deflate.h"

#define TG_WS_ACCEPT_LEN 28

/* What the server offers. */
struct tg_ws_offer {
  const struct tg_slice *protocols; /* subprotocols, the dearest first */
  size_t protocol_count;
  /* Origins that are allowed beside the server's own ("https://example.com"; "*": all). */
  const struct tg_slice *origins;
  size_t origin_count;
  enum tg_ws_compress compress;
};

struct tg_ws_terms {
  char accept[TG_WS_ACCEPT_LEN]; /* value of Sec-WebSocket-Accept */
  struct tg_slice protocol;      /* the one that was chosen, of the offer; len 0: none */
  struct tg_ws_deflate_terms deflate;
};

/* Is the request a handshake that can be accepted? False: *fault says what to answer; of a 426 the
 * answer names the protocol and its version (Upgrade, Sec-WebSocket-Version). */
bool tg_ws_handshake_check(const struct tg_request *request, const struct tg_ws_offer *offer,
                           struct tg_ws_terms *terms, struct tg_request_fault *fault);

/* The value of Sec-WebSocket-Accept for a key. */
void tg_ws_accept(struct tg_slice key, char out[TG_WS_ACCEPT_LEN]);

#endif
