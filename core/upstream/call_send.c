/* The request of a call as it goes out: head and short bodies in one write, streamed ones by a
 * relay into the link's stream, which holds it when it is full. After a 101 the same sink takes the
 * bytes of the other protocol. */
#include "base/check.h"
#include "http/response.h"
#include "upstream/call_parts.h"

/* Of a body that is there in one piece: more is sent when the link has taken this. */
#define PIECE ((size_t)256 * 1024)

static uint64_t length_of(const struct tg_call_request *request) {
  if (request->bytes.len) return request->bytes.len;
  return request->source ? request->length : TG_LENGTH_NONE;
}

tg_status tg_call_write_head(struct tg_call *call, struct tg_buffer *out) {
  const struct tg_call_request *request = call->request;
  char authority[TG_ORIGIN_AUTHORITY];
  uint64_t length = length_of(request);
  struct tg_request_head head = {.method = request->method,
                                 .target = request->target,
                                 .authority = request->authority,
                                 .fields = request->fields,
                                 .field_count = request->field_count,
                                 .length = length,
                                 .close = request->close,
                                 .takes_trailers = request->takes_trailers,
                                 .upgrade = request->upgrade};
  bool has_body = length != TG_LENGTH_NONE && length != 0;
  if (!head.authority.len)
    head.authority = tg_slice(authority, tg_origin_authority(call->origin, authority));
  head.expect_continue = call->waits_for_continue = request->expect_continue && has_body;
  call->sending = has_body;
  call->source_left = length;
  return tg_request_head_write(out, &head);
}

tg_status tg_call_write_request(struct tg_call *call) {
  struct tg_buffer *out = tg_stream_out(&call->link->stream);
  tg_status status = tg_call_write_head(call, out);
  struct tg_slice bytes = call->request->bytes;
  if (status || !bytes.len || call->waits_for_continue || bytes.len > PIECE) return status;
  status = tg_buffer_append(out, bytes.ptr, bytes.len);
  if (status) return status;
  call->sent_bytes = bytes.len;
  call->sending = false;
  return TG_OK;
}

/* ---- all is in the stream ---- */

/* The wait for the reply begins when the backend has the request. */
static void finish_sending(struct tg_call *call) {
  call->sending = false;
  if (tg_stream_queued(&call->link->stream) == 0 && call->stage == TG_CALL_SEND)
    call->stage = TG_CALL_HEAD;
  call->heard_at = tg_call_now(call);
  tg_call_set_deadline(call);
}

/* ---- a body in one piece ---- */

static void send_bytes(struct tg_call *call) {
  struct tg_stream *stream = &call->link->stream;
  struct tg_slice rest = tg_slice_skip(call->request->bytes, (size_t)call->sent_bytes);
  if (rest.len > PIECE) rest.len = PIECE;
  if (tg_buffer_append(tg_stream_out(stream), rest.ptr, rest.len)) {
    tg_call_fail(call, TG_ENOMEM, NULL);
    return;
  }
  call->sent_bytes += rest.len;
  call->heard_at = tg_call_now(call);
  tg_stream_flush_soon(stream);
  if (call->sent_bytes == call->request->bytes.len)
    finish_sending(call);
  else
    tg_call_set_deadline(call);
}

/* ---- a streamed one ---- */

static tg_status append_piece(struct tg_call *call, struct tg_slice bytes) {
  struct tg_buffer *out = tg_stream_out(&call->link->stream);
  tg_status status = tg_buffer_reserve(out, bytes.len + 32);
  if (status) return status;
  bool chunked = !call->upgraded && call->request->length == TG_LENGTH_CHUNKED;
  if (chunked) tg_buffer_wrote(out, tg_response_chunk_head(bytes.len, tg_buffer_tail(out)));
  memcpy(tg_buffer_tail(out), bytes.ptr, bytes.len);
  tg_buffer_wrote(out, bytes.len);
  return chunked ? tg_buffer_append(out, "\r\n", 2) : TG_OK;
}

static tg_status sink_write(struct tg_sink *sink, struct tg_slice bytes) {
  struct tg_call *call = TG_CONTAINER(sink, struct tg_call, sink);
  if (!call->link || call->link->stream.failed || call->shut) return TG_ECLOSED;
  if (bytes.len == 0) return TG_OK;
  if (!call->upgraded && call->request->length != TG_LENGTH_CHUNKED) {
    if (bytes.len > call->source_left) return TG_ETOO_LARGE;
    call->source_left -= bytes.len;
  }
  bool idle = tg_stream_queued(&call->link->stream) == 0;
  tg_status status = append_piece(call, bytes);
  if (status) return status;
  call->sent_bytes += bytes.len;
  tg_stream_flush_soon(&call->link->stream);
  if (idle) { /* from now on the backend is waited for */
    call->heard_at = tg_call_now(call);
    tg_call_set_deadline(call);
  }
  return tg_stream_full(&call->link->stream) ? TG_EAGAIN : TG_OK;
}

