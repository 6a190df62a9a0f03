/* A call's turn: the limits of its client and of its host, of the whole process, in order of
 * coming.
 *
 * The host's gate comes first, so that who waits for a slow host holds no place that calls to
 * others could use. */
#ifndef TG_AWAIT_HTTP_TURN_H
#define TG_AWAIT_HTTP_TURN_H

#include "upstream/gates.h"

struct tg_http_turn {
  void (*ready)(struct tg_http_turn *turn, tg_status status); /* after TG_EAGAIN, once */
  struct tg_gates *gates;
  struct tg_loop *loop;
  struct tg_gate *gate[2]; /* held */
  unsigned count, inside;  /* gates, and those that were passed */
  uint64_t deadline;
  struct tg_gate_wait wait;
};

/* One more gate, before `enter`. TG_ENOMEM. */
TG_MUST_CHECK tg_status tg_http_turn_add(struct tg_http_turn *turn, struct tg_slice name,
                                         uint32_t limit);

/* TG_OK: it is its turn; TG_EAGAIN: `ready` will tell; TG_EOVERLOAD, TG_ENOMEM. */
TG_MUST_CHECK tg_status tg_http_turn_enter(struct tg_http_turn *turn);

/* Lets go of everything, also in the middle. Idempotent. */
void tg_http_turn_leave(struct tg_http_turn *turn);

#endif
