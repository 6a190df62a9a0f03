/* The state machine of a client socket.
 *
 * Bytes are looked at while there is an exchange that wants them or a new one may begin; the rest
 * waits in `pending`, and when that is full reading stops, so that a fast sender is held by TCP
 * itself. The parser stops at each message's end: what follows waits until the answer is on its
 * way, which keeps answers in order and verdicts independent of how the bytes were cut.
 *
 * Every close after an answer lingers (RFC 9112 section 9.6): our side ends, the client's bytes are
 * dropped for a moment, so that a reset does not destroy the answer on its way. */
#include "server/connection.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "server/departure.h"
#include "server/exchange_body.h"

#define PENDING_MAX 65536u
#define LINGER_TIME (2 * TG_SECOND)
/* How long a drain waits for a request of a client that has just connected. */
#define FRESH_TIME (TG_SECOND / 2)

static struct tg_connection *of_stream(struct tg_stream *stream) {
  return TG_CONTAINER(stream, struct tg_connection, stream);
}

static uint64_t now(const struct tg_connection *conn) {
  return uv_now(&conn->server->loop->uv) * TG_MILLISECOND;
}

static void close_now(struct tg_connection *conn) {
  if (conn->closed) return;
  conn->closed = true;
  tg_departure_forget(conn);
  tg_wheel_remove(&conn->server->loop->wheel, &conn->deadline);
  tg_stream_close(&conn->stream);
}

static void tell_sent(struct tg_connection *conn) {
  void (*sent)(void *) = conn->sent;
  conn->sent = NULL;
  if (sent) sent(conn->sent_owner);
}

void tg_connection_abort(struct tg_connection *conn, tg_status why) {
  if (conn->closed) return;
  close_now(conn);
  struct tg_exchange *exchange = conn->exchange;
  conn->exchange = NULL;
  if (exchange) tg_exchange_lose(exchange, why);
  tell_sent(conn);
}

/* Has a request begun to come? Blank lines before it do not count. */
static bool begun(const struct tg_connection *conn) {
  return conn->exchange && conn->exchange->h1.message.started;
}

/* Gives an exchange back that has got no more than blank lines: no request will come any more. */
static void drop_blank(struct tg_connection *conn) {
  struct tg_exchange *exchange = conn->exchange;
  if (!exchange || begun(conn)) return;
  conn->exchange = NULL;
  tg_exchange_lose(exchange, TG_ECANCELLED);
}

/* ---- deadlines ---- */

static enum tg_connection_phase phase_of(const struct tg_connection *conn) {
  const struct tg_exchange *exchange = conn->exchange;
  if (conn->phase == TG_PHASE_LINGER) return TG_PHASE_LINGER;
  if (tg_stream_queued(&conn->stream)) return TG_PHASE_WRITE;
  if (!begun(conn)) return TG_PHASE_IDLE;
  if (!exchange->head_done) return TG_PHASE_HEAD;
  if (exchange->upgraded) return TG_PHASE_NONE;
  bool waits_for_continue = exchange->request->expect_continue && !exchange->continued;
  if (!exchange->request_done && conn->stream.reading && !waits_for_continue) return TG_PHASE_BODY;
  return TG_PHASE_NONE;
}

static uint64_t idle_time(const struct tg_connection *conn) {
  const struct tg_settings *settings = conn->server->settings;
  uint64_t time = conn->served ? settings->timeouts_keepalive : settings->timeouts_header;
  return conn->server->draining && time > FRESH_TIME ? FRESH_TIME : time;
}

static uint64_t time_of(const struct tg_connection *conn, enum tg_connection_phase phase) {
  const struct tg_settings *settings = conn->server->settings;
  switch (phase) {
    case TG_PHASE_NONE: return 0;
    case TG_PHASE_IDLE: return idle_time(conn);
    case TG_PHASE_HEAD: return settings->timeouts_header;
    case TG_PHASE_BODY: return settings->timeouts_body;
    case TG_PHASE_WRITE: return settings->timeouts_write;
    case TG_PHASE_LINGER: return LINGER_TIME;
  }
  return 0;
}

void tg_connection_update_deadline(struct tg_connection *conn) {
  if (conn->closed) return;
  enum tg_connection_phase phase = phase_of(conn);
  if (phase == conn->phase && !conn->touched) return;
  conn->phase = (uint8_t)phase;
  conn->touched = false;
  if (phase == TG_PHASE_NONE) {
    tg_wheel_clear(&conn->deadline);
    return;
  }
  if (phase == TG_PHASE_WRITE) conn->write_mark = tg_stream_sent(&conn->stream);
  uint64_t at = now(conn);
  tg_wheel_set(&conn->server->loop->wheel, &conn->deadline, at, at + time_of(conn, phase));
}

