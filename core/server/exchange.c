/* The spine of the gateway: one request from its checked head to its answer.
 *
 * tg_exchange_begin shows the way; the port below it is how handlers on the loop's own thread
 * answer. An exchange ends when three things are true: its answer is on its way, its request was
 * read (or given up), and no handler has it (settle). */
#include "server/exchange.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "net/tls_facts.h"
#include "net/tls_hosts.h"
#include "server/connection.h"
#include "server/exchange_body.h"
#include "server/exchange_sink.h"
#include "server/keepalive.h"

/* An unread rest of a body up to this size is read and dropped, to keep the connection. */
#define DISCARD_MAX 65536u

static void count_active(struct tg_server *server, int change) {
  atomic_uint *active = &server->counters.active;
  atomic_store_explicit(active,
                        atomic_load_explicit(active, memory_order_relaxed) + (unsigned)change,
                        memory_order_relaxed);
}

/* ---- answering ---- */

/* Is so much of the request unread that reading and dropping it is worse than a new connection? */
static bool long_rest(const struct tg_exchange *exchange) {
  const struct tg_request *request = exchange->request;
  if (exchange->request_done) return false;
  bool unasked = request->expect_continue && !exchange->continued;
  return unasked || request->chunked || request->content_length - exchange->body_read > DISCARD_MAX;
}

/* Must the connection end after this answer? Decided before the head is written, because it says
 * so. A stream may still read the body that it answers. */
static void decide_close(struct tg_exchange *exchange, bool streamed) {
  const struct tg_request *request = exchange->request;
  if (!exchange->head_done || exchange->broken || !request->keep_alive ||
      exchange->server->draining || (!streamed && long_rest(exchange)))
    exchange->close = true;
}

static void describe_head(struct tg_exchange *exchange, const struct tg_answer *answer,
                          struct tg_response_head *head) {
  *head = (struct tg_response_head){
      .status = answer->status,
      .close = exchange->close,
      .keep_alive = !exchange->close && exchange->head_done && exchange->request->minor == 0,
      .content_type = answer->content_type,
      .date = answer->date.len ? answer->date
                               : tg_slice(tg_loop_date(exchange->server->loop), TG_HTTP_DATE_LEN),
      .fields = answer->fields,
      .field_count = answer->field_count,
  };
}

static tg_status local_respond(struct tg_exchange *exchange, const struct tg_answer *answer) {
  if (exchange->answer_done || exchange->head_sent) return TG_ECONFLICT;
  if (answer->status < 200 || answer->status > 599) return TG_EINVALID;
  if (!exchange->conn) return TG_ECLOSED;
  struct tg_stream *stream = &exchange->conn->stream;
  struct tg_buffer *out = tg_stream_out(stream);
  struct tg_response_head head;
  decide_close(exchange, false);
  describe_head(exchange, answer, &head);
  head.length = answer->status == 204 || answer->status == 304 ? TG_LENGTH_NONE : answer->body.len;
  size_t before = out->len;
  bool with_body = exchange->head_done ? !tg_exchange_bodiless(exchange, answer->status) : true;
  tg_status status = tg_buffer_reserve(out, 512 + (with_body ? answer->body.len : 0));
  if (status == TG_OK) status = tg_response_write_head(out, &head);
  if (status) return status;
  if (with_body && tg_buffer_append(out, answer->body.ptr, answer->body.len)) {
    out->len = before;
    return TG_ENOMEM;
  }
  exchange->status = answer->status;
  exchange->sent_bytes = with_body ? answer->body.len : 0;
  exchange->head_sent = exchange->answer_done = true;
  tg_stream_flush_soon(stream);
  return TG_OK;
}

static tg_status local_begin(struct tg_exchange *exchange, const struct tg_answer *answer) {
  if (exchange->answer_done || exchange->head_sent || exchange->held.len) return TG_ECONFLICT;
  if (answer->status < 200 || answer->status > 599) return TG_EINVALID;
  if (!exchange->conn) return TG_ECLOSED;
  struct tg_response_head head;
  bool old = exchange->request->minor == 0;
  if (old && !answer->has_length) exchange->close = true;
  decide_close(exchange, true);
  describe_head(exchange, answer, &head);
  exchange->promised = answer->has_length ? answer->length : UINT64_MAX;
  exchange->chunked = !answer->has_length && !old;
  head.length = answer->has_length ? answer->length : old ? TG_LENGTH_NONE : TG_LENGTH_CHUNKED;
  if (answer->status == 204 || answer->status == 304) head.length = TG_LENGTH_NONE;
  tg_status status = tg_response_write_head(&exchange->held, &head);
  if (status == TG_OK && answer->keepalive && !tg_exchange_bodiless(exchange, answer->status))
    status = tg_keepalive_start(exchange, answer->keepalive, answer->keepalive_text);
  if (status == TG_OK) exchange->status = answer->status;
  return status;
}

