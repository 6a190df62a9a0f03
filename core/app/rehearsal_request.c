/* One request of a rehearsal: an exchange without a connection.
 *
 * The call is an op. It parses the bytes, lets the server's spine check and route them, and stands
 * in for the client: the port below writes the answer into two buffers. It is done when the
 * exchange is over for everybody, so that a test sees all that its handler has done; a call that
 * was cancelled is a client that went away, and what is left of it ends without anybody. Each
 * request has a server of its own, because that tells when its one exchange is over. */
#include <lauxlib.h>
#include <stdlib.h>

#include "app/rehearsal.h"
#include "base/check.h"
#include "bind/handler.h"
#include "http/response.h"
#include "script/error.h"
#include "script/op.h"
#include "server/server.h"

struct request {
  struct tg_op op;
  struct tg_rehearsal_guest guest;
  struct tg_loop_job begin, over;
  struct tg_server server;
  struct tg_exchange *exchange; /* NULL before it began, and after it is over */
  struct tg_buffer bytes;       /* what the client sends */
  struct tg_buffer head, body;  /* what it gets */
  bool running;                 /* its jobs or its exchange are still to come to an end */
  bool cut;                     /* the answer broke off */
  bool dropped;                 /* the client is gone */
  bool taken; /* the task has its answer, or wants none: whoever is last frees it */
};

static struct request *of(const struct tg_exchange *exchange) {
  return TG_CONTAINER(exchange->server, struct request, server);
}

static struct tg_loop *loop_of(struct request *request) {
  return &request->guest.rehearsal->offline->loop;
}

/* ---- the answer ---- */

static bool bodiless(const struct tg_exchange *exchange, int status) {
  return exchange->request->method == TG_METHOD_HEAD || status == 204 || status == 304;
}

static tg_status write_head(struct tg_exchange *exchange, const struct tg_answer *answer,
                            uint64_t length) {
  struct request *request = of(exchange);
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
  exchange->head_sent = exchange->answer_done = true;
  return TG_OK;
}

static tg_status near_begin(struct tg_exchange *exchange, const struct tg_answer *answer) {
  uint64_t length = answer->has_length ? answer->length : TG_LENGTH_CHUNKED;
  tg_status status = write_head(exchange, answer, length);
  if (status == TG_OK) exchange->promised = answer->has_length ? answer->length : UINT64_MAX;
  return status;
}

static tg_status sink_write(struct tg_sink *sink, struct tg_slice bytes) {
  struct tg_exchange *exchange = TG_CONTAINER(sink, struct tg_exchange, sink);
  struct request *request = of(exchange);
  if (request->dropped || exchange->answer_done) return TG_ECLOSED;
  if (exchange->promised != UINT64_MAX && bytes.len > exchange->promised - exchange->sent_bytes)
    return TG_ETOO_LARGE;
  tg_status status = bodiless(exchange, exchange->status)
                         ? TG_OK
                         : tg_buffer_append(&request->body, bytes.ptr, bytes.len);
  if (status) return status;
  exchange->head_sent = true;
  exchange->sent_bytes += bytes.len;
  return TG_OK;
}

static void sink_drained(struct tg_sink *sink, tg_sink_cb done, void *owner) {
  struct tg_exchange *exchange = TG_CONTAINER(sink, struct tg_exchange, sink);
  done(owner, of(exchange)->dropped ? TG_ECLOSED : TG_OK);
}

static void sink_cancel(struct tg_sink *sink) {
  (void)sink;
}

static void near_end(struct tg_exchange *exchange, tg_status status) {
  if (exchange->answer_done) return;
  bool is_short = exchange->promised != UINT64_MAX && exchange->sent_bytes != exchange->promised &&
                  !bodiless(exchange, exchange->status);
  exchange->head_sent = exchange->answer_done = true;
  if (status || is_short) of(exchange)->cut = true;
}

static void near_finish(struct tg_exchange *exchange) {
  struct request *request = of(exchange);
  if (!exchange->answer_done) tg_exchange_problem(exchange, 500, tg_slice(NULL, 0), NULL, 0);
  tg_rehearsal_leave(&request->guest);
  tg_exchange_local.finish(exchange);
}

static const struct tg_exchange_port near_port = {
    .respond = near_respond, .begin = near_begin, .end = near_end, .finish = near_finish};

/* ---- handing over ---- */

static int run_ref(const struct tg_vm *vm, const struct tg_exchange *exchange) {
  const struct tg_app_state *state = vm->owner;
  return state->run_refs[exchange->match.route];
}

static void begin_in_worker(struct tg_rehearsal_guest *guest, struct tg_vm *vm, const char *why) {
  struct request *request = TG_CONTAINER(guest, struct request, guest);
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
  struct request *request = of(exchange);
  struct tg_rehearsal *rehearsal = request->guest.rehearsal;
  if (exchange->route->pool >= 0) {
    request->guest.begin = begin_in_worker;
    tg_rehearsal_admit(rehearsal, &request->guest);
  } else {
    tg_handler_start(rehearsal->vm, exchange, run_ref(rehearsal->vm, exchange));
  }
}

