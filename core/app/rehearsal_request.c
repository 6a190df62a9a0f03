/* One request of a rehearsal: an exchange without a connection.
 *
 * It parses the bytes, lets the server's spine check and route them, and stands in for the client:
 * the port below writes the answer into two buffers, and a handler that is faster than one who
 * reads it piece by piece has to wait. It is over when the exchange is over for everybody, so that
 * a test sees all that its handler has done. What a client who went away has left behind ends
 * without anybody. Each request has a server of its own, because that tells when its one exchange
 * is over. */
#include "app/rehearsal_request.h"

#include <stdlib.h>

#include "base/check.h"
#include "bind/forward.h"
#include "bind/handler.h"
#include "http/response.h"

static struct tg_rehearsal_request *of(const struct tg_exchange *exchange) {
  return TG_CONTAINER(exchange->server, struct tg_rehearsal_request, server);
}

static struct tg_loop *loop_of(struct tg_rehearsal_request *request) {
  return &request->guest.rehearsal->offline->loop;
}

/* ---- the answer ---- */

static bool bodiless(const struct tg_exchange *exchange, int status) {
  return exchange->request->method == TG_METHOD_HEAD || status == 204 || status == 304;
}

static tg_status write_head(struct tg_exchange *exchange, const struct tg_answer *answer,
                            uint64_t length) {
  struct tg_rehearsal_request *request = of(exchange);
  if (exchange->answer_done || exchange->head_sent) return TG_ECONFLICT;
  if (answer->status < 200 || answer->status > 599) return TG_EINVALID;
  if (request->dropped) return TG_ECLOSED;
  struct tg_response_head head = {
      .status = answer->status,
      .length = answer->status == 204 || answer->status == 304 ? TG_LENGTH_NONE : length,
      .content_type = answer->content_type,
      .date = tg_slice(tg_loop_date(exchange->server->loop), TG_HTTP_DATE_LEN),
      .fields = answer->fields,
      .field_count = answer->field_count};
  tg_buffer_clear(&request->head);
  tg_status status = tg_response_write_head(&request->head, &head);
  if (status == TG_OK) exchange->status = answer->status;
  return status;
}

static tg_status near_respond(struct tg_exchange *exchange, const struct tg_answer *answer) {
  tg_status status = write_head(exchange, answer, answer->body.len);
  if (status == TG_OK && !bodiless(exchange, answer->status))
    status = tg_buffer_append(&of(exchange)->body, answer->body.ptr, answer->body.len);
  if (status) return status;
  exchange->sent_bytes = answer->body.len;
  exchange->head_sent = exchange->answer_done = of(exchange)->head_out = true;
  tg_rehearsal_client_wake(of(exchange));
  return TG_OK;
}

static tg_status near_begin(struct tg_exchange *exchange, const struct tg_answer *answer) {
  uint64_t length = answer->has_length ? answer->length : TG_LENGTH_CHUNKED;
  tg_status status = write_head(exchange, answer, length);
  if (status == TG_OK) exchange->promised = answer->has_length ? answer->length : UINT64_MAX;
  return status;
}

static tg_status near_upgrade(struct tg_exchange *exchange, const struct tg_answer *answer) {
  (void)exchange;
  (void)answer;
  return TG_EUNSUPPORTED; /* the client of a test sends a request and takes an answer, no more */
}

static bool is_full(const struct tg_rehearsal_request *request) {
  return request->in_parts && tg_buffer_size(&request->body) >= TG_REHEARSAL_BODY_HIGH;
}

static tg_status sink_write(struct tg_sink *sink, struct tg_slice bytes) {
  struct tg_exchange *exchange = TG_CONTAINER(sink, struct tg_exchange, sink);
  struct tg_rehearsal_request *request = of(exchange);
  if (request->dropped || exchange->answer_done) return TG_ECLOSED;
  if (exchange->promised != UINT64_MAX && bytes.len > exchange->promised - exchange->sent_bytes)
    return TG_ETOO_LARGE;
  tg_status status = bodiless(exchange, exchange->status)
                         ? TG_OK
                         : tg_buffer_append(&request->body, bytes.ptr, bytes.len);
  if (status) return status;
  exchange->head_sent = request->head_out = true;
  exchange->sent_bytes += bytes.len;
  tg_rehearsal_client_wake(request);
  return is_full(request) ? TG_EAGAIN : TG_OK;
}