/* An interim answer has no Date and no framing; a client of HTTP/1.0 cannot take it (RFC 9110
 * section 15.2). */
static void local_interim(struct tg_exchange *exchange, const struct tg_answer *answer) {
  if (!exchange->conn || exchange->request->minor == 0) return;
  if (exchange->answer_done || exchange->head_sent || exchange->held.len) return;
  struct tg_response_head head = {.status = answer->status,
                                  .length = TG_LENGTH_NONE,
                                  .fields = answer->fields,
                                  .field_count = answer->field_count};
  if (tg_response_write_head(tg_stream_out(&exchange->conn->stream), &head)) return;
  tg_stream_flush_soon(&exchange->conn->stream);
}

/* Whatever was sent behind the request already is the other protocol's. */
static tg_status local_upgrade(struct tg_exchange *exchange, const struct tg_answer *answer) {
  struct tg_connection *conn = exchange->conn;
  if (exchange->answer_done || exchange->head_sent || exchange->held.len) return TG_ECONFLICT;
  if (answer->status != 101 || exchange->request->has_body) return TG_EINVALID;
  if (!conn) return TG_ECLOSED;
  if (exchange->server->draining) return TG_EOVERLOAD;
  struct tg_response_head head;
  describe_head(exchange, answer, &head);
  head.close = head.keep_alive = false;
  head.upgrade = true;
  tg_status status = tg_response_write_head(tg_stream_out(&conn->stream), &head);
  if (status) return status;
  (void)tg_exchange_peer(exchange); /* while there is a connection to ask */
  tg_h1_tunnel(&exchange->h1);
  exchange->status = answer->status;
  exchange->head_sent = exchange->upgraded = exchange->close = true;
  exchange->request_done = false;
  tg_stream_flush_soon(&conn->stream);
  tg_connection_want_body(conn);
  return TG_OK;
}

void tg_exchange_room(struct tg_exchange *exchange, tg_status status) {
  tg_sink_cb done = exchange->drained;
  exchange->drained = NULL;
  if (done) done(exchange->drained_owner, status);
}

static void local_end(struct tg_exchange *exchange, tg_status status) {
  if (exchange->answer_done) return;
  exchange->answer_done = true;
  struct tg_connection *conn = exchange->conn;
  if (!conn) return;
  if (exchange->upgraded && status == TG_OK) {
    exchange->conn = NULL;
    exchange->request_done = true; /* nothing more comes of the client's side */
    tg_connection_part(conn);
    return;
  }
  bool short_of = exchange->promised != UINT64_MAX && exchange->sent_bytes != exchange->promised &&
                  !tg_exchange_bodiless(exchange, exchange->status);
  if (status || short_of || tg_exchange_send_held(exchange)) {
    /* What was sent so far goes out, but the end that a client would take for success does not. */
    exchange->close = exchange->cut = true;
    return;
  }
  if (long_rest(exchange)) exchange->close = true;
  if (exchange->chunked && !tg_exchange_bodiless(exchange, exchange->status) &&
      tg_response_write_end(tg_stream_out(&conn->stream), exchange->trailers,
                            exchange->trailer_count))
    exchange->close = exchange->cut = true;
  tg_stream_flush_soon(&conn->stream);
}

static void local_finish(struct tg_exchange *exchange) {
  TG_CHECK(exchange->handled);
  if (!exchange->answer_done && exchange->conn)
    tg_exchange_problem(exchange, 500, tg_slice(NULL, 0), NULL, 0);
  exchange->handled = false;
  exchange->gone = NULL;
  count_active(exchange->server, -1);
  tg_exchange_settle(exchange);
}

const struct tg_exchange_port tg_exchange_local = {
    .respond = local_respond,
    .begin = local_begin,
    .interim = local_interim,
    .upgrade = local_upgrade,
    .end = local_end,
    .finish = local_finish,
};

void tg_exchange_answer_problem(struct tg_exchange *exchange, struct tg_problem problem,
                                const struct tg_response_field *fields, size_t field_count) {
  struct tg_buffer body = {0};
  problem.instance = exchange->head_done ? exchange->request->raw_path : tg_slice(NULL, 0);
  struct tg_answer answer = {.status = problem.status,
                             .content_type = TG_SLICE("application/problem+json"),
                             .fields = fields,
                             .field_count = field_count};
  /* Out of memory: the status alone has to do. */
  if (tg_response_write_problem(&body, &problem) == TG_OK) answer.body = tg_buffer_slice(&body);
  if (exchange->port->respond(exchange, &answer)) exchange->close = exchange->answer_done = true;
  tg_buffer_deinit(&body);
}

