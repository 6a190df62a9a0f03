/* The source of a request's body on the loop's own thread: kept until it is asked for, up to a mark
 * from which the client has to wait. */
#ifndef TG_SERVER_EXCHANGE_BODY_H
#define TG_SERVER_EXCHANGE_BODY_H

#include "server/exchange.h"

void tg_exchange_body_init(struct tg_source *source);

/* For the connection: decoded body bytes have come, or the message has ended. */
void tg_exchange_body_bytes(struct tg_exchange *exchange, struct tg_slice bytes);
void tg_exchange_body_end(struct tg_exchange *exchange);

/* Has so much of the body been kept that the client must wait? */
bool tg_exchange_body_full(const struct tg_exchange *exchange);

#endif
