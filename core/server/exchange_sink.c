/* See exchange_sink.h. */
#include "server/exchange_sink.h"

#include "base/check.h"
#include "server/connection.h"
#include "server/keepalive.h"

tg_status tg_exchange_send_held(struct tg_exchange *exchange) {
  if (exchange->head_sent) return TG_OK;
  struct tg_slice head = tg_buffer_slice(&exchange->held);
  tg_status status = tg_buffer_append(tg_stream_out(&exchange->conn->stream), head.ptr, head.len);
  if (status) return status;
  exchange->head_sent = true;
  tg_buffer_deinit(&exchange->held);
  tg_stream_flush_soon(&exchange->conn->stream);
  return TG_OK;
}

static tg_status append_piece(struct tg_exchange *exchange, struct tg_slice bytes) {
  struct tg_buffer *out = tg_stream_out(&exchange->conn->stream);
  tg_status status = tg_buffer_reserve(out, bytes.len + 32);
  if (status) return status;
  if (exchange->chunked) out->len += tg_response_chunk_head(bytes.len, tg_buffer_tail(out));
  memcpy(tg_buffer_tail(out), bytes.ptr, bytes.len);
  out->len += bytes.len;
  if (exchange->chunked) {
    memcpy(tg_buffer_tail(out), "\r\n", 2);
    out->len += 2;
  }
  return TG_OK;
}

static tg_status sink_write(struct tg_sink *sink, struct tg_slice bytes) {
  struct tg_exchange *exchange = TG_CONTAINER(sink, struct tg_exchange, sink);
  if (!exchange->conn || exchange->answer_done) return TG_ECLOSED;
  if (exchange->promised != UINT64_MAX && bytes.len > exchange->promised - exchange->sent_bytes)
    return TG_ETOO_LARGE;
  tg_status status = tg_exchange_send_held(exchange);
  if (status == TG_OK && bytes.len && !tg_exchange_bodiless(exchange, exchange->status))
    status = append_piece(exchange, bytes);
  if (status) return status;
  exchange->sent_bytes += bytes.len;
  if (exchange->keepalive) tg_keepalive_note(exchange, bytes);
  tg_stream_flush_soon(&exchange->conn->stream);
  tg_connection_update_deadline(exchange->conn); /* also a stream that is never full may stall */
  return tg_stream_full(&exchange->conn->stream) ? TG_EAGAIN : TG_OK;
}

static tg_status append_file(struct tg_exchange *exchange, struct tg_open_file *file, uint64_t at,
                             uint64_t len) {
  struct tg_stream *stream = &exchange->conn->stream;
  struct tg_buffer *out = tg_stream_out(stream);
  tg_status status = exchange->chunked ? tg_buffer_reserve(out, 32) : TG_OK;
  if (status == TG_OK && exchange->chunked)
    tg_buffer_wrote(out, tg_response_chunk_head(len, tg_buffer_tail(out)));
  if (status == TG_OK) status = tg_stream_append_file(stream, file, at, len);
  if (status == TG_OK && exchange->chunked)
    status = tg_buffer_append(tg_stream_out(stream), "\r\n", 2);
  return status;
}

static tg_status sink_write_file(struct tg_sink *sink, struct tg_open_file *file, uint64_t at,
                                 uint64_t len) {
  struct tg_exchange *exchange = TG_CONTAINER(sink, struct tg_exchange, sink);
  if (!exchange->conn || exchange->answer_done) return TG_ECLOSED;
  if (exchange->promised != UINT64_MAX && len > exchange->promised - exchange->sent_bytes)
    return TG_ETOO_LARGE;
  tg_status status = tg_exchange_send_held(exchange);
  if (status == TG_OK && len && !tg_exchange_bodiless(exchange, exchange->status))
    status = append_file(exchange, file, at, len);
  if (status) return status;
  exchange->sent_bytes += len;
  tg_stream_flush_soon(&exchange->conn->stream);
  tg_connection_update_deadline(exchange->conn);
  return tg_stream_full(&exchange->conn->stream) ? TG_EAGAIN : TG_OK;
}

static void sink_drained(struct tg_sink *sink, tg_sink_cb done, void *owner) {
  struct tg_exchange *exchange = TG_CONTAINER(sink, struct tg_exchange, sink);
  TG_CHECK(!exchange->drained);
  if (!exchange->conn) {
    done(owner, TG_ECLOSED);
  } else if (!tg_stream_full(&exchange->conn->stream)) {
    done(owner, TG_OK);
  } else {
    exchange->drained = done;
    exchange->drained_owner = owner;
    tg_connection_update_deadline(exchange->conn);
  }
}

static void sink_cancel(struct tg_sink *sink) {
  TG_CONTAINER(sink, struct tg_exchange, sink)->drained = NULL;
}

void tg_exchange_sink_init(struct tg_sink *sink, bool secured) {
  sink->write = sink_write;
  sink->write_file = secured ? NULL : sink_write_file;
  sink->drained = sink_drained;
  sink->cancel = sink_cancel;
}
