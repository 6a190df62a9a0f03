/* The reply of a backend becomes the answer: first its head, then its body, whole where all of it
 * is there, collected where the route buffers it, else as it comes. */
#include "base/check.h"
#include "bind/forward_parts.h"
#include "upstream/affinity.h"

/* ---- the reply's head ---- */

static bool add_sticky(struct tg_forward *forward, struct tg_forward_fields *fields) {
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

bool tg_forward_make_answer(struct tg_forward *forward) {
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

/* ---- the reply's body ---- */

/* A reply that breaks off is told once, here; its delivery ends by itself. */
static void on_body_failed(struct tg_forward *forward, tg_status status) {
  struct tg_delivery *delivery = &forward->delivery;
  delivery->stage = TG_CALL_BODY;
  delivery->detail = delivery->call->detail;
  tg_forward_note_failure(forward, status);
  if (forward->begun) {
    tg_forward_end_answer(forward, status);
  } else {
    tg_forward_refuse(forward, tg_forward_fault_of(delivery, status), 0);
  }
}

static void add_trailers(struct tg_forward *forward) {
  const struct tg_reply *reply = forward->delivery.call->reply;
  struct tg_exchange *exchange = forward->exchange;
  if (TG_LIKELY(!reply->trailer_count)) return;
  struct tg_response_field *fields;
  exchange->trailer_count = tg_forward_trailers(
      &exchange->arena, reply->trailers, reply->trailer_count, &forward->rule->reply, &fields);
  exchange->trailers = fields;
}

static void on_body_whole(struct tg_forward *forward) {
  add_trailers(forward);
  tg_forward_end_answer(forward, TG_OK);
}

static void on_down(struct tg_relay *relay, tg_status status) {
  struct tg_forward *forward = TG_CONTAINER(relay, struct tg_forward, down);
  if (status == TG_OK) {
    on_body_whole(forward);
  } else if (!relay->sink_failed) {
    on_body_failed(forward, status);
  } else {
    tg_forward_finish_later(forward, status);
    return;
  }
  tg_forward_finish_if_over(forward);
}

static void relay_rest(struct tg_forward *forward) {
  tg_relay_start(&forward->down, &forward->delivery.call->body, &forward->exchange->sink, on_down);
}

/* The head of an answer that is not whole yet. True: it is decided. */
static bool begin(struct tg_forward *forward) {
  struct tg_exchange *exchange = forward->exchange;
  tg_status status = exchange->port->begin(exchange, &forward->answer);
  forward->begun = status == TG_OK;
  if (forward->begun) return true;
  tg_forward_give_up(forward);
  if (status == TG_EINVALID) /* a field that the writer does not let out */
    tg_forward_fail(forward, TG_EBAD_REPLY);
  else
    tg_forward_refuse(forward, (struct tg_forward_fault){503, "no memory is left for this request"},
                      0);
  tg_forward_finish_if_over(forward);
  return false;
}

static void on_room(void *owner, tg_status status) {
  struct tg_forward *forward = owner;
  if (status == TG_OK)
    relay_rest(forward);
  else
    tg_forward_finish_later(forward, status);
}

/* All of it is here: head and body go out in one piece. */
static void respond(struct tg_forward *forward, struct tg_slice body) {
  struct tg_exchange *exchange = forward->exchange;
  forward->answer.body = body;
  tg_status status = exchange->port->respond(exchange, &forward->answer);
  if (status == TG_EINVALID)
    tg_forward_fail(forward, TG_EBAD_REPLY);
  else if (status)
    tg_forward_end_answer(forward, status);
  forward->answered = true;
}

/* What was collected goes out, the rest follows as it comes. */
static void stream(struct tg_forward *forward, struct tg_slice bytes) {
  struct tg_sink *sink = &forward->exchange->sink;
  if (!begin(forward)) return;
  tg_status status = bytes.len ? sink->write(sink, bytes) : TG_OK;
  if (status == TG_OK) {
    relay_rest(forward);
  } else if (status == TG_EAGAIN) {
    sink->drained(sink, on_room, forward);
  } else {
    tg_forward_finish_later(forward, status);
  }
}

/* Keeps a piece of a reply that the route buffers. False: there is too much of it, or no memory. */
static bool keep(struct tg_forward *forward, struct tg_slice bytes) {
  uint64_t most = forward->exchange->route->max_body;
  if (tg_buffer_size(&forward->body) + bytes.len > most) return false;
  return tg_buffer_append(&forward->body, bytes.ptr, bytes.len) == TG_OK;
}

static void on_collected(struct tg_forward *forward) {
  respond(forward, tg_buffer_slice(&forward->body));
  tg_forward_finish_if_over(forward);
}

static void on_piece(void *owner, tg_status status, struct tg_slice bytes) {
  struct tg_forward *forward = owner;
  const struct tg_reply *reply = forward->delivery.call->reply;
  bool buffers = forward->rule->buffer;
  if (status) {
    on_body_failed(forward, status);
    tg_forward_finish_if_over(forward);
  } else if (!bytes.len && buffers) {
    on_collected(forward);
  } else if (!bytes.len) {
    if (!begin(forward)) return;
    on_body_whole(forward);
    tg_forward_finish_if_over(forward);
  } else if (!buffers && bytes.len == reply->content_length) {
    respond(forward, bytes);
    tg_forward_read_body(forward); /* its end */
  } else if (buffers && keep(forward, bytes)) {
    tg_forward_read_body(forward);
  } else if (buffers) {
    struct tg_buffer kept = forward->body;
    tg_buffer_init(&forward->body);
    if (tg_buffer_append(&kept, bytes.ptr, bytes.len) == TG_OK)
      stream(forward, tg_buffer_slice(&kept));
    else
      on_body_failed(forward, TG_ENOMEM), tg_forward_finish_if_over(forward);
    tg_buffer_deinit(&kept);
  } else {
    stream(forward, bytes);
  }
}

/* The end of a body that was sent already. */
static void on_rest(void *owner, tg_status status, struct tg_slice bytes) {
  (void)owner, (void)status, (void)bytes;
}

void tg_forward_read_body(struct tg_forward *forward) {
  struct tg_source *body = &forward->delivery.call->body;
  body->read(body, forward->answered ? on_rest : on_piece, forward);
}