/* Where what ends the connection comes before its handshake is done. TLS's own reason says more. */
static void note_unsecured(struct tg_connection *conn, const char *why) {
  const struct tg_tls *tls = conn->stream.tls;
  struct tg_server *server = conn->server;
  if (!tls || tls->secured || conn->closed) return;
  tg_server_count(&server->counters.failed_handshakes);
  if (*tg_tls_complain(tls)) why = tg_tls_complain(tls);
  if (server->unsecured) server->unsecured(server, conn, why);
}

static void on_deadline(struct tg_wheel_node *node) {
  struct tg_connection *conn = TG_CONTAINER(node, struct tg_connection, deadline);
  struct tg_exchange *exchange = conn->exchange;
  switch ((enum tg_connection_phase)conn->phase) {
    case TG_PHASE_NONE: break;
    case TG_PHASE_IDLE: note_unsecured(conn, "no handshake in time"); __attribute__((fallthrough));
    case TG_PHASE_LINGER: tg_connection_abort(conn, TG_EDISCONNECT); break;
    case TG_PHASE_HEAD:
    case TG_PHASE_BODY:
      tg_exchange_reject(exchange, 408, TG_SLICE("the request did not arrive in time"),
                         TG_ETIMEOUT);
      break;
    case TG_PHASE_WRITE:
      if (tg_stream_sent(&conn->stream) != conn->write_mark) {
        conn->touched = true;
        tg_connection_update_deadline(conn);
      } else {
        note_unsecured(conn, "no handshake in time");
        tg_connection_abort(conn, TG_EDISCONNECT);
      }
      break;
  }
}

/* ---- closing after an answer ---- */

static void linger(struct tg_connection *conn) {
  if (conn->closed || conn->phase == TG_PHASE_LINGER) return;
  if (conn->eof) {
    if (conn->stream.tls) tg_stream_shut(&conn->stream); /* the answer ends properly, too */
    close_now(conn);
    return;
  }
  tg_stream_shut(&conn->stream);
  tg_buffer_deinit(&conn->pending);
  conn->phase = TG_PHASE_LINGER;
  conn->touched = true;
  tg_connection_update_deadline(conn);
  tg_stream_read_start(&conn->stream);
}

/* No exchange is left and none may begin: end as soon as all is sent. */
static void wind_up(struct tg_connection *conn) {
  if (tg_stream_queued(&conn->stream) == 0) linger(conn);
}

/* ---- bytes in ---- */

static void on_head(struct tg_connection *conn, struct tg_exchange *exchange) {
  exchange->head_done = true;
  exchange->request_done = !exchange->request->has_body;
  (void)conn;
  tg_exchange_begin(exchange);
}

static void on_event(struct tg_connection *conn, struct tg_exchange *exchange,
                     enum tg_h1_event event) {
  switch (event) {
    case TG_H1_MORE: break;
    case TG_H1_HEAD: on_head(conn, exchange); break;
    case TG_H1_BODY:
      conn->touched = true;
      tg_exchange_body_bytes(exchange, exchange->h1.message.body);
      break;
    case TG_H1_END: tg_exchange_body_end(exchange); break;
    case TG_H1_ERROR:
      tg_exchange_reject(exchange, exchange->h1.message.error_status,
                         tg_slice_cstr(exchange->h1.message.error_text),
                         exchange->h1.message.error_status == 413 ? TG_ETOO_LARGE : TG_ESYNTAX);
      break;
  }
}

/* May bytes be looked at now? Makes the exchange that the next request needs. */
static bool ready_for_bytes(struct tg_connection *conn) {
  struct tg_exchange *exchange = conn->exchange;
  if (exchange)
    return !exchange->request_done && !exchange->broken && !tg_exchange_body_full(exchange);
  if (conn->close || conn->sent || tg_stream_full(&conn->stream)) return false;
  conn->exchange = tg_server_take_exchange(conn->server, conn);
  if (!conn->exchange) tg_connection_abort(conn, TG_ENOMEM);
  return conn->exchange != NULL;
}

/* Lets the parser have what it can use; returns how many bytes that was. */
static size_t feed(struct tg_connection *conn, struct tg_slice bytes) {
  size_t total = 0;
  conn->feeding = true;
  while (!conn->closed && (total < bytes.len || conn->due) && ready_for_bytes(conn)) {
    size_t used = 0;
    struct tg_exchange *exchange = conn->exchange;
    enum tg_h1_event event = tg_h1_feed(&exchange->h1, tg_slice_skip(bytes, total), &used);
    total += used;
    conn->due = event == TG_H1_BODY || (event == TG_H1_HEAD && exchange->request->has_body);
    on_event(conn, exchange, event);
    if (conn->exchange != exchange) conn->due = false;
    if (event == TG_H1_MORE) break;
  }
  conn->feeding = false;
  return conn->phase == TG_PHASE_LINGER ? bytes.len : total;
}

