/* See forward.h.
 *
 * Two things have to end before the exchange is finished: its answer, and the delivery. Whichever
 * ends last calls `finish_if_over`, and nothing is touched after it. A client that has gone, or a
 * request that has turned out to be bad, is told by `gone`, which gives the delivery up: what the
 * body's source or the answer's sink say of that before is not acted on. */
#include "bind/forward.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "server/server.h"
#include "upstream/affinity.h"
#include "upstream/relay.h"

struct forward {
  struct tg_exchange *exchange;
  const struct tg_forward_rule *rule;
  struct tg_delivery_order order;
  struct tg_answer answer; /* its head, until it is out */
  struct tg_buffer body;   /* of the request or of the reply, where it is collected */
  struct tg_relay down;    /* from the backend to the client */
  struct tg_relay up;      /* after an upgrade: from the client to the backend */
  bool collecting;         /* the body of the request is read, nothing is sent yet */
  bool answered;           /* the answer has ended, well or not */
  bool delivered;          /* the delivery has ended or was given up, or never began */
  bool begun;              /* the head was decided by `begin` */
  tg_status why;           /* it is to end by `later` */
  struct tg_loop_job later;
  bool *over; /* to be set at the end, where somebody has to know; else NULL */
  struct tg_delivery delivery;
};

/* ---- the end ---- */

static void finish(struct forward *forward) {
  struct tg_exchange *exchange = forward->exchange;
  tg_buffer_deinit(&forward->body);
  tg_loop_job_remove(&forward->later);
  if (forward->over) *forward->over = true;
  exchange->gone = NULL;
  exchange->handler = NULL;
  exchange->port->finish(exchange);
}

static void finish_if_over(struct forward *forward) {
  if (forward->answered && forward->delivered) finish(forward);
}

static void give_delivery_up(struct forward *forward) {
  if (forward->delivered) return;
  forward->delivered = true;
  tg_delivery_cancel(&forward->delivery);
}

/* Ends the answer, perhaps before its end: then the client is to see that. */
static void end_answer(struct forward *forward, tg_status status) {
  if (forward->answered) return;
  forward->answered = true;
  forward->exchange->port->end(forward->exchange, status);
}

static void refuse(struct forward *forward, struct tg_forward_fault fault, uint32_t retry_after) {
  char seconds[16];
  struct tg_response_field retry = {TG_SLICE("Retry-After"), {seconds, 0}};
  int len = snprintf(seconds, sizeof seconds, "%u", retry_after ? retry_after : 1);
  retry.value.len = len < 0 ? 0 : (size_t)len;
  tg_exchange_problem(forward->exchange, fault.status, tg_slice_cstr(fault.text), &retry,
                      fault.status == 503);
  forward->answered = true;
}

static void note_failure(struct forward *forward, tg_status status) {
  const struct tg_exchange *exchange = forward->exchange;
  char id[40];
  tg_forward_log(forward->rule->forwarder, &forward->delivery, status, exchange->route->name,
                 tg_slice(id, tg_exchange_id(exchange, id)));
}

static void fail(struct forward *forward, tg_status status) {
  struct tg_delivery *delivery = &forward->delivery;
  note_failure(forward, status);
  refuse(forward, tg_forward_fault_of(delivery, status), delivery->retry_after);
}

static void on_gone(struct tg_exchange *exchange, tg_status why) {
  struct forward *forward = exchange->handler;
  if (why == TG_ERESTART) return; /* a tunnel goes on until the drain's end */
  tg_relay_cancel(&forward->down);
  tg_relay_cancel(&forward->up);
  if (forward->collecting) exchange->body.cancel(&exchange->body);
  give_delivery_up(forward);
  end_answer(forward, why);
  finish(forward);
}

static void on_later(struct tg_loop_job *job) {
  struct forward *forward = TG_CONTAINER(job, struct forward, later);
  end_answer(forward, forward->why);
  give_delivery_up(forward);
  finish(forward);
}

/* The exchange has failed by itself, in the middle of a call of its own: `gone` is on its way, or
 * else this. */
static void finish_later(struct forward *forward, tg_status why) {
  forward->why = why;
  tg_loop_post(forward->exchange->server->loop, &forward->later);
}