static void sink_drained(struct tg_sink *sink, tg_sink_cb done, void *owner) {
  struct tg_exchange *exchange = TG_CONTAINER(sink, struct tg_exchange, sink);
  const struct tg_rehearsal_request *request = of(exchange);
  if (request->dropped || !is_full(request)) {
    done(owner, request->dropped ? TG_ECLOSED : TG_OK);
    return;
  }
  exchange->drained = done;
  exchange->drained_owner = owner;
}

static void sink_cancel(struct tg_sink *sink) {
  TG_CONTAINER(sink, struct tg_exchange, sink)->drained = NULL;
}

static void near_end(struct tg_exchange *exchange, tg_status status) {
  if (exchange->answer_done) return;
  bool is_short = exchange->promised != UINT64_MAX && exchange->sent_bytes != exchange->promised &&
                  !bodiless(exchange, exchange->status);
  exchange->head_sent = exchange->answer_done = of(exchange)->head_out = true;
  if (status || is_short) of(exchange)->cut = true;
  tg_rehearsal_client_wake(of(exchange));
}

static void near_finish(struct tg_exchange *exchange) {
  struct tg_rehearsal_request *request = of(exchange);
  if (!exchange->answer_done) tg_exchange_problem(exchange, 500, tg_slice(NULL, 0), NULL, 0);
  tg_rehearsal_leave(&request->guest);
  tg_exchange_local.finish(exchange);
}

static const struct tg_exchange_port near_port = {
    .respond = near_respond,
    .begin = near_begin,
    .upgrade = near_upgrade,
    .end = near_end,
    .finish = near_finish,
};

/* ---- handing over ---- */

static int run_ref(const struct tg_vm *vm, const struct tg_exchange *exchange) {
  const struct tg_app_state *state = vm->owner;
  return state->run_refs[exchange->match.route];
}

static void begin_in_worker(struct tg_rehearsal_guest *guest, struct tg_vm *vm, const char *why) {
  struct tg_rehearsal_request *request = TG_CONTAINER(guest, struct tg_rehearsal_request, guest);
  struct tg_exchange *exchange = request->exchange;
  if (vm && !request->dropped) {
    tg_handler_start(vm, exchange, run_ref(vm, exchange));
    return;
  }
  if (!vm) tg_exchange_problem(exchange, 500, tg_slice_cstr(why), NULL, 0);
  exchange->answer_done = true;
  exchange->port->finish(exchange);
}

static void handle(struct tg_exchange *exchange) {
  struct tg_rehearsal_request *request = of(exchange);
  struct tg_rehearsal *rehearsal = request->guest.rehearsal;
  if (exchange->route->forward) {
    tg_forward_start(exchange, exchange->route->forward);
  } else if (exchange->route->pool >= 0) {
    request->guest.begin = begin_in_worker;
    tg_rehearsal_admit(rehearsal, &request->guest);
  } else {
    tg_handler_start(rehearsal->vm, exchange, run_ref(rehearsal->vm, exchange));
  }
}

static const struct tg_routing *acquire(struct tg_server *server) {
  struct tg_rehearsal_request *request = TG_CONTAINER(server, struct tg_rehearsal_request, server);
  struct tg_rehearsal *rehearsal = request->guest.rehearsal;
  rehearsal->routing = rehearsal->offline->generation->routing;
  rehearsal->routing.handle = handle;
  return &rehearsal->routing;
}

static void release(struct tg_server *server, const struct tg_routing *routing) {
  (void)server;
  (void)routing;
}

/* ---- the request ---- */

/* Reads the message to its end; false when it is malformed. What is longer than the route takes,
 * the spine refuses by its length. */
static bool parse(struct tg_rehearsal_request *request) {
  struct tg_exchange *exchange = request->exchange;
  struct tg_slice bytes = tg_buffer_slice(&request->bytes);
  for (;;) {
    size_t used = 0;
    enum tg_h1_event event = tg_h1_feed(&exchange->h1, bytes, &used);
    bytes = tg_slice_skip(bytes, used);
    if (event == TG_H1_HEAD) {
      exchange->head_done = true;
      exchange->h1.message.body_max = UINT64_MAX;
      if (!exchange->request->has_body) event = TG_H1_END;
    } else if (event == TG_H1_BODY) {
      struct tg_slice piece = exchange->h1.message.body;
      if (tg_buffer_append(&exchange->body_data, piece.ptr, piece.len)) return false;
      exchange->body_read += piece.len;
    } else if (event != TG_H1_END) {
      return false; /* with all bytes there, more to come is an error, too */
    }
    if (event != TG_H1_END) continue;
    exchange->request_done = true;
    return true;
  }
}