static void keep_reading(struct tg_connection *conn) {
  if (conn->closed) return;
  struct tg_exchange *exchange = conn->exchange;
  bool full = tg_buffer_size(&conn->pending) >= PENDING_MAX;
  bool stuck =
      exchange ? exchange->head_done && !exchange->request_done && tg_exchange_body_full(exchange)
               : tg_stream_full(&conn->stream) && conn->phase != TG_PHASE_LINGER;
  if (full || stuck || conn->eof)
    tg_stream_read_stop(&conn->stream);
  else
    tg_stream_read_start(&conn->stream);
}

static void after_feeding(struct tg_connection *conn) {
  if (conn->closed) return;
  if (conn->eof && !tg_buffer_size(&conn->pending)) drop_blank(conn);
  if (conn->exchange && conn->eof && !conn->exchange->request_done &&
      !tg_buffer_size(&conn->pending) && !conn->exchange->answer_done) {
    if (!conn->exchange->upgraded) {
      tg_connection_abort(conn, TG_EDISCONNECT); /* the request will never be whole */
      return;
    }
    tg_exchange_body_end(conn->exchange);
  }
  if (!conn->exchange && !conn->sent &&
      (conn->close || (conn->eof && !tg_buffer_size(&conn->pending)))) {
    conn->close = true;
    wind_up(conn);
  }
  keep_reading(conn);
  tg_connection_update_deadline(conn);
  if (conn->eof) tg_departure_watch(conn);
}

/* Looks at the bytes that wait. */
static void resume(struct tg_connection *conn) {
  if (conn->closed || conn->feeding) return;
  if (tg_buffer_size(&conn->pending) || conn->due) {
    size_t used = feed(conn, tg_buffer_slice(&conn->pending));
    if (conn->phase == TG_PHASE_LINGER) used = tg_buffer_size(&conn->pending);
    tg_buffer_consume(&conn->pending, used);
    if (!tg_buffer_size(&conn->pending)) tg_buffer_deinit(&conn->pending);
  }
  after_feeding(conn);
}

static void on_bytes(struct tg_connection *conn, struct tg_slice bytes) {
  if (conn->phase == TG_PHASE_LINGER || (conn->close && !conn->exchange)) return;
  bool waiting = tg_buffer_size(&conn->pending) != 0;
  size_t used = waiting ? 0 : feed(conn, bytes);
  if (conn->closed) return;
  if (used < bytes.len && !(conn->close && !conn->exchange)) {
    struct tg_slice rest = tg_slice_skip(bytes, used);
    if (tg_buffer_append(&conn->pending, rest.ptr, rest.len)) {
      tg_connection_abort(conn, TG_ENOMEM);
      return;
    }
  }
  if (waiting)
    resume(conn);
  else
    after_feeding(conn);
}

static void on_read(struct tg_stream *stream, tg_status status, struct tg_slice bytes) {
  struct tg_connection *conn = of_stream(stream);
  if (status == TG_OK) {
    on_bytes(conn, bytes);
    return;
  }
  conn->eof = true;
  note_unsecured(conn, tg_status_text(status));
  if (status != UV_EOF || conn->phase == TG_PHASE_LINGER || tg_stream_hung_up(stream))
    tg_connection_abort(conn, TG_EDISCONNECT);
  else
    resume(conn);
}

/* ---- bytes out ---- */

static void on_drained(struct tg_stream *stream) {
  struct tg_connection *conn = of_stream(stream);
  conn->touched = true;
  if (tg_stream_queued(stream) == 0) tell_sent(conn);
  if (conn->exchange) tg_exchange_room(conn->exchange, TG_OK);
  /* In the plain case nothing waits, and this is the last thing that a request costs. */
  if (tg_buffer_size(&conn->pending) || conn->close || conn->eof || !stream->reading)
    resume(conn);
  else
    tg_connection_update_deadline(conn);
}

static void on_broken(struct tg_stream *stream, tg_status status) {
  note_unsecured(of_stream(stream), tg_status_text(status));
  tg_connection_abort(of_stream(stream), TG_EDISCONNECT);
}

/* The time for the first head begins. */
static void on_secured(struct tg_stream *stream) {
  struct tg_connection *conn = of_stream(stream);
  tg_server_count(&conn->server->counters.handshakes);
  conn->touched = true;
  tg_connection_update_deadline(conn);
}