/* ---- the reply's body ---- */

/* A reply that breaks off is told once, here; its delivery ends by itself. */
static void on_body_failed(struct forward *forward, tg_status status) {
  struct tg_delivery *delivery = &forward->delivery;
  delivery->stage = TG_CALL_BODY;
  delivery->detail = delivery->call->detail;
  note_failure(forward, status);
  if (forward->begun) {
    end_answer(forward, status);
  } else {
    refuse(forward, tg_forward_fault_of(delivery, status), 0);
  }
}

static void add_trailers(struct forward *forward) {
  const struct tg_reply *reply = forward->delivery.call->reply;
  struct tg_exchange *exchange = forward->exchange;
  if (TG_LIKELY(!reply->trailer_count)) return;
  struct tg_response_field *fields =
      tg_arena_alloc(&exchange->arena, reply->trailer_count * sizeof *fields);
  size_t count = 0;
  for (uint32_t i = 0; fields && i < reply->trailer_count; i++)
    if (tg_forward_trailer(reply->trailers[i].name))
      fields[count++] =
          (struct tg_response_field){reply->trailers[i].name, reply->trailers[i].value};
  exchange->trailers = fields;
  exchange->trailer_count = count;
}

static void on_body_whole(struct forward *forward) {
  add_trailers(forward);
  end_answer(forward, TG_OK);
}

static void on_down(struct tg_relay *relay, tg_status status) {
  struct forward *forward = TG_CONTAINER(relay, struct forward, down);
  if (status == TG_OK) {
    on_body_whole(forward);
  } else if (!relay->sink_failed) {
    on_body_failed(forward, status);
  } else {
    finish_later(forward, status);
    return;
  }
  finish_if_over(forward);
}

static void relay_rest(struct forward *forward) {
  tg_relay_start(&forward->down, &forward->delivery.call->body, &forward->exchange->sink, on_down);
}

/* The head of an answer that is not whole yet. True: it is decided. */
static bool begin(struct forward *forward) {
  struct tg_exchange *exchange = forward->exchange;
  tg_status status = exchange->port->begin(exchange, &forward->answer);
  forward->begun = status == TG_OK;
  if (forward->begun) return true;
  give_delivery_up(forward);
  if (status == TG_EINVALID) /* a field that the writer does not let out */
    fail(forward, TG_EBAD_REPLY);
  else
    refuse(forward, (struct tg_forward_fault){503, "no memory is left for this request"}, 0);
  finish_if_over(forward);
  return false;
}

static void on_room(void *owner, tg_status status) {
  struct forward *forward = owner;
  if (status == TG_OK)
    relay_rest(forward);
  else
    finish_later(forward, status);
}

/* All of it is here: head and body go out in one piece. */
static void respond(struct forward *forward, struct tg_slice body) {
  struct tg_exchange *exchange = forward->exchange;
  forward->answer.body = body;
  tg_status status = exchange->port->respond(exchange, &forward->answer);
  if (status == TG_EINVALID)
    fail(forward, TG_EBAD_REPLY);
  else if (status)
    end_answer(forward, status);
  forward->answered = true;
}

/* What was collected goes out, the rest follows as it comes. */
static void stream(struct forward *forward, struct tg_slice bytes) {
  struct tg_sink *sink = &forward->exchange->sink;
  if (!begin(forward)) return;
  tg_status status = bytes.len ? sink->write(sink, bytes) : TG_OK;
  if (status == TG_OK) {
    relay_rest(forward);
  } else if (status == TG_EAGAIN) {
    sink->drained(sink, on_room, forward);
  } else {
    finish_later(forward, status);
  }
}

static void read_body(struct forward *forward);

/* Keeps a piece of a reply that the route buffers. False: there is too much of it, or no memory. */
static bool keep(struct forward *forward, struct tg_slice bytes) {
  uint64_t most = forward->exchange->route->max_body;
  if (tg_buffer_size(&forward->body) + bytes.len > most) return false;
  return tg_buffer_append(&forward->body, bytes.ptr, bytes.len) == TG_OK;
}

static void on_collected(struct forward *forward) {
  respond(forward, tg_buffer_slice(&forward->body));
  finish_if_over(forward);
}