void tg_exchange_problem(struct tg_exchange *exchange, int status, struct tg_slice detail,
                         const struct tg_response_field *fields, size_t field_count) {
  struct tg_problem problem = {.status = status, .detail = detail};
  tg_exchange_answer_problem(exchange, problem, fields, field_count);
}

/* ---- the end ---- */

void tg_exchange_settle(struct tg_exchange *exchange) {
  if (exchange->handled) return;
  struct tg_connection *conn = exchange->conn;
  if (!conn) {
    void (*sent)(void *) = exchange->sent;
    void *owner = exchange->sent_owner;
    tg_server_give_exchange(exchange->server, exchange);
    if (sent) sent(owner);
    return;
  }
  if (!exchange->answer_done) return;
  if (exchange->cut) {
    tg_stream_flush(&conn->stream);
    tg_connection_abort(conn, TG_EDISCONNECT);
    return;
  }
  if (exchange->request_done || exchange->close)
    tg_connection_advance(conn);
  else
    tg_connection_want_body(conn); /* the short rest of its body is read and dropped */
}

void tg_exchange_lose(struct tg_exchange *exchange, tg_status why) {
  exchange->conn = NULL;
  /* A body that has come whole can still be read by a handler that goes on. */
  if (!exchange->request_done) exchange->body_status = why;
  tg_source_cb done = exchange->body_done;
  exchange->body_done = NULL;
  if (done) done(exchange->body_owner, why, tg_slice(NULL, 0));
  tg_exchange_room(exchange, TG_ECLOSED);
  if (!exchange->handled)
    tg_exchange_settle(exchange);
  else if (exchange->gone)
    exchange->gone(exchange, why);
}

void tg_exchange_reject(struct tg_exchange *exchange, int status, struct tg_slice detail,
                        tg_status why) {
  exchange->broken = exchange->close = true;
  exchange->body_status = why;
  if (!exchange->head_sent && !exchange->answer_done) {
    tg_buffer_clear(&exchange->held);
    tg_exchange_problem(exchange, status, detail, NULL, 0);
  } else if (!exchange->answer_done) {
    exchange->cut = exchange->answer_done = true;
  }
  tg_source_cb done = exchange->body_done;
  exchange->body_done = NULL;
  if (done) done(exchange->body_owner, why, tg_slice(NULL, 0));
  if (exchange->handled && exchange->gone)
    exchange->gone(exchange, why);
  else if (!exchange->handled)
    tg_exchange_settle(exchange);
}

/* ---- life ---- */

void tg_exchange_init(struct tg_exchange *exchange, struct tg_server *server,
                      struct tg_connection *conn) {
  exchange->conn = conn;
  exchange->server = server;
  exchange->request = &exchange->h1.request;
  exchange->routing = NULL;
  exchange->route = NULL;
  exchange->started = server->log ? tg_clock_now() : uv_now(&server->loop->uv) * TG_MILLISECOND;
  exchange->port = &tg_exchange_local;
  exchange->handler = NULL;
  exchange->peer = tg_slice(NULL, 0);
  exchange->tls = NULL;
  exchange->gone = NULL;
  exchange->sent = NULL;
  tg_exchange_body_init(&exchange->body);
  tg_buffer_init(&exchange->body_data);
  exchange->body_done = NULL;
  exchange->body_status = TG_OK;
  exchange->body_read = 0;
  exchange->secured = conn && conn->stream.tls;
  tg_exchange_sink_init(&exchange->sink, exchange->secured);
  exchange->drained = NULL;
  exchange->keepalive = NULL;
  exchange->upstream = NULL;
  tg_buffer_init(&exchange->held);
  exchange->trailer_count = 0;
  exchange->status = 0;
  exchange->sent_bytes = 0;
  exchange->promised = UINT64_MAX;
  exchange->head_done = exchange->request_done = exchange->broken = exchange->handled = false;
  exchange->head_sent = exchange->chunked = exchange->answer_done = exchange->cut = false;
  exchange->upgraded = exchange->close = exchange->continued = exchange->sends_file = false;
  tg_h1_init(&exchange->h1, &exchange->arena, server->settings);
}

