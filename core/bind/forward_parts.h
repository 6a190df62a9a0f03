/* What the files of a forward (forward.c, forward_reply.c, forward_tunnel.c) tell each other. */
#ifndef TG_BIND_FORWARD_PARTS_H
#define TG_BIND_FORWARD_PARTS_H

#include "bind/forward.h"
#include "upstream/relay.h"

struct tg_forward {
  struct tg_exchange *exchange;
  const struct tg_forward_rule *rule;
  struct tg_delivery_order order;
  struct tg_answer answer;  /* its head, until it is out */
  struct tg_buffer body;    /* of the request or of the reply, where it is collected */
  struct tg_relay down;     /* from the backend to the client */
  struct tg_relay up;       /* after an upgrade: from the client to the backend */
  bool collecting;          /* the body of the request is read, nothing is sent yet */
  bool answered;            /* the answer has ended, well or not */
  bool delivered;           /* the delivery has ended or was given up, or never began */
  bool begun;               /* the head was decided by `begin` */
  struct tg_mirror *mirror; /* the body of the request goes by it; else NULL */
  tg_status why;            /* it is to end by `later` */
  struct tg_loop_job later;
  bool *over; /* to be set at the end, where somebody has to know; else NULL */
  struct tg_delivery delivery;
};

/* ---- forward.c ---- */

/* Ends the exchange, where its answer and its delivery are over; nothing is touched after it. */
void tg_forward_finish_if_over(struct tg_forward *forward);

/* The exchange has failed by itself, in the middle of a call of its own: `gone` is on its way, or
 * else the end comes from here. */
void tg_forward_finish_later(struct tg_forward *forward, tg_status why);

/* Ends the delivery, whose call is not touched any more. Harmless after its end. */
void tg_forward_give_up(struct tg_forward *forward);

/* Ends the answer, perhaps before its end: then the client is to see that. */
void tg_forward_end_answer(struct tg_forward *forward, tg_status status);

/* Answers with a problem; `retry_after` in seconds, for 503. */
void tg_forward_refuse(struct tg_forward *forward, struct tg_forward_fault fault,
                       uint32_t retry_after);

/* One line in the log: how the delivery has failed. */
void tg_forward_note_failure(struct tg_forward *forward, tg_status status);

/* The same, and the answer that fits it. */
void tg_forward_fail(struct tg_forward *forward, tg_status status);

/* ---- forward_reply.c ---- */

/* Makes the head of the reply that of the answer. False: it is malformed, or memory is gone. */
bool tg_forward_make_answer(struct tg_forward *forward);

/* Reads the body, and sends the answer with it. */
void tg_forward_read_body(struct tg_forward *forward);

/* ---- forward_tunnel.c ---- */

/* The backend has said 101: so do we, and both directions are relayed as they come. */
void tg_forward_open_tunnel(struct tg_forward *forward);

#endif