static void on_piece(void *owner, tg_status status, struct tg_slice bytes) {
  struct forward *forward = owner;
  const struct tg_reply *reply = forward->delivery.call->reply;
  bool buffers = forward->rule->buffer;
  if (status) {
    on_body_failed(forward, status);
    finish_if_over(forward);
  } else if (!bytes.len && buffers) {
    on_collected(forward);
  } else if (!bytes.len) {
    if (!begin(forward)) return;
    on_body_whole(forward);
    finish_if_over(forward);
  } else if (!buffers && bytes.len == reply->content_length) {
    respond(forward, bytes);
    read_body(forward); /* its end */
  } else if (buffers && keep(forward, bytes)) {
    read_body(forward);
  } else if (buffers) {
    struct tg_buffer kept = forward->body;
    tg_buffer_init(&forward->body);
    if (tg_buffer_append(&kept, bytes.ptr, bytes.len) == TG_OK)
      stream(forward, tg_buffer_slice(&kept));
    else
      on_body_failed(forward, TG_ENOMEM), finish_if_over(forward);
    tg_buffer_deinit(&kept);
  } else {
    stream(forward, bytes);
  }
}

/* The end of a body that was sent already. */
static void on_rest(void *owner, tg_status status, struct tg_slice bytes) {
  (void)owner, (void)status, (void)bytes;
}

static void read_body(struct forward *forward) {
  struct tg_source *body = &forward->delivery.call->body;
  body->read(body, forward->answered ? on_rest : on_piece, forward);
}

/* ---- tunnels ---- */

static void end_tunnel(struct forward *forward) {
  tg_relay_cancel(&forward->up);
  tg_relay_cancel(&forward->down);
  give_delivery_up(forward);
  end_answer(forward, TG_OK);
  finish_if_over(forward);
}

static void on_tunnel_down(struct tg_relay *relay, tg_status status) {
  struct forward *forward = TG_CONTAINER(relay, struct forward, down);
  if (relay->sink_failed)
    finish_later(forward, status);
  else
    end_tunnel(forward);
}

/* The client has ended its side; the backend may still have something to say. */
static void on_tunnel_up(struct tg_relay *relay, tg_status status) {
  struct forward *forward = TG_CONTAINER(relay, struct forward, up);
  if (status == TG_OK)
    tg_call_shut(forward->delivery.call);
  else if (relay->sink_failed)
    end_tunnel(forward);
  else
    finish_later(forward, status);
}

static void open_tunnel(struct forward *forward) {
  struct tg_exchange *exchange = forward->exchange;
  struct tg_call *call = forward->delivery.call;
  tg_status status = exchange->port->upgrade(exchange, &forward->answer);
  if (status) {
    give_delivery_up(forward);
    refuse(forward,
           status == TG_EOVERLOAD
               ? (struct tg_forward_fault){503, "the server is about to end"}
               : (struct tg_forward_fault){502, "the backend sent a malformed answer"},
           0);
    finish_if_over(forward);
    return;
  }
  bool over = false;
  forward->begun = true;
  forward->over = &over;
  tg_relay_start(&forward->up, &exchange->body, &call->sink, on_tunnel_up);
  if (over) return;
  forward->over = NULL;
  tg_relay_start(&forward->down, &call->body, &exchange->sink, on_tunnel_down);
}

/* ---- the reply's head ---- */

static bool add_sticky(struct forward *forward, struct tg_forward_fields *fields) {
  const struct tg_delivery *delivery = &forward->delivery;
  if (TG_LIKELY(!delivery->pick.stick)) return true;
  char *value = tg_arena_alloc(&forward->exchange->arena, TG_AFFINITY_COOKIE);
  if (!value) return false;
  size_t len =
      tg_affinity_cookie(delivery->rules, delivery->peer, forward->exchange->secured, value);
  fields->list[fields->count++] =
      (struct tg_response_field){TG_SLICE("Set-Cookie"), tg_slice(value, len)};
  return true;
}

