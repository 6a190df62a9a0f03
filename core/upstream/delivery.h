/* One request to a group, from the gate to the end of the reply:
 *
 *   gate -> pick -> call -> (another peer, where the call failed and may be tried again) -> outcome
 *
 * A failed call is tried again while the rules, the budget of the group and the request allow it:
 * it is idempotent or nothing of it was sent, and none of a body that cannot be had twice was
 * taken. The peers that have failed are not picked again while there are others. Where the rules
 * say so, a request that may be repeated and has no answer after a while goes to a second peer,
 * too; who answers first is taken, and the other call is given up. That counts as a retry.
 *
 * The memory is its user's, as are the slices of the request, until the delivery has ended. All on
 * one loop; no event comes from within tg_delivery_start. */
#ifndef TG_UPSTREAM_DELIVERY_H
#define TG_UPSTREAM_DELIVERY_H

#include "upstream/call.h"
#include "upstream/delivery_trace.h"
#include "upstream/group.h"

#define TG_DELIVERY_TRIES 16

struct tg_delivery;
struct tg_hedge;

struct tg_delivery_events {
  /* As those of a call. NULL: nobody cares. */
  void (*interim)(struct tg_delivery *delivery, const struct tg_reply *reply);
  void (*head)(struct tg_delivery *delivery);
  /* Instead of `head`, and the last event: nothing more is tried. The peer may be looked at, the
   * memory may go. */
  void (*failed)(struct tg_delivery *delivery, tg_status status);
  /* After `head`, and the last event; as of a call. */
  void (*ended)(struct tg_delivery *delivery);
};

struct tg_delivery_order {
  struct tg_group *group;
  struct tg_call_request call;       /* authority empty: the name of the peer */
  const struct tg_request *request;  /* whom a hash or a cookie is read from; NULL: nobody */
  const struct tg_pick *bound;       /* ... or what was read of it before; NULL: nothing */
  struct tg_slice client;            /* its address */
  int retries;                       /* -1: as the rules say */
  uint64_t deadline;                 /* of the head, on the loop's clock; 0: none */
  struct tg_rules_timeouts timeouts; /* instead of those of the rules; 0: theirs */
  struct tg_delivery_trace *trace;   /* NULL: nobody wants to know */
  bool once; /* now or not at all, on one peer: no queue, no retry, no hedge */
};

struct tg_delivery {
  struct tg_rules *rules; /* NULL: it has ended */
  struct tg_peer *peer;   /* of the call under way, or of the last one that failed; may be NULL */
  struct tg_pick pick;
  struct tg_call *call;     /* its reply, body and sink from `head` on */
  unsigned tries;           /* calls that were begun */
  enum tg_call_stage stage; /* where the last one failed */
  const char *detail;       /* one line for the log; NULL: the status says it */
  uint32_t retry_after;     /* seconds, with TG_EOVERLOAD */
  void *owner;              /* its user's */

  /* private to delivery.c */
  const struct tg_delivery_events *events;
  const struct tg_delivery_order *order;
  struct tg_loop *loop;
  struct tg_call_request request;
  struct tg_gate_wait wait;
  struct tg_wheel_node timer; /* of the deadline */
  struct tg_timer hedge_timer;
  struct tg_hedge *hedge; /* the second call; NULL: none */
  struct tg_peer *tried[TG_DELIVERY_TRIES];
  unsigned tried_count;
  uint64_t begun; /* the call under way */
  tg_status failure;
  bool inside;  /* of the gate */
  bool picked;  /* the peer has a request of ours */
  bool calling; /* a call is under way */
  bool replied; /* its head has come */

  struct tg_call first; /* the last: all before it begins cleared */
};

/* Begins; the order is borrowed until the end. An error at once: TG_ENO_PEER, TG_EOVERLOAD (the
 * breaker is open, or too many wait), TG_EINVALID, TG_ENOMEM; then nothing is held, but `detail`
 * and `retry_after` say why. */
TG_MUST_CHECK tg_status tg_delivery_start(struct tg_delivery *delivery, struct tg_loop *loop,
                                          const struct tg_delivery_order *order,
                                          const struct tg_delivery_events *events);

/* Gives up: no event comes any more, and the memory may go. Harmless after the end. */
void tg_delivery_cancel(struct tg_delivery *delivery);

#endif