static const struct tg_routing *acquire(struct tg_server *server) {
  struct request *request = TG_CONTAINER(server, struct request, server);
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
static bool parse(struct request *request) {
  struct tg_exchange *exchange = request->exchange;
  struct tg_slice bytes = tg_buffer_slice(&request->bytes);
  for (;;) {
    size_t used = 0;
    enum tg_h1_event event = tg_h1_feed(&exchange->h1, bytes, &used);
    bytes = tg_slice_skip(bytes, used);
    if (event == TG_H1_HEAD) {
      exchange->head_done = true;
      exchange->h1.body_max = UINT64_MAX;
      if (!exchange->request->has_body) event = TG_H1_END;
    } else if (event == TG_H1_BODY) {
      struct tg_slice piece = exchange->h1.body;
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
  bool is_told = exchange->h1.error_status != 0;
  tg_exchange_reject(exchange, is_told ? exchange->h1.error_status : 400,
                     tg_slice_cstr(is_told ? exchange->h1.error_text : "the request is incomplete"),
                     TG_EINVALID);
}

static void on_begin(struct tg_loop_job *job) {
  struct request *request = TG_CONTAINER(job, struct request, begin);
  struct tg_exchange *exchange = tg_server_take_exchange(&request->server, NULL);
  if (!exchange) {
    tg_loop_post(loop_of(request), &request->over);
    return;
  }
  request->exchange = exchange;
  exchange->started = tg_loop_time(exchange->server->loop);
  exchange->port = &near_port;
  exchange->sink.write = sink_write;
  exchange->sink.drained = sink_drained;
  exchange->sink.cancel = sink_cancel;
  exchange->peer = TG_SLICE("127.0.0.1");
  if (parse(request))
    tg_exchange_begin(exchange);
  else
    refuse(exchange);
}

/* ---- the end ---- */

static void free_request(struct request *request) {
  tg_server_deinit(&request->server);
  tg_buffer_deinit(&request->bytes);
  tg_buffer_deinit(&request->head);
  tg_buffer_deinit(&request->body);
  free(request);
}

/* The exchange was given back: from a job, because its server is still on the C stack. */
static void on_drained(struct tg_server *server) {
  struct request *request = TG_CONTAINER(server, struct request, server);
  request->exchange = NULL;
  tg_loop_post(loop_of(request), &request->over);
}

static void on_over(struct tg_loop_job *job) {
  struct request *request = TG_CONTAINER(job, struct request, over);
  request->running = false;
  if (!request->dropped)
    tg_op_complete(&request->op);
  else if (request->taken)
    free_request(request);
}

static void cancel(struct tg_op *op) {
  struct request *request = TG_CONTAINER(op, struct request, op);
  if (!request->exchange && !tg_list_empty(&request->begin.link)) {
    tg_loop_job_remove(&request->begin); /* it has not begun */
    request->running = false;
  } else if (request->exchange) {
    request->dropped = true;
    tg_exchange_lose(request->exchange, TG_EDISCONNECT);
  } else {
    return; /* it is over, and completes by itself */
  }
  tg_op_complete(op);
}

static int finish(struct tg_op *op, lua_State *L) {
  struct request *request = TG_CONTAINER(op, struct request, op);
  bool cancelled = op->cancelled && (request->dropped || !request->head.len);
  if (!L || cancelled) {
    request->taken = true;
    if (!request->running) free_request(request);
    if (L) tg_op_throw_cancelled(L);
    return 0;
  }
  /* Memory may be gone while these are pushed: then the request is, too, a few bytes of a test. */
  lua_pushlstring(L, request->head.data ? request->head.data : "", request->head.len);
  lua_pushlstring(L, request->body.len ? request->body.data : "", request->body.len);
  lua_pushboolean(L, !request->cut);
  free_request(request);
  return 3;
}

static const struct tg_op_kind kind = {.name = "tg.test", .cancel = cancel, .finish = finish};

/* ---- the call ---- */

static struct request *new_request(struct tg_rehearsal *rehearsal, struct tg_slice bytes) {
  struct request *request = calloc(1, sizeof *request);
  if (!request) return NULL;
  struct tg_offline *offline = rehearsal->offline;
  tg_op_init(&request->op, &kind);
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
  if (tg_buffer_append(&request->bytes, bytes.ptr, bytes.len) == TG_OK) return request;
  free_request(request);
  return NULL;
}

int tg_rehearsal_request(lua_State *L) {
  struct tg_rehearsal *rehearsal = lua_touserdata(L, lua_upvalueindex(1));
  struct tg_slice bytes;
  bytes.ptr = luaL_checklstring(L, 1, &bytes.len);
  if (!rehearsal->offline->generation)
    tg_error_throw(L, "not_available", "tg.test: there are no routes: no folder routes in %s",
                   rehearsal->offline->host.app_dir);
  tg_op_begin(L);
  struct request *request = new_request(rehearsal, bytes);
  if (!request) tg_error_throw(L, "out_of_memory", "tg.test: no memory");
  request->running = true;
  tg_loop_post(loop_of(request), &request->begin);
  return tg_op_suspend(L, &request->op);
}