static bool make_answer(struct forward *forward) {
  struct tg_exchange *exchange = forward->exchange;
  const struct tg_reply *reply = forward->delivery.call->reply;
  struct tg_forward_fields fields;
  if (tg_forward_reply(&exchange->arena, reply->fields, reply->field_count, &forward->rule->reply,
                       reply->status == 101, &fields) ||
      !add_sticky(forward, &fields))
    return false;
  forward->answer = (struct tg_answer){.status = reply->status,
                                       .date = fields.date,
                                       .fields = fields.list,
                                       .field_count = fields.count};
  if (reply->content_length != TG_REPLY_NO_LENGTH) {
    forward->answer.has_length = true;
    forward->answer.length = reply->content_length;
  }
  return true;
}

static void on_head(struct tg_delivery *delivery) {
  struct forward *forward = TG_CONTAINER(delivery, struct forward, delivery);
  if (!make_answer(forward)) {
    give_delivery_up(forward);
    fail(forward, TG_EBAD_REPLY);
    finish_if_over(forward);
  } else if (delivery->call->reply->status == 101) {
    open_tunnel(forward);
  } else {
    read_body(forward);
  }
}

static void on_interim(struct tg_delivery *delivery, const struct tg_reply *reply) {
  struct forward *forward = TG_CONTAINER(delivery, struct forward, delivery);
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
  struct forward *forward = TG_CONTAINER(delivery, struct forward, delivery);
  const struct tg_exchange *exchange = forward->exchange;
  forward->delivered = true;
  if (exchange->body_status || exchange->answer_done) { /* it was the request that failed */
    finish_later(forward, status);
    return;
  }
  fail(forward, status);
  finish_if_over(forward);
}

static void on_ended(struct tg_delivery *delivery) {
  struct forward *forward = TG_CONTAINER(delivery, struct forward, delivery);
  forward->delivered = true;
  finish_if_over(forward);
}

static const struct tg_delivery_events delivery_events = {
    .interim = on_interim, .head = on_head, .failed = on_failed, .ended = on_ended};

/* ---- the request ---- */

static void deliver(struct forward *forward) {
  struct tg_exchange *exchange = forward->exchange;
  tg_status status = tg_delivery_start(&forward->delivery, exchange->server->loop, &forward->order,
                                       &delivery_events);
  if (status == TG_OK) return;
  forward->delivered = true;
  fail(forward, status);
  finish_if_over(forward);
}

static void collect(struct forward *forward);

static void on_request_piece(void *owner, tg_status status, struct tg_slice bytes) {
  struct forward *forward = owner;
  forward->collecting = false;
  if (status) {
    forward->delivered = true;
    finish_later(forward, status);
    return;
  }
  if (!bytes.len) {
    forward->order.call.bytes = tg_buffer_slice(&forward->body);
    deliver(forward);
  } else if (tg_buffer_append(&forward->body, bytes.ptr, bytes.len)) {
    forward->delivered = true;
    refuse(forward, (struct tg_forward_fault){503, "no memory is left for this request"}, 0);
    finish_if_over(forward);
  } else {
    collect(forward);
  }
}

static void collect(struct forward *forward) {
  struct tg_source *body = &forward->exchange->body;
  forward->collecting = true;
  body->read(body, on_request_piece, forward);
}

static void take_body(struct forward *forward) {
  struct tg_exchange *exchange = forward->exchange;
  const struct tg_request *request = exchange->request;
  if (request->has_body && forward->rule->buffer) {
    collect(forward);
    return;
  }
  if (request->has_body) {
    forward->order.call.source = &exchange->body;
    forward->order.call.length = request->chunked ? TG_LENGTH_CHUNKED : request->content_length;
    forward->order.call.expect_continue = request->expect_continue;
  }
  deliver(forward);
}

void tg_forward_start(struct tg_exchange *exchange, const struct tg_forward_rule *rule) {
  struct forward *forward = tg_arena_alloc(&exchange->arena, sizeof *forward);
  struct tg_forward_fault fault = {503, "no memory is left for this request"};
  if (forward) {
    memset(forward, 0, offsetof(struct forward, delivery));
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
      take_body(forward);
      return;
    }
  }
  struct tg_response_field retry = {TG_SLICE("Retry-After"), TG_SLICE("1")};
  tg_exchange_problem(exchange, fault.status, tg_slice_cstr(fault.text), &retry,
                      fault.status == 503);
  exchange->port->finish(exchange);
}
