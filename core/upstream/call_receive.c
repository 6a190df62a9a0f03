/* The reply of a call as it comes. Bytes go from the loop's buffer through the parser to whoever
 * reads the body, without a copy; only what comes while nobody reads is kept, as it came, in the
 * link's buffer, and when that is full reading stops.
 *
 * Any call of the user may end the call and free it. So after each one the link is asked whether
 * the call is still its user; the link lives until the loop's next turn at least. */
#include "base/check.h"
#include "upstream/call_parts.h"

/* ---- the body's reader ---- */

/* The last answer of the body; `ended` follows. */
static void answer_end(struct tg_call *call, tg_status status) {
  tg_source_cb done = call->body_done;
  call->body_done = NULL;
  bool both = call->link && call->link->stream.shut;
  if (status || !call->upgraded || both) tg_call_end_soon(call);
  done(call->body_owner, status, tg_slice(NULL, 0));
}

static void look_at_pending(struct tg_link *link);

static void source_read(struct tg_source *source, tg_source_cb done, void *owner) {
  struct tg_call *call = TG_CONTAINER(source, struct tg_call, body);
  struct tg_link *link = call->link;
  TG_CHECK(!call->body_done);
  call->body_done = done;
  call->body_owner = owner;
  if (call->body_status || call->whole) {
    answer_end(call, call->body_status);
  } else if (link && !link->feeding) {
    call->heard_at = tg_call_now(call);
    look_at_pending(link);
  }
}

static void source_cancel(struct tg_source *source) {
  TG_CONTAINER(source, struct tg_call, body)->body_done = NULL;
}

void tg_call_source_init(struct tg_source *source) {
  *source = (struct tg_source){.read = source_read, .cancel = source_cancel};
}

/* All of the reply was read, and its reader, if he waits, learns it. */
static void finish_body(struct tg_call *call, bool surplus) {
  call->whole = true;
  if (!call->upgraded) tg_call_release(call, surplus);
  if (call->body_done) answer_end(call, TG_OK);
}

/* ---- events of the parser ---- */

static void on_interim(struct tg_call *call) {
  struct tg_reply *reply = call->reply;
  uint32_t most = call->limits.interims ? call->limits.interims : TG_CALL_INTERIMS;
  if (++call->interim_count > most) {
    tg_call_fail(call, TG_EBAD_REPLY, "too many interim replies");
    return;
  }
  if (reply->status == 100 && call->waits_for_continue)
    tg_call_continue(call);
  else if (call->events->interim)
    call->events->interim(call, reply);
}

static bool accept_upgrade(struct tg_call *call) {
  if (call->reply->status != 101) return true;
  if (!call->request->upgrade || !call->reply->upgrade) {
    tg_call_fail(call, TG_EBAD_REPLY, "101 without an upgrade that was asked for");
    return false;
  }
  call->upgraded = true;
  call->link->spoilt = true;
  return true;
}

/* `surplus`: bytes have come behind the head. */
static void on_head(struct tg_call *call, bool surplus) {
  struct tg_reply *reply = call->reply;
  if (reply->status < 200 && reply->status != 101) {
    on_interim(call);
    return;
  }
  if (!accept_upgrade(call)) return;
  tg_call_stop_sending(call); /* 105: it does not want the rest */
  if (!reply->keep_alive || call->request->close) call->link->spoilt = true;
  call->stage = TG_CALL_BODY;
  call->heard_at = tg_call_now(call);
  call->first_byte_ns = call->heard_at - call->started;
  if (!reply->has_body && !call->upgraded) finish_body(call, surplus);
  if (call->link) tg_call_set_deadline(call);
  call->events->head(call);
}

static void on_body(struct tg_call *call, struct tg_slice bytes) {
  tg_source_cb done = call->body_done;
  TG_CHECK(done); /* see `wants` */
  call->body_done = NULL;
  call->received_bytes += bytes.len;
  done(call->body_owner, TG_OK, bytes);
}

static void on_event(struct tg_call *call, enum tg_h1_event event, bool surplus) {
  switch (event) {
    case TG_H1_MORE: break;
    case TG_H1_HEAD: on_head(call, surplus); break;
    case TG_H1_BODY: on_body(call, call->h1.message.body); break;
    case TG_H1_END: finish_body(call, surplus); break;
    case TG_H1_ERROR:
      if (call->h1.message.error_status == 500)
        tg_call_fail(call, TG_ENOMEM, NULL);
      else
        tg_call_fail(call, TG_EBAD_REPLY, call->h1.message.error_text);
      break;
  }
}

