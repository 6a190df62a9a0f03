/* A few bytes now and then on a streamed answer that is silent, so that nobody on the way takes it
 * for dead.
 *
 * An exchange has one where its answer asked for it. It lies in the exchange's arena and costs a
 * deadline in the loop's wheel: no task and no timer of its own. It writes only where nothing else
 * was written for the whole time, and only where what was written last ended with a blank line:
 * never into the middle of an event. */
#ifndef TG_SERVER_KEEPALIVE_H
#define TG_SERVER_KEEPALIVE_H

#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

struct tg_exchange;

/* Writes `text` (static storage, ends with a blank line) whenever `every` nanoseconds were silent,
 * until the exchange is given back. Sets exchange->keepalive. */
TG_MUST_CHECK tg_status tg_keepalive_start(struct tg_exchange *exchange, uint64_t every,
                                           struct tg_slice text);

/* Something was written. Only where the exchange has a keepalive. */
void tg_keepalive_note(struct tg_exchange *exchange, struct tg_slice bytes);

/* Before the exchange's memory is used again. */
void tg_keepalive_stop(struct tg_exchange *exchange);

#endif
