/* The life of a call: which link, how long each part may take, and how it ends. What goes out is in
 * call_send.c, what comes in call_receive.c. */
#include "upstream/call.h"

#include "base/check.h"
#include "upstream/call_parts.h"
#include "upstream/opening.h"

/* Nobody waits for longer than this for a 100 before a body is sent (RFC 9110 section 10.1.1). */
#define CONTINUE_TIME TG_SECOND
/* The rest of a reply that nobody wants is read to its end where it is no longer than this. */
#define DRAIN_MAX UINT64_C(65536)

static const struct tg_link_events link_events = {
    .read = tg_call_link_read, .drained = tg_call_link_drained, .broken = tg_call_link_broken};

/* ---- ends ---- */

static void on_ending(struct tg_loop_job *job) {
  struct tg_call *call = TG_CONTAINER(job, struct tg_call, later);
  if (call->link) tg_call_release(call, true);
  call->stage = TG_CALL_ENDED;
  call->events->ended(call);
}

void tg_call_end_soon(struct tg_call *call) {
  tg_loop_job_remove(&call->later);
  tg_loop_job_init(&call->later, on_ending);
  tg_loop_post(call->loop, &call->later);
}

void tg_call_release(struct tg_call *call, bool surplus) {
  struct tg_link *link = call->link;
  call->link = NULL;
  tg_wheel_remove(&call->loop->wheel, &call->deadline);
  if (surplus)
    tg_link_close(link);
  else
    tg_link_give(link);
}

/* Lets go of all that is under way. */
static void drop(struct tg_call *call) {
  tg_loop_job_remove(&call->later);
  tg_wheel_remove(&call->loop->wheel, &call->deadline);
  tg_call_stop_sending(call);
  if (call->opening) tg_opening_free(call->opening);
  call->opening = NULL;
}

static void tell_reader(struct tg_call *call) {
  tg_source_cb done = call->body_done;
  call->body_done = NULL;
  tg_call_end_soon(call);
  done(call->body_owner, call->body_status, tg_slice(NULL, 0));
}

static void on_telling(struct tg_loop_job *job) {
  struct tg_call *call = TG_CONTAINER(job, struct tg_call, later);
  if (call->body_done) tell_reader(call);
}

void tg_call_fail(struct tg_call *call, tg_status status, const char *detail) {
  bool before_head = call->stage < TG_CALL_BODY;
  tg_sink_cb drained = call->drained;
  drop(call);
  if (call->link) tg_call_release(call, true);
  call->detail = detail;
  call->body_status = status;
  call->drained = NULL;
  if (before_head) { /* the stage stays until the end, so that it can be told */
    tg_call_end_soon(call);
    call->events->failed(call, status);
    return;
  }
  /* Two may wait after a 101, and either may end the call when it is told. */
  if (call->body_done && drained) {
    tg_loop_job_init(&call->later, on_telling);
    tg_loop_post(call->loop, &call->later);
  } else if (call->body_done) {
    tell_reader(call);
  }
  if (drained) drained(call->drained_owner, TG_ECLOSED);
}

/* ---- deadlines ---- */