static void on_closed(struct tg_stream *stream) {
  struct tg_connection *conn = of_stream(stream);
  struct tg_server *server = conn->server;
  tg_buffer_deinit(&conn->pending);
  tg_list_remove(&conn->link);
  free(conn);
  tg_server_forget(server);
}

void tg_connection_advance(struct tg_connection *conn) {
  struct tg_exchange *exchange = conn->exchange;
  conn->exchange = NULL;
  tg_departure_forget(conn);
  conn->touched = true;
  conn->served++;
  if (exchange->close || conn->server->draining) conn->close = true;
  conn->sent = exchange->sent;
  conn->sent_owner = exchange->sent_owner;
  tg_server_give_exchange(conn->server, exchange);
  if (conn->sent || conn->close || !conn->feeding) tg_stream_flush_soon(&conn->stream);
  if (!conn->feeding) resume(conn);
}

void tg_connection_part(struct tg_connection *conn) {
  conn->exchange = NULL;
  conn->touched = conn->close = true;
  conn->served++;
  tg_stream_flush_soon(&conn->stream);
  if (!conn->feeding) resume(conn);
}

void tg_connection_want_body(struct tg_connection *conn) {
  if (!conn->feeding) resume(conn);
}

/* ---- life ---- */

static const struct tg_stream_events stream_events = {
    .read = on_read,
    .drained = on_drained,
    .broken = on_broken,
    .closed = on_closed,
    .secured = on_secured,
};

static void remember_peer(struct tg_connection *conn, const struct tg_address *peer) {
  const void *from = &peer->addr.storage;
  conn->peer_family = (uint8_t)peer->addr.any.sa_family;
  conn->is_unix = peer->addr.any.sa_family == AF_UNIX;
  if (peer->addr.any.sa_family == AF_INET) {
    memcpy(conn->peer_ip, &((const struct sockaddr_in *)from)->sin_addr, 4);
    conn->peer_port = ntohs(((const struct sockaddr_in *)from)->sin_port);
  } else if (peer->addr.any.sa_family == AF_INET6) {
    memcpy(conn->peer_ip, &((const struct sockaddr_in6 *)from)->sin6_addr, 16);
    conn->peer_port = ntohs(((const struct sockaddr_in6 *)from)->sin6_port);
  }
}

struct tg_connection *tg_connection_open(struct tg_server *server, int fd,
                                         const struct tg_address *peer,
                                         struct tg_tls_context *context) {
  struct tg_connection *conn = calloc(1, sizeof *conn);
  struct tg_tls *tls = context && conn ? tg_tls_server_new(context) : NULL;
  if (!conn || (context && !tls)) {
    free(conn);
    close(fd);
    return NULL;
  }
  conn->server = server;
  remember_peer(conn, peer);
  tg_wheel_node_init(&conn->deadline, on_deadline);
  if (tg_stream_open(&conn->stream, server->loop, fd, conn->is_unix, &stream_events)) {
    tg_tls_free(tls);
    free(conn);
    return NULL;
  }
  /* A stream that is open takes it. */
  if (tls) TG_CHECK(tg_stream_secure(&conn->stream, tls) == TG_OK);
  tg_list_append(&server->connections, &conn->link);
  conn->touched = true;
  tg_connection_update_deadline(conn);
  tg_stream_read_start(&conn->stream);
  return conn;
}

/* What has come, or is about to come because the connection is new, is answered; a client that has
 * its answers must be ready for the end of a kept connection (RFC 9112 section 9.3.1). */
void tg_connection_drain(struct tg_connection *conn) {
  struct tg_exchange *exchange = conn->exchange;
  if (exchange && exchange->upgraded && exchange->gone) exchange->gone(exchange, TG_ERESTART);
  if (conn->closed || conn->phase == TG_PHASE_LINGER || begun(conn)) return;
  bool waits =
      tg_buffer_size(&conn->pending) || (conn->stream.reading && tg_stream_unread(&conn->stream));
  if (waits || !conn->served) {
    conn->touched = true;
    tg_connection_update_deadline(conn);
    return;
  }
  conn->close = true;
  drop_blank(conn);
  wind_up(conn);
}

size_t tg_connection_peer(const struct tg_connection *conn, char out[TG_ADDRESS_TEXT]) {
  struct tg_address peer = {0};
  peer.addr.any.sa_family = conn->peer_family;
  void *to = &peer.addr.storage;
  if (conn->peer_family == AF_INET)
    memcpy(&((struct sockaddr_in *)to)->sin_addr, conn->peer_ip, 4);
  else if (conn->peer_family == AF_INET6)
    memcpy(&((struct sockaddr_in6 *)to)->sin6_addr, conn->peer_ip, 16);
  return tg_address_format_host(&peer, out);
}