/* OPTIONS * asks about the server, not about a path (RFC 9110 section 9.3.7). */
static bool answer_server_options(struct tg_exchange *exchange) {
  struct tg_request *request = exchange->request;
  if (request->method != TG_METHOD_OPTIONS || !tg_slice_eq(request->path, TG_SLICE("*")))
    return false;
  exchange->match.allow = TG_METHOD_ANY;
  return true;
}

static void refuse_without_route(struct tg_exchange *exchange, enum tg_route_result result) {
  if (result == TG_ROUTE_NOT_FOUND) {
    tg_exchange_problem(exchange, 404, TG_SLICE("no route matches this path"), NULL, 0);
    return;
  }
  char names[256];
  struct tg_response_field allow = {TG_SLICE("Allow"), {names, 0}};
  allow.value.len = tg_method_list(exchange->match.allow, names);
  if (exchange->request->method == TG_METHOD_OPTIONS) {
    struct tg_answer answer = {.status = 204, .fields = &allow, .field_count = 1};
    if (exchange->port->respond(exchange, &answer)) exchange->close = exchange->answer_done = true;
  } else {
    tg_exchange_problem(exchange, 405, TG_SLICE("this path does not have that method"), &allow, 1);
  }
}

static void hand_over(struct tg_exchange *exchange) {
  struct tg_request *request = exchange->request;
  exchange->route = &exchange->routing->routes[exchange->match.route];
  exchange->h1.message.body_max = exchange->route->max_body;
  if (!request->chunked && request->content_length > exchange->route->max_body) {
    tg_exchange_reject(exchange, 413, TG_SLICE("the body is longer than this route takes"),
                       TG_ETOO_LARGE);
    return;
  }
  exchange->handled = true;
  count_active(exchange->server, 1);
  exchange->routing->handle(exchange);
}

static void hand_over_or_refuse(struct tg_exchange *exchange, enum tg_route_result result) {
  const struct tg_routing *routing = exchange->routing;
  if (routing->has_fallback && !tg_slice_eq(exchange->request->path, TG_SLICE("*"))) {
    if (result == TG_ROUTE_NOT_FOUND) exchange->match.allow = 0;
    exchange->match.route = routing->count;
    exchange->match.param_count = 0;
    hand_over(exchange);
  } else {
    refuse_without_route(exchange, result);
    tg_exchange_settle(exchange);
  }
}

/* RFC 9110 section 15.5.20. */
static bool refuse_misdirected(struct tg_exchange *exchange) {
  if (tg_tls_hosts_admit(exchange->conn->stream.tls, exchange->request->host)) return false;
  tg_exchange_problem(exchange, 421,
                      TG_SLICE("the connection was made for a host with other rules for clients"),
                      NULL, 0);
  tg_exchange_settle(exchange);
  return true;
}

void tg_exchange_begin(struct tg_exchange *exchange) {
  struct tg_server *server = exchange->server;
  struct tg_request *request = exchange->request;
  tg_server_count(&server->counters.requests);
  exchange->routing = server->acquire(server);
  if (TG_UNLIKELY(exchange->secured) && refuse_misdirected(exchange)) return;
  if (TG_UNLIKELY(exchange->routing->first) && exchange->routing->first(exchange)) {
    tg_exchange_settle(exchange);
    return;
  }
  enum tg_route_result result = TG_ROUTE_METHOD;
  if (!answer_server_options(exchange))
    result = tg_route_tree_find(exchange->routing->tree, request->method, request->path,
                                &exchange->arena, &exchange->match);
  if (result == TG_ROUTE_FOUND) {
    hand_over(exchange);
  } else {
    hand_over_or_refuse(exchange, result);
  }
}

const struct tg_tls_facts *tg_exchange_tls(struct tg_exchange *exchange) {
  const struct tg_tls *tls = exchange->conn ? exchange->conn->stream.tls : NULL;
  if (!exchange->tls && tls) exchange->tls = tg_tls_facts_read(tls, &exchange->arena);
  return exchange->tls;
}

struct tg_slice tg_exchange_peer(struct tg_exchange *exchange) {
  char text[TG_ADDRESS_TEXT];
  if (!exchange->peer.ptr && exchange->conn)
    exchange->peer =
        tg_arena_copy(&exchange->arena, tg_slice(text, tg_connection_peer(exchange->conn, text)));
  return exchange->peer;
}

size_t tg_exchange_id(const struct tg_exchange *exchange, char out[40]) {
  int n = snprintf(out, 40, "%08x-%010llx", exchange->server->id_seed,
                   (unsigned long long)exchange->number);
  return n < 0 ? 0 : (size_t)n;
}