static void sink_drained(struct tg_sink *sink, tg_sink_cb done, void *owner) {
  struct tg_call *call = TG_CONTAINER(sink, struct tg_call, sink);
  TG_CHECK(!call->drained);
  if (!call->link || call->link->stream.failed) {
    done(owner, TG_ECLOSED);
  } else if (!tg_stream_full(&call->link->stream)) {
    done(owner, TG_OK);
  } else {
    call->drained = done;
    call->drained_owner = owner;
  }
}

static void sink_cancel(struct tg_sink *sink) {
  TG_CONTAINER(sink, struct tg_call, sink)->drained = NULL;
}

void tg_call_sink_init(struct tg_sink *sink) {
  *sink = (struct tg_sink){.write = sink_write, .drained = sink_drained, .cancel = sink_cancel};
}

/* The last chunk, and the trailers of who has sent the body (RFC 9112 section 7.1.2). */
static tg_status append_end(struct tg_call *call) {
  const struct tg_call_request *request = call->request;
  const struct tg_request *from = request->trailers_of;
  struct tg_buffer *out = tg_stream_out(&call->link->stream);
  if (!from) return tg_response_write_end(out, request->trailers, request->trailer_count);
  struct tg_response_field *trailers;
  size_t count = tg_forward_trailers(request->arena, from->trailers, from->trailer_count,
                                     request->trailer_rules, &trailers);
  return tg_response_write_end(out, trailers, count);
}

static void on_uploaded(struct tg_relay *relay, tg_status status) {
  struct tg_call *call = TG_CONTAINER(relay, struct tg_call, upload);
  bool chunked = call->request->length == TG_LENGTH_CHUNKED;
  if (relay->sink_failed && status == TG_ECLOSED) return; /* the link tells why */
  if (status == TG_OK && !chunked && call->source_left) {
    tg_call_fail(call, TG_EINVALID, "the body of the request is shorter than its length");
    return;
  }
  if (status == TG_ETOO_LARGE && relay->sink_failed) {
    tg_call_fail(call, TG_EINVALID, "the body of the request is longer than its length");
    return;
  }
  if (status == TG_OK && chunked) {
    status = append_end(call);
    tg_stream_flush_soon(&call->link->stream);
  }
  if (status)
    tg_call_fail(call, status, "the body of the request could not be read");
  else
    finish_sending(call);
}

static void send_body(struct tg_call *call) {
  if (call->request->bytes.len)
    send_bytes(call);
  else
    tg_relay_start(&call->upload, call->request->source, &call->sink, on_uploaded);
}

/* ---- the order of things ---- */

void tg_call_send(struct tg_call *call) {
  call->stage = TG_CALL_SEND;
  call->sent_mark = tg_stream_sent(&call->link->stream);
  call->heard_at = tg_call_now(call);
  tg_stream_flush_soon(&call->link->stream);
  tg_call_set_deadline(call);
  if (call->sending && !call->waits_for_continue) send_body(call);
}

void tg_call_continue(struct tg_call *call) {
  call->waits_for_continue = false;
  call->heard_at = tg_call_now(call);
  tg_call_set_deadline(call);
  send_body(call);
}

void tg_call_stop_sending(struct tg_call *call) {
  if (!call->sending) return;
  call->sending = call->waits_for_continue = false;
  tg_relay_cancel(&call->upload);
  if (call->link) call->link->spoilt = true;
}

static void end_our_side(struct tg_call *call) {
  tg_stream_shut(&call->link->stream);
  if (call->whole) tg_call_end_soon(call);
}

void tg_call_shut(struct tg_call *call) {
  if (!call->upgraded || call->shut) return;
  call->shut = true;
  if (call->link && tg_stream_queued(&call->link->stream) == 0) end_our_side(call);
}

void tg_call_link_drained(struct tg_link *link) {
  struct tg_call *call = link->user;
  bool all = tg_stream_queued(&link->stream) == 0;
  if (call->drained) {
    tg_sink_cb drained = call->drained;
    call->drained = NULL;
    call->heard_at = tg_call_now(call);
    drained(call->drained_owner, TG_OK);
    return;
  }
  if (call->sending && !call->waits_for_continue && call->request->bytes.len)
    send_bytes(call);
  else if (all && !call->sending && call->stage == TG_CALL_SEND)
    finish_sending(call);
  else if (all && call->shut)
    end_our_side(call);
}

/* A backend that does not read on may have said why: the reply is still waited for. */
void tg_call_link_broken(struct tg_link *link, tg_status status) {
  struct tg_call *call = link->user;
  (void)status;
  tg_call_stop_sending(call);
  if (call->stage == TG_CALL_SEND) {
    call->stage = TG_CALL_HEAD;
    call->heard_at = tg_call_now(call);
    tg_call_set_deadline(call);
  }
  tg_stream_read_start(&link->stream);
  if (!call->drained) return;
  tg_sink_cb drained = call->drained;
  call->drained = NULL;
  drained(call->drained_owner, TG_ECLOSED);
}