static uint64_t least(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

static bool waits_for_room(const struct tg_call *call) {
  return call->link && tg_stream_queued(&call->link->stream) != 0;
}

/* When the present wait is over, without regard to `total`; UINT64_MAX: nobody is waited for. */
static uint64_t due_of_stage(const struct tg_call *call) {
  const struct tg_call_limits *limits = &call->limits;
  uint64_t from = call->heard_at, time = 0;
  switch (call->stage) {
    case TG_CALL_RESOLVE:
    case TG_CALL_CONNECT:
    case TG_CALL_SECURE: time = limits->connect; break;
    case TG_CALL_SEND:
      if (call->waits_for_continue)
        time = CONTINUE_TIME;
      else if (waits_for_room(call))
        time = limits->idle;
      break;
    case TG_CALL_HEAD: time = limits->first_byte; break;
    case TG_CALL_BODY:
      if (call->body_done) time = limits->idle;
      break;
    case TG_CALL_ENDED: break;
  }
  return time ? from + time : UINT64_MAX;
}

static uint64_t due_of_all(const struct tg_call *call) {
  uint64_t total = call->limits.total;
  return total && !call->upgraded ? call->started + total : UINT64_MAX;
}

void tg_call_set_deadline(struct tg_call *call) {
  uint64_t due = least(due_of_stage(call), due_of_all(call));
  if (due == UINT64_MAX)
    tg_wheel_clear(&call->deadline);
  else
    tg_wheel_set(&call->loop->wheel, &call->deadline, tg_call_now(call), due);
}

static const char *text_of(const struct tg_call *call) {
  switch (call->stage) {
    case TG_CALL_RESOLVE: return "the name was not resolved within the connect timeout";
    case TG_CALL_CONNECT: return "no connection within the connect timeout";
    case TG_CALL_SECURE: return "no TLS or tunnel within the connect timeout";
    case TG_CALL_SEND: return "the request was not taken within the idle timeout";
    case TG_CALL_HEAD: return "no reply within the first-byte timeout";
    case TG_CALL_BODY:
    case TG_CALL_ENDED: break;
  }
  return "no bytes of the body within the idle timeout";
}

/* Has the backend taken bytes since that was last looked at? */
static bool has_progressed(struct tg_call *call) {
  if (!call->link) return false;
  uint64_t sent = tg_stream_sent(&call->link->stream);
  bool moved = sent != call->sent_mark;
  call->sent_mark = sent;
  return moved;
}

static void on_deadline(struct tg_wheel_node *node) {
  struct tg_call *call = TG_CONTAINER(node, struct tg_call, deadline);
  uint64_t now = tg_call_now(call);
  if (now >= due_of_all(call)) {
    tg_call_fail(call, TG_ETIMEOUT, "not done within the total timeout");
  } else if (now < due_of_stage(call)) {
    tg_call_set_deadline(call);
  } else if (call->waits_for_continue) {
    tg_call_continue(call);
  } else if ((call->stage == TG_CALL_SEND || call->upgraded) && has_progressed(call)) {
    call->heard_at = now;
    tg_call_set_deadline(call);
  } else {
    tg_call_fail(call, TG_ETIMEOUT, text_of(call));
  }
}

/* ---- links ---- */

static void on_opened(struct tg_opening *opening, tg_status status, struct tg_link *link);

static void enter_stage(struct tg_opening *opening) {
  struct tg_call *call = opening->user;
  static const enum tg_call_stage stages[] = {[TG_OPENING_RESOLVE] = TG_CALL_RESOLVE,
                                              [TG_OPENING_CONNECT] = TG_CALL_CONNECT,
                                              [TG_OPENING_SECURE] = TG_CALL_SECURE};
  call->stage = stages[opening->stage];
}

static tg_status open_link(struct tg_call *call) {
  struct tg_link_pool *pool = tg_link_pool_of(call->loop);
  call->stage = TG_CALL_RESOLVE;
  call->heard_at = tg_call_now(call);
  call->opening =
      pool ? tg_opening_new(pool, call->loop, call->origin, on_opened, enter_stage, call) : NULL;
  if (!call->opening) return TG_ENOMEM;
  enter_stage(call->opening);
  tg_call_set_deadline(call);
  return TG_OK;
}

/* What the opening says of its failure goes with it. */
static const char *keep_detail(struct tg_call *call, const char *detail) {
  if (!detail || !*detail) return NULL;
  return tg_arena_copy(call->request->arena, tg_slice(detail, strlen(detail) + 1)).ptr;
}

static void on_opened(struct tg_opening *opening, tg_status status, struct tg_link *link) {
  struct tg_call *call = opening->user;
  const char *detail = keep_detail(call, opening->detail);
  tg_opening_free(opening);
  call->opening = NULL;
  if (status) {
    tg_call_fail(call, status, detail);
    return;
  }
  link->events = &link_events;
  link->user = call;
  call->link = link;
  call->connect_ns = tg_call_now(call) - call->heard_at;
  tg_stream_read_start(&link->stream);
  status = tg_call_write_request(call);
  if (status)
    tg_call_fail(call, status, NULL);
  else
    tg_call_send(call);
}

/* An idle link that was dead already? Then all is as if nothing had been sent. */
static bool may_retry(const struct tg_call *call) {
  bool taken = call->request->source && call->sent_bytes;
  return call->link->served && !call->retried && call->request->idempotent && !taken;
}

void tg_call_lose(struct tg_call *call, tg_status status, const char *detail) {
  if (!may_retry(call)) {
    tg_call_fail(call, status, detail);
    return;
  }
  drop(call);
  tg_call_release(call, true);
  call->retried = true;
  call->reused = false;
  call->sent_bytes = 0;
  if (open_link(call)) tg_call_fail(call, TG_ENOMEM, NULL);
}

/* ---- the interface ---- */

static enum tg_reply_to reply_to(struct tg_slice method) {
  return tg_slice_eq(method, TG_SLICE("HEAD")) ? TG_REPLY_TO_HEAD : TG_REPLY_TO_OTHER;
}

static void init(struct tg_call *call) {
  const struct tg_call_limits *limits = &call->limits;
  uint32_t bytes = limits->head_bytes ? limits->head_bytes : TG_CALL_HEAD_BYTES;
  uint32_t fields = limits->head_fields ? limits->head_fields : TG_CALL_HEAD_FIELDS;
  tg_h1_reply_init(&call->h1, call->request->arena, reply_to(call->request->method), bytes, fields);
  call->reply = &call->h1.reply;
  call->started = tg_clock_now();
  tg_call_source_init(&call->body);
  tg_call_sink_init(&call->sink);
  tg_wheel_node_init(&call->deadline, on_deadline);
}

static void on_begin(struct tg_loop_job *job) {
  tg_call_send(TG_CONTAINER(job, struct tg_call, later));
}

/* No event may come before the caller is ready for it, as from a source that fails at once. */
static void begin(struct tg_call *call) {
  call->stage = TG_CALL_SEND;
  if (call->sending)
    tg_loop_post(call->loop, &call->later);
  else
    tg_call_send(call);
}

/* The head is written once to see whether it is fit for the wire. */
static tg_status try_head(struct tg_call *call) {
  struct tg_buffer bytes = {0};
  tg_status status = tg_call_write_head(call, &bytes);
  tg_buffer_deinit(&bytes);
  return status;
}

tg_status tg_call_start(struct tg_call *call, struct tg_loop *loop, const struct tg_origin *origin,
                        const struct tg_call_request *request, const struct tg_call_limits *limits,
                        const struct tg_call_events *events) {
  struct tg_link_pool *pool = tg_link_pool_of(loop);
  void *owner = call->owner;
  if (!pool) return TG_ENOMEM;
  *call = (struct tg_call){.events = events,
                           .request = request,
                           .origin = origin,
                           .limits = *limits,
                           .loop = loop,
                           .owner = owner};
  tg_loop_job_init(&call->later, on_begin);
  init(call);
  struct tg_link *link = request->fresh ? NULL : tg_link_take(pool, origin, &link_events, call);
  if (!link) {
    tg_status status = try_head(call);
    call->sending = false;
    return status ? status : open_link(call);
  }
  call->link = link;
  call->reused = true;
  tg_status status = tg_call_write_request(call);
  if (status)
    tg_call_release(call, false);
  else
    begin(call);
  return status;
}

/* Reads what has come of a reply that nobody wants; *left says how much is still to come. */
static bool read_off(struct tg_call *call, uint64_t *left) {
  struct tg_buffer *pending = &call->link->pending;
  enum tg_h1_event event = TG_H1_BODY;
  while (event == TG_H1_BODY) {
    size_t used = 0;
    event = tg_h1_reply_feed(&call->h1, tg_buffer_slice(pending), &used);
    tg_buffer_consume(pending, used);
  }
  *left = event == TG_H1_END ? 0 : tg_h1_reply_left(&call->h1);
  return event != TG_H1_ERROR && *left <= DRAIN_MAX;
}

static void leave_link(struct tg_call *call) {
  struct tg_link *link = call->link;
  uint64_t left;
  bool kept = call->stage == TG_CALL_BODY && !link->spoilt && !link->ended && !link->feeding &&
              read_off(call, &left);
  call->link = NULL;
  if (!kept)
    tg_link_close(link);
  else if (left)
    tg_link_drain(link, left);
  else
    tg_link_give(link);
}

void tg_call_cancel(struct tg_call *call) {
  drop(call);
  if (call->link) leave_link(call);
  call->body_done = NULL;
  call->drained = NULL;
  call->stage = TG_CALL_ENDED;
}

const char *tg_call_stage_name(enum tg_call_stage stage) {
  static const char *const names[] = {
      [TG_CALL_RESOLVE] = "resolve", [TG_CALL_CONNECT] = "connect", [TG_CALL_SECURE] = "secure",
      [TG_CALL_SEND] = "send",       [TG_CALL_HEAD] = "head",       [TG_CALL_BODY] = "body",
      [TG_CALL_ENDED] = "ended"};
  return names[stage];
}
