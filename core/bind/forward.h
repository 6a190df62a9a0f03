/* An exchange that a backend answers: bytes both ways by relay, in C, without Lua.
 *
 * For routes with `proxy` and nothing around it. The life of a forward: the order is made of the
 * request (upstream/forward_order.h), the body collected where the route buffers it, a delivery
 * begun; the head of the reply becomes the answer's; the body goes from the call to the client as
 * fast as the slower of both. It lies in the exchange's arena, and ends before port->finish. A
 * client that has gone ends the call; a reply that breaks off breaks off the answer. */
#ifndef TG_BIND_FORWARD_H
#define TG_BIND_FORWARD_H

#include "server/exchange.h"
#include "upstream/forward_order.h"

/* Answers the exchange by a backend as the rule says. Makes exactly one answer and calls
 * port->finish, now or later. */
void tg_forward_start(struct tg_exchange *exchange, const struct tg_forward_rule *rule);

#endif
