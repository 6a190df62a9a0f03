/* See delivery_trace.h. */
#include "upstream/delivery_trace.h"

#include "base/clock.h"
#include "upstream/delivery.h"

struct tg_delivery_trace *tg_delivery_trace_new(struct tg_arena *arena) {
  struct tg_delivery_trace *trace = tg_arena_alloc(arena, sizeof *trace);
  if (trace) *trace = (struct tg_delivery_trace){0};
  return trace;
}

void tg_delivery_trace_start(const struct tg_delivery *delivery) {
  struct tg_delivery_trace *trace = delivery->order->trace;
  if (trace) *trace = (struct tg_delivery_trace){.started = tg_clock_now()};
}

void tg_delivery_trace_fail(const struct tg_delivery *delivery, tg_status status) {
  if (delivery->order->trace) delivery->order->trace->failure = status;
}

static void write_call(struct tg_delivery_trace *trace, const struct tg_delivery *delivery) {
  const struct tg_call *call = delivery->call;
  if (delivery->replied) trace->status = call->reply->status;
  trace->connect_ns = call->connect_ns;
  trace->first_byte_ns = call->first_byte_ns;
  trace->sent_bytes = call->sent_bytes;
  trace->received_bytes = call->received_bytes;
}

void tg_delivery_trace_end(const struct tg_delivery *delivery) {
  struct tg_delivery_trace *trace = delivery->order->trace;
  if (!trace) return;
  trace->group = tg_group_name(delivery->order->group);
  trace->tries = delivery->tries;
  trace->stage = delivery->stage;
  trace->total_ns = tg_clock_now() - trace->started;
  if (delivery->peer) {
    struct tg_slice peer = delivery->peer->address;
    trace->peer_len = peer.len < sizeof trace->peer ? peer.len : sizeof trace->peer;
    memcpy(trace->peer, peer.ptr, trace->peer_len);
  }
  if (delivery->tries) write_call(trace, delivery); /* else its memory is nothing */
}
