/* See forward.h.
 *
 * Two things have to end before the exchange is finished: its answer, and the delivery. Whichever
 * ends last calls `tg_forward_finish_if_over`, and nothing is touched after it. A client that has
 * gone, or a request that has turned out to be bad, is told by `gone`, which gives the delivery up:
 * what the body's source or the answer's sink say of that before is not acted on. */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "bind/forward_parts.h"
#include "server/server.h"

/* ---- the end ---- */

static void finish(struct tg_forward *forward) {
  struct tg_exchange *exchange = forward->exchange;
  tg_buffer_deinit(&forward->body);
  tg_mirror_release(forward->mirror);
  tg_loop_job_remove(&forward->later);
  if (forward->over) *forward->over = true;
  exchange->gone = NULL;
  exchange->handler = NULL;
  exchange->port->finish(exchange);
}

void tg_forward_finish_if_over(struct tg_forward *forward) {
  if (forward->answered && forward->delivered) finish(forward);
}

void tg_forward_give_up(struct tg_forward *forward) {
  if (forward->delivered) return;
  forward->delivered = true;
  tg_delivery_cancel(&forward->delivery);
}

void tg_forward_end_answer(struct tg_forward *forward, tg_status status) {
  if (forward->answered) return;
  forward->answered = true;
  forward->exchange->port->end(forward->exchange, status);
}

void tg_forward_refuse(struct tg_forward *forward, struct tg_forward_fault fault,
                       uint32_t retry_after) {
  char seconds[16];
  struct tg_response_field retry = {TG_SLICE("Retry-After"), {seconds, 0}};
  int len = snprintf(seconds, sizeof seconds, "%u", retry_after ? retry_after : 1);
  retry.value.len = len < 0 ? 0 : (size_t)len;
  tg_exchange_problem(forward->exchange, fault.status, tg_slice_cstr(fault.text), &retry,
                      fault.status == 503);
  forward->answered = true;
}

void tg_forward_note_failure(struct tg_forward *forward, tg_status status) {
  const struct tg_exchange *exchange = forward->exchange;
  char id[40];
  tg_forward_log(forward->rule->forwarder, &forward->delivery, status, exchange->route->name,
                 tg_slice(id, tg_exchange_id(exchange, id)));
}

void tg_forward_fail(struct tg_forward *forward, tg_status status) {
  struct tg_delivery *delivery = &forward->delivery;
  tg_forward_note_failure(forward, status);
  tg_forward_refuse(forward, tg_forward_fault_of(delivery, status), delivery->retry_after);
}

static void on_gone(struct tg_exchange *exchange, tg_status why) {
  struct tg_forward *forward = exchange->handler;
  if (why == TG_ERESTART) return; /* a tunnel goes on until the drain's end */
  tg_relay_cancel(&forward->down);
  tg_relay_cancel(&forward->up);
  if (forward->collecting) exchange->body.cancel(&exchange->body);
  tg_forward_give_up(forward);
  tg_forward_end_answer(forward, why);
  finish(forward);
}

static void on_later(struct tg_loop_job *job) {
  struct tg_forward *forward = TG_CONTAINER(job, struct tg_forward, later);
  tg_forward_end_answer(forward, forward->why);
  tg_forward_give_up(forward);
  finish(forward);
}

void tg_forward_finish_later(struct tg_forward *forward, tg_status why) {
  forward->why = why;
  tg_loop_post(forward->exchange->server->loop, &forward->later);
}

/* ---- the reply ---- */

static void on_head(struct tg_delivery *delivery) {
  struct tg_forward *forward = TG_CONTAINER(delivery, struct tg_forward, delivery);
  if (!tg_forward_make_answer(forward)) {
    tg_forward_give_up(forward);
    tg_forward_fail(forward, TG_EBAD_REPLY);
    tg_forward_finish_if_over(forward);
  } else if (delivery->call->reply->status == 101) {
    tg_forward_open_tunnel(forward);
  } else {
    tg_forward_read_body(forward);
  }
}

static void on_interim(struct tg_delivery *delivery, const struct tg_reply *reply) {
  struct tg_forward *forward = TG_CONTAINER(delivery, struct tg_forward, delivery);
  struct tg_exchange *exchange = forward->exchange;
  struct tg_forward_fields fields;
  if (!exchange->port->interim || reply->status == 100) return;
  if (tg_forward_reply(&exchange->arena, reply->fields, reply->field_count, &forward->rule->reply,
                       false, &fields))
    return;
  struct tg_answer answer = {
      .status = reply->status, .fields = fields.list, .field_count = fields.count};
  exchange->port->interim(exchange, &answer);
}

