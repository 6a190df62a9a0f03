/* What became of a delivery, for the access log. */
#ifndef TG_UPSTREAM_DELIVERY_TRACE_H
#define TG_UPSTREAM_DELIVERY_TRACE_H

#include "upstream/call.h"

struct tg_delivery;

/* Written when the delivery ends, however it ends. Its memory is the user's, and outlives that.
 * Times are nanoseconds, those of the last try but for the whole. */
struct tg_delivery_trace {
  struct tg_slice group; /* len 0: the delivery has not ended */
  char peer[120];        /* cut where it is longer */
  size_t peer_len;       /* 0: none was asked */
  unsigned tries;
  int status;                                            /* of the reply; 0: there was none */
  tg_status failure;                                     /* TG_OK: it has not failed */
  enum tg_call_stage stage;                              /* where, if it was a peer that failed */
  uint64_t started, connect_ns, first_byte_ns, total_ns; /* 0: did not happen */
  uint64_t sent_bytes, received_bytes;                   /* of the bodies */
};

/* For an order; in the arena, which outlives the delivery. NULL: no memory, nobody is told. */
struct tg_delivery_trace *tg_delivery_trace_new(struct tg_arena *arena);

/* Begins, where the order has one. */
void tg_delivery_trace_start(const struct tg_delivery *delivery);

/* Why it fails. */
void tg_delivery_trace_fail(const struct tg_delivery *delivery, tg_status status);

/* All the rest, before anything of the delivery is let go. */
void tg_delivery_trace_end(const struct tg_delivery *delivery);

#endif