/* ---- feeding ---- */

/* May bytes be looked at now? Those of a body only when somebody wants them. */
static bool wants(const struct tg_call *call) {
  return call->stage < TG_CALL_BODY || call->body_done;
}

/* Lets the parser, or after a 101 the reader, have what he can use; returns how many bytes that
 * was. The call may be gone after. */
static size_t feed(struct tg_link *link, struct tg_slice bytes) {
  struct tg_call *call = link->user;
  size_t total = 0;
  bool due = true;
  link->feeding = true;
  while (link->user == call && wants(call) && (total < bytes.len || due)) {
    struct tg_slice rest = tg_slice_skip(bytes, total);
    size_t used = 0;
    if (call->upgraded) {
      total = bytes.len;
      if (rest.len == 0) break;
      on_body(call, rest);
      break;
    }
    enum tg_h1_event event = tg_h1_reply_feed(&call->h1, rest, &used);
    total += used;
    due = event == TG_H1_HEAD || event == TG_H1_BODY;
    on_event(call, event, total < bytes.len);
    if (event == TG_H1_MORE) break;
  }
  link->feeding = false;
  return total;
}

/* The connection has ended, and all that came before was looked at. */
static void on_end(struct tg_call *call, tg_status status) {
  struct tg_link *link = call->link;
  if (status == UV_EOF) status = link->broken; /* the write has seen more of it */
  if (call->stage < TG_CALL_BODY) {
    if (call->heard)
      tg_call_fail(call, status ? status : TG_ECLOSED, "the connection ended within the head");
    else
      tg_call_lose(call, status ? status : TG_ECLOSED, "the connection ended before the reply");
    return;
  }
  /* libuv reports a reset that comes with the last bytes as a plain end. A unix socket has none,
   * and TLS says itself where it ends. */
  bool sure = link->is_unix || link->stream.tls;
  bool clean = !status && (sure || !tg_stream_hung_up(&link->stream));
  if (call->upgraded && !status)
    finish_body(call, false);
  else if (clean && tg_h1_reply_ends_here(&call->h1))
    finish_body(call, false);
  else
    tg_call_fail(call, TG_ECUT, "the connection ended within the body");
}

/* After bytes were offered, or more of them are wanted. */
static void settle(struct tg_link *link) {
  struct tg_call *call = link->user;
  if (!call) return;
  size_t waiting = tg_buffer_size(&link->pending);
  if (link->ended) {
    if (!waiting && wants(call)) on_end(call, link->ended);
    return;
  }
  if (waiting >= TG_LINK_AHEAD)
    tg_stream_read_stop(&link->stream);
  else
    tg_stream_read_start(&link->stream);
  if (call->body_done) tg_call_set_deadline(call);
}

static void look_at_pending(struct tg_link *link) {
  struct tg_call *call = link->user;
  /* Taken out, because the user who is called may fill it, or close the link. */
  struct tg_buffer bytes = link->pending;
  tg_buffer_init(&link->pending);
  size_t used = feed(link, tg_buffer_slice(&bytes));
  tg_buffer_consume(&bytes, used);
  if (link->user != call || !tg_buffer_size(&bytes)) {
    tg_buffer_deinit(&bytes);
  } else {
    TG_CHECK(!link->pending.data); /* nothing is read while bytes are looked at */
    link->pending = bytes;
  }
  if (link->user == call) settle(link);
}

void tg_call_link_read(struct tg_link *link, tg_status status, struct tg_slice bytes) {
  struct tg_call *call = link->user;
  if (status == TG_OK) {
    call->heard = true;
    if (call->stage == TG_CALL_BODY) call->heard_at = tg_call_now(call); /* a head has one time */
    bool behind = tg_buffer_size(&link->pending) != 0;
    size_t used = behind ? 0 : feed(link, bytes);
    if (link->user != call) return;
    if (used < bytes.len) {
      struct tg_slice rest = tg_slice_skip(bytes, used);
      if (tg_buffer_append(&link->pending, rest.ptr, rest.len)) {
        tg_call_fail(call, TG_ENOMEM, NULL);
        return;
      }
    }
    if (behind && wants(call)) {
      look_at_pending(link);
      return;
    }
  }
  settle(link);
}