static void on_failed(struct tg_delivery *delivery, tg_status status) {
  struct tg_forward *forward = TG_CONTAINER(delivery, struct tg_forward, delivery);
  const struct tg_exchange *exchange = forward->exchange;
  forward->delivered = true;
  if (exchange->body_status || exchange->answer_done) { /* it was the request that failed */
    tg_forward_finish_later(forward, status);
    return;
  }
  tg_forward_fail(forward, status);
  tg_forward_finish_if_over(forward);
}

static void on_ended(struct tg_delivery *delivery) {
  struct tg_forward *forward = TG_CONTAINER(delivery, struct tg_forward, delivery);
  forward->delivered = true;
  tg_forward_finish_if_over(forward);
}

static const struct tg_delivery_events delivery_events = {
    .interim = on_interim, .head = on_head, .failed = on_failed, .ended = on_ended};

/* ---- the request ---- */

static void deliver(struct tg_forward *forward) {
  const struct tg_forward_rule *rule = forward->rule;
  struct tg_loop *loop = forward->exchange->server->loop;
  if (rule->mirror.group)
    forward->mirror = tg_mirror_begin(loop, &rule->mirror, &forward->order, rule->forwarder->log);
  tg_status status = tg_delivery_start(&forward->delivery, loop, &forward->order, &delivery_events);
  if (status == TG_OK) return;
  forward->delivered = true;
  tg_forward_fail(forward, status);
  tg_forward_finish_if_over(forward);
}

static void collect(struct tg_forward *forward);

static void on_request_piece(void *owner, tg_status status, struct tg_slice bytes) {
  struct tg_forward *forward = owner;
  forward->collecting = false;
  if (status) {
    forward->delivered = true;
    tg_forward_finish_later(forward, status);
    return;
  }
  if (!bytes.len) {
    forward->order.call.bytes = tg_buffer_slice(&forward->body);
    deliver(forward);
  } else if (tg_buffer_append(&forward->body, bytes.ptr, bytes.len)) {
    forward->delivered = true;
    tg_forward_refuse(forward, (struct tg_forward_fault){503, "no memory is left for this request"},
                      0);
    tg_forward_finish_if_over(forward);
  } else {
    collect(forward);
  }
}

static void collect(struct tg_forward *forward) {
  struct tg_source *body = &forward->exchange->body;
  forward->collecting = true;
  body->read(body, on_request_piece, forward);
}

static void take_body(struct tg_forward *forward) {
  struct tg_exchange *exchange = forward->exchange;
  const struct tg_request *request = exchange->request;
  if (request->has_body && forward->rule->buffer) {
    collect(forward);
    return;
  }
  if (request->has_body)
    tg_forward_stream(request, &exchange->body, &forward->rule->request, &forward->order.call);
  deliver(forward);
}

/* What the route has to say of itself. */
static void answer_options(struct tg_exchange *exchange) {
  char names[256];
  struct tg_response_field allow = {TG_SLICE("Allow"), {names, 0}};
  allow.value.len = tg_method_list(exchange->route->methods, names);
  struct tg_answer answer = {.status = 204, .fields = &allow, .field_count = 1};
  (void)!exchange->port->respond(exchange, &answer); /* unanswered, it is a 500 */
}

static void refuse_at_once(struct tg_exchange *exchange, struct tg_forward_fault fault) {
  struct tg_response_field retry = {TG_SLICE("Retry-After"), TG_SLICE("1")};
  tg_exchange_problem(exchange, fault.status, tg_slice_cstr(fault.text), &retry,
                      fault.status == 503);
}

void tg_forward_start(struct tg_exchange *exchange, const struct tg_forward_rule *rule) {
  struct tg_forward *forward = tg_arena_alloc(&exchange->arena, sizeof *forward);
  struct tg_forward_fault fault = {503, "no memory is left for this request"};
  if (forward) {
    memset(forward, 0, offsetof(struct tg_forward, delivery));
    forward->exchange = exchange;
    forward->rule = rule;
    tg_loop_job_init(&forward->later, on_later);
    uint64_t timeout = exchange->route->timeout;
    struct tg_forward_from from = {.request = exchange->request,
                                   .params = exchange->match.params,
                                   .client = tg_exchange_peer(exchange),
                                   .secure = exchange->secured,
                                   .deadline = timeout ? exchange->started + timeout : 0,
                                   .started = exchange->started};
    if (tg_forward_order(&from, rule, &exchange->arena, &forward->order, &fault)) {
      exchange->handler = forward;
      exchange->gone = on_gone;
      if (exchange->server->log)
        forward->order.trace = exchange->upstream = tg_delivery_trace_new(&exchange->arena);
      take_body(forward);
      return;
    }
  }
  if (fault.status == 204)
    answer_options(exchange);
  else
    refuse_at_once(exchange, fault);
  exchange->port->finish(exchange);
}
