/* What the files of a call (call.c, call_send.c, call_receive.c) tell each other. */
#ifndef TG_UPSTREAM_CALL_PARTS_H
#define TG_UPSTREAM_CALL_PARTS_H

#include "upstream/call.h"
#include "upstream/link.h"

/* The time of the present turn of the loop; but what the user computed in it before he began the
 * call is none of the call's time. */
static inline uint64_t tg_call_now(const struct tg_call *call) {
  uint64_t woken = tg_loop_woken(call->loop);
  return woken > call->started ? woken : call->started;
}

/* The call has failed, with a line for the log (static storage, or NULL): its link is closed, and
 * whoever waits is told. The call may be gone after. */
void tg_call_fail(struct tg_call *call, tg_status status, const char *detail);

/* The link has failed before anything was heard: begins anew where that is allowed, else fails. */
void tg_call_lose(struct tg_call *call, tg_status status, const char *detail);

/* Nothing more is to be read of the link, which is given back, or closed where bytes are left over
 * or it is spoilt. */
void tg_call_release(struct tg_call *call, bool surplus);

/* `ended` comes, after all that runs now. */
void tg_call_end_soon(struct tg_call *call);

/* The stage has changed, or what is waited for. */
void tg_call_set_deadline(struct tg_call *call);

/* call_send.c */

/* Serialises the head. */
TG_MUST_CHECK tg_status tg_call_write_head(struct tg_call *call, struct tg_buffer *out);

/* Puts the head into the stream of the link, and a short body with it. */
TG_MUST_CHECK tg_status tg_call_write_request(struct tg_call *call);

/* The head is in the stream: goes on with what follows it. */
void tg_call_send(struct tg_call *call);

/* The body that has waited for a 100 goes out. */
void tg_call_continue(struct tg_call *call);

/* No more of the request is sent; its link cannot be used again where it was not whole. */
void tg_call_stop_sending(struct tg_call *call);

void tg_call_sink_init(struct tg_sink *sink);
void tg_call_link_drained(struct tg_link *link);
void tg_call_link_broken(struct tg_link *link, tg_status status);

/* call_receive.c */

void tg_call_source_init(struct tg_source *source);
void tg_call_link_read(struct tg_link *link, tg_status status, struct tg_slice bytes);

#endif
