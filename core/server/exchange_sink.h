/* The sink of a streamed answer on the loop's own thread: bytes and pieces of files into the
 * connection's stream, in chunks where the length is not known. */
#ifndef TG_SERVER_EXCHANGE_SINK_H
#define TG_SERVER_EXCHANGE_SINK_H

#include "server/exchange.h"

/* `secured`: bytes are encrypted on their way, so that it takes no files. */
void tg_exchange_sink_init(struct tg_sink *sink, bool secured);

/* Sends the head of a streamed answer, which was held until its first byte or its end. */
TG_MUST_CHECK tg_status tg_exchange_send_held(struct tg_exchange *exchange);

/* Does no body follow, whatever was promised? */
static inline bool tg_exchange_bodiless(const struct tg_exchange *exchange, int status) {
  return exchange->request->method == TG_METHOD_HEAD || status == 204 || status == 304;
}

#endif