static void refuse(struct tg_exchange *exchange) {
  bool is_told = exchange->h1.message.error_status != 0;
  tg_exchange_reject(
      exchange, is_told ? exchange->h1.message.error_status : 400,
      tg_slice_cstr(is_told ? exchange->h1.message.error_text : "the request is incomplete"),
      TG_EINVALID);
}

static void on_begin(struct tg_loop_job *job) {
  struct tg_rehearsal_request *request = TG_CONTAINER(job, struct tg_rehearsal_request, begin);
  struct tg_exchange *exchange = tg_server_take_exchange(&request->server, NULL);
  if (!exchange) {
    tg_loop_post(loop_of(request), &request->over);
    return;
  }
  request->exchange = exchange;
  exchange->started = tg_loop_time(exchange->server->loop);
  exchange->port = &near_port;
  exchange->sink.write = sink_write;
  exchange->sink.write_file = NULL;
  exchange->sink.drained = sink_drained;
  exchange->sink.cancel = sink_cancel;
  exchange->peer = TG_SLICE("127.0.0.1");
  if (parse(request))
    tg_exchange_begin(exchange);
  else
    refuse(exchange);
}

/* ---- the end ---- */

/* The exchange was given back: from a job, because its server is still on the C stack. */
static void on_drained(struct tg_server *server) {
  struct tg_rehearsal_request *request = TG_CONTAINER(server, struct tg_rehearsal_request, server);
  request->exchange = NULL;
  tg_loop_post(loop_of(request), &request->over);
}

static void on_over(struct tg_loop_job *job) {
  struct tg_rehearsal_request *request = TG_CONTAINER(job, struct tg_rehearsal_request, over);
  request->running = false;
  tg_rehearsal_client_wake(request);
  tg_rehearsal_request_free_unused(request);
}

/* ---- life ---- */

struct tg_rehearsal_request *tg_rehearsal_request_new(struct tg_rehearsal *rehearsal,
                                                      struct tg_slice bytes) {
  struct tg_rehearsal_request *request = calloc(1, sizeof *request);
  if (!request) return NULL;
  struct tg_offline *offline = rehearsal->offline;
  tg_server_init(&request->server, &offline->loop, &offline->settings);
  request->server.acquire = acquire;
  request->server.release = release;
  request->server.drained = on_drained;
  request->server.draining = true; /* so that it tells when its exchange is over */
  request->server.next_number = rehearsal->requests++;
  request->guest.rehearsal = rehearsal;
  tg_list_init(&request->guest.link);
  tg_loop_job_init(&request->begin, on_begin);
  tg_loop_job_init(&request->over, on_over);
  tg_list_init(&request->owned.link);
  if (tg_buffer_append(&request->bytes, bytes.ptr, bytes.len) == TG_OK) return request;
  tg_rehearsal_request_free_unused(request);
  return NULL;
}

void tg_rehearsal_request_free_unused(struct tg_rehearsal_request *request) {
  if (request->running || request->wait || request->handle) return;
  tg_server_deinit(&request->server);
  tg_buffer_deinit(&request->bytes);
  tg_buffer_deinit(&request->head);
  tg_buffer_deinit(&request->body);
  free(request);
}

void tg_rehearsal_request_start(struct tg_rehearsal_request *request) {
  request->running = true;
  tg_loop_post(loop_of(request), &request->begin);
}

void tg_rehearsal_request_drop(struct tg_rehearsal_request *request) {
  if (!request->running) return;
  request->dropped = true;
  if (!request->exchange && !tg_list_empty(&request->begin.link)) {
    tg_loop_job_remove(&request->begin); /* it has not begun */
    request->running = false;
  } else if (request->exchange) {
    tg_exchange_lose(request->exchange, TG_EDISCONNECT);
  }
}
