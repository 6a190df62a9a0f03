/* See exchange_body.h. */
#include "server/exchange_body.h"

#include "base/check.h"
#include "server/connection.h"

/* Decoded body bytes that are kept for a handler that has not asked yet. */
#define BODY_HIGH 65536u

bool tg_exchange_body_full(const struct tg_exchange *exchange) {
  return tg_buffer_size(&exchange->body_data) >= BODY_HIGH;
}

void tg_exchange_body_bytes(struct tg_exchange *exchange, struct tg_slice bytes) {
  exchange->body_read += bytes.len;
  if (exchange->answer_done && !exchange->handled) return; /* nobody wants it any more */
  tg_source_cb done = exchange->body_done;
  if (done) {
    exchange->body_done = NULL;
    done(exchange->body_owner, TG_OK, bytes);
  } else if (tg_buffer_append(&exchange->body_data, bytes.ptr, bytes.len)) {
    tg_exchange_reject(exchange, 500, tg_slice(NULL, 0), TG_ENOMEM);
  }
}

void tg_exchange_body_end(struct tg_exchange *exchange) {
  exchange->request_done = true;
  tg_source_cb done = exchange->body_done;
  exchange->body_done = NULL;
  if (done) done(exchange->body_owner, TG_OK, tg_slice(NULL, 0));
  tg_exchange_settle(exchange);
}

static void ask_to_continue(struct tg_exchange *exchange) {
  static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
  if (!exchange->request->expect_continue || exchange->continued || exchange->head_sent) return;
  exchange->continued = true;
  if (exchange->body_read) return; /* the client did not wait */
  struct tg_stream *stream = &exchange->conn->stream;
  /* Without memory the client waits for its own time-out, and then sends (RFC 9110 10.1.1). */
  (void)!tg_buffer_append(tg_stream_out(stream), line, sizeof line - 1);
  tg_stream_flush_soon(stream);
}

static void body_read(struct tg_source *source, tg_source_cb done, void *owner) {
  struct tg_exchange *exchange = TG_CONTAINER(source, struct tg_exchange, body);
  TG_CHECK(!exchange->body_done);
  struct tg_slice kept = tg_buffer_slice(&exchange->body_data);
  if (kept.len) {
    struct tg_buffer taken = exchange->body_data;
    tg_buffer_init(&exchange->body_data);
    done(owner, TG_OK, kept);
    tg_buffer_deinit(&taken);
    if (exchange->conn && !exchange->request_done) tg_connection_want_body(exchange->conn);
  } else if (exchange->body_status) {
    done(owner, exchange->body_status, kept);
  } else if (exchange->request_done) {
    done(owner, TG_OK, kept);
  } else {
    exchange->body_done = done;
    exchange->body_owner = owner;
    ask_to_continue(exchange);
    tg_connection_want_body(exchange->conn);
  }
}

static void body_cancel(struct tg_source *source) {
  TG_CONTAINER(source, struct tg_exchange, body)->body_done = NULL;
}

void tg_exchange_body_init(struct tg_source *source) {
  source->read = body_read;
  source->cancel = body_cancel;
}
