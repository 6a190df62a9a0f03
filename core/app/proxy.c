/* The worker's half: every call of the handler becomes a letter, and every letter of the loop a
 * callback. What can be judged here is judged here, so that a handler hears of a bad field at once,
 * as it would on a loop. */
#include "app/proxy.h"

#include <stdlib.h>

#include "app/generation.h"
#include "base/check.h"
#include "net/tls_facts.h"

/* A body that was collected is handed out in pieces like one that comes from the wire. */
#define READ_MAX 65536u

static struct tg_proxy *of(struct tg_exchange *exchange) {
  return TG_CONTAINER(exchange, struct tg_proxy, exchange);
}

/* The loop outlives its workers' exchanges; where it is closing all the same, the letter is lost
 * with whatever it would have told. */
static bool post_home(struct tg_proxy *proxy, struct tg_letter *letter,
                      void (*open)(struct tg_letter *)) {
  letter->open = open;
  return tg_mailbox_post(proxy->home, letter) == TG_OK;
}

/* ---- answering ---- */

static bool fit_for_the_wire(const struct tg_answer *answer) {
  if (answer->content_type.len &&
      !tg_response_valid_field(TG_SLICE("content-type"), answer->content_type))
    return false;
  for (size_t i = 0; i < answer->field_count; i++)
    if (!tg_response_valid_field(answer->fields[i].name, answer->fields[i].value)) return false;
  return true;
}

static struct tg_slice put(char **at, struct tg_slice bytes) {
  if (!bytes.len) return tg_slice(NULL, 0);
  struct tg_slice copy = tg_slice(memcpy(*at, bytes.ptr, bytes.len), bytes.len);
  *at += bytes.len;
  return copy;
}

/* One block: the letter, the fields, then all bytes. */
static struct tg_crossing_answer *copy_answer(const struct tg_answer *answer,
                                              enum tg_crossing_kind kind) {
  bool whole = kind == TG_CROSSING_WHOLE;
  size_t total = answer->content_type.len + answer->date.len + (whole ? answer->body.len : 0);
  for (size_t i = 0; i < answer->field_count; i++)
    total += answer->fields[i].name.len + answer->fields[i].value.len;
  struct tg_crossing_answer *copy;
  size_t head = sizeof *copy + answer->field_count * sizeof copy->fields[0];
  copy = malloc(head + total);
  if (!copy) return NULL;
  char *at = (char *)copy + head;
  tg_list_init(&copy->letter.link);
  copy->kind = kind;
  copy->answer = *answer;
  copy->answer.fields = copy->fields;
  copy->answer.content_type = put(&at, answer->content_type);
  copy->answer.date = put(&at, answer->date);
  for (size_t i = 0; i < answer->field_count; i++) {
    copy->fields[i].name = put(&at, answer->fields[i].name);
    copy->fields[i].value = put(&at, answer->fields[i].value);
  }
  copy->answer.body = whole ? put(&at, answer->body) : tg_slice(NULL, 0);
  return copy;
}

static tg_status send_answer(struct tg_proxy *proxy, const struct tg_answer *answer,
                             enum tg_crossing_kind kind) {
  bool leaves = kind == TG_CROSSING_UPGRADE;
  if (leaves ? answer->status != 101 : answer->status < 200 || answer->status > 599)
    return TG_EINVALID;
  if (!fit_for_the_wire(answer)) return TG_EINVALID;
  if (proxy->left) return TG_ECLOSED;
  struct tg_crossing_answer *copy = copy_answer(answer, kind);
  if (!copy) return TG_ENOMEM;
  copy->crossing = proxy->crossing;
  if (!post_home(proxy, &copy->letter, tg_crossing_on_answer)) {
    free(copy);
    return TG_ECLOSED;
  }
  proxy->exchange.status = answer->status;
  return TG_OK;
}

/* A head that was begun, but of which nothing is out, gives way to another answer, as on loops. */
static tg_status far_respond(struct tg_exchange *exchange, const struct tg_answer *answer) {
  struct tg_proxy *proxy = of(exchange);
  if (exchange->answer_done || exchange->head_sent) return TG_ECONFLICT;
  tg_status status = send_answer(proxy, answer, TG_CROSSING_WHOLE);
  if (status) return status;
  exchange->sent_bytes = answer->body.len;
  exchange->head_sent = exchange->answer_done = true;
  return TG_OK;
}

static tg_status far_begin(struct tg_exchange *exchange, const struct tg_answer *head) {
  struct tg_proxy *proxy = of(exchange);
  if (exchange->answer_done || exchange->head_sent || proxy->begun) return TG_ECONFLICT;
  tg_status status = send_answer(proxy, head, TG_CROSSING_STREAM);
  if (status) return status;
  proxy->begun = true;
  exchange->promised = head->has_length ? head->length : UINT64_MAX;
  return TG_OK;
}

/* Of a request without a body nothing has crossed yet: what comes from now on is the tunnel's. */
static tg_status far_upgrade(struct tg_exchange *exchange, const struct tg_answer *head) {
  struct tg_proxy *proxy = of(exchange);
  if (exchange->answer_done || exchange->head_sent || proxy->begun) return TG_ECONFLICT;
  if (exchange->request->has_body) return TG_EINVALID;
  tg_status status = send_answer(proxy, head, TG_CROSSING_UPGRADE);
  if (status) return status;
  proxy->begun = true;
  proxy->body_ended = false;
  exchange->request_done = false;
  exchange->head_sent = exchange->upgraded = true;
  return TG_OK;
}

static tg_status sink_write(struct tg_sink *sink, struct tg_slice bytes) {
  struct tg_exchange *exchange = TG_CONTAINER(sink, struct tg_exchange, sink);
  struct tg_proxy *proxy = of(exchange);
  if (proxy->left || exchange->answer_done || !proxy->begun) return TG_ECLOSED;
  if (exchange->promised != UINT64_MAX && bytes.len > exchange->promised - exchange->sent_bytes)
    return TG_ETOO_LARGE;
  struct tg_crossing_piece *piece = tg_crossing_piece_new(bytes);
  if (!piece) return TG_ENOMEM;
  size_t cost = piece->cost;
  piece->crossing = proxy->crossing;
  piece->proxy = proxy;
  if (!post_home(proxy, &piece->letter, tg_crossing_on_piece)) {
    free(piece);
    return TG_ECLOSED;
  }
  exchange->head_sent = true;
  exchange->sent_bytes += bytes.len;
  proxy->in_flight += cost;
  return proxy->in_flight >= TG_CROSSING_WINDOW ? TG_EAGAIN : TG_OK;
}

static void sink_drained(struct tg_sink *sink, tg_sink_cb done, void *owner) {
  struct tg_exchange *exchange = TG_CONTAINER(sink, struct tg_exchange, sink);
  struct tg_proxy *proxy = of(exchange);
  TG_CHECK(!exchange->drained);
  if (proxy->left) {
    done(owner, TG_ECLOSED);
  } else if (proxy->in_flight < TG_CROSSING_WINDOW) {
    done(owner, TG_OK);
  } else {
    exchange->drained = done;
    exchange->drained_owner = owner;
  }
}

static void sink_cancel(struct tg_sink *sink) {
  TG_CONTAINER(sink, struct tg_exchange, sink)->drained = NULL;
}

/* The loop has used a piece up. Room is told of at half the window, so that a writer that waits is
 * not woken for every piece. */
void tg_proxy_on_piece_back(struct tg_letter *letter) {
  struct tg_crossing_piece *piece = TG_CONTAINER(letter, struct tg_crossing_piece, letter);
  struct tg_proxy *proxy = piece->proxy;
  proxy->in_flight -= piece->cost;
  free(piece);
  if (proxy->in_flight <= TG_CROSSING_WINDOW / 2) tg_exchange_room(&proxy->exchange, TG_OK);
}

/* What the worker's `end` said is applied by the loop's half. */
static void far_end(struct tg_exchange *exchange, tg_status status) {
  struct tg_proxy *proxy = of(exchange);
  if (exchange->answer_done) return;
  exchange->answer_done = true;
  if (proxy->left) return;
  proxy->crossing->end_status = status;
  (void)post_home(proxy, &proxy->crossing->ended, proxy->crossing->ended.open);
}

/* ---- the end ---- */

static void on_note(struct tg_letter *letter) {
  struct tg_crossing_note *note = TG_CONTAINER(letter, struct tg_crossing_note, letter);
  note->begins(note->owner);
  note->sent(note->sent_owner);
  free(note);
}

/* Without memory the work after the answer is begun early, but not lost. */
static struct tg_crossing_note *make_note(struct tg_proxy *proxy) {
  struct tg_exchange *exchange = &proxy->exchange;
  if (!exchange->sent) return NULL;
  struct tg_crossing_note *note = malloc(sizeof *note);
  if (!note) {
    exchange->sent(exchange->sent_owner);
    return NULL;
  }
  *note = (struct tg_crossing_note){.worker = proxy->mailbox,
                                    .sent = exchange->sent,
                                    .sent_owner = exchange->sent_owner,
                                    .begins = proxy->host->after,
                                    .owner = proxy->owner};
  note->letter.open = on_note;
  tg_list_init(&note->letter.link);
  return note;
}

/* Where the exchange was given back before the handler was done, the loop knows nothing to wait
 * for, and may even have ended. */
static void run_note(struct tg_proxy *proxy) {
  if (proxy->note) TG_CHECK(tg_mailbox_post(proxy->mailbox, &proxy->note->letter) == TG_OK);
  proxy->note = NULL;
}

static void far_finish(struct tg_exchange *exchange) {
  struct tg_proxy *proxy = of(exchange);
  struct tg_crossing *crossing = proxy->crossing;
  bool left = proxy->left;
  TG_CHECK(!proxy->finished);
  proxy->finished = true;
  exchange->handled = false;
  proxy->note = make_note(proxy);
  if (left) run_note(proxy);
  crossing->note = proxy->note;
  proxy->host->done(proxy);
  /* The crossing is the loop's from here on. */
  if (!post_home(proxy, &crossing->finished, crossing->finished.open) && left) free(crossing);
  if (left) tg_proxy_free(proxy);
}

static const struct tg_exchange_port far_port = {
    .respond = far_respond,
    .begin = far_begin,
    .upgrade = far_upgrade,
    .end = far_end,
    .finish = far_finish,
};

void tg_proxy_on_notice(struct tg_letter *letter) {
  struct tg_exchange *exchange = &TG_CONTAINER(letter, struct tg_proxy, notice)->exchange;
  if (exchange->gone) exchange->gone(exchange, TG_ERESTART);
}

void tg_proxy_on_leave(struct tg_letter *letter) {
  struct tg_proxy *proxy = TG_CONTAINER(letter, struct tg_proxy, leave);
  struct tg_exchange *exchange = &proxy->exchange;
  proxy->left = true;
  if (proxy->finished) {
    if (proxy->why != TG_OK) run_note(proxy);
    tg_proxy_free(proxy);
    return;
  }
  tg_source_cb done = exchange->body_done;
  exchange->body_done = NULL;
  if (!proxy->body_ended) exchange->body_status = proxy->why;
  proxy->body_ended = true;
  if (done) done(exchange->body_owner, proxy->why, tg_slice(NULL, 0));
  tg_exchange_room(exchange, TG_ECLOSED);
  if (exchange->gone) exchange->gone(exchange, proxy->why);
}

void tg_proxy_look(struct tg_proxy *proxy) {
  struct tg_exchange *exchange = &proxy->exchange;
  if (!proxy->left && atomic_load(&proxy->leaving) && exchange->gone)
    exchange->gone(exchange, proxy->why);
}

/* ---- request body ---- */

/* A piece that was used: back to the loop, as the credit for another one. */
static void give_back(struct tg_proxy *proxy, struct tg_crossing_piece *piece) {
  if (proxy->finished || proxy->left ||
      !post_home(proxy, &piece->letter, tg_crossing_on_piece_back))
    free(piece);
}

static void note_end(struct tg_proxy *proxy, struct tg_crossing_piece *piece) {
  struct tg_exchange *exchange = &proxy->exchange;
  exchange->body_status = piece->status;
  exchange->request_done = piece->status == TG_OK;
  exchange->request->trailers = piece->trailers;
  exchange->request->trailer_count = piece->trailer_count;
  proxy->body_ended = true;
}

/* The piece with the end stays: the trailers' text lies in it. */
static void deliver(struct tg_proxy *proxy, struct tg_crossing_piece *piece) {
  struct tg_exchange *exchange = &proxy->exchange;
  tg_source_cb done = exchange->body_done;
  exchange->body_done = NULL;
  if (piece->len) {
    done(exchange->body_owner, TG_OK, tg_slice(piece->bytes, piece->len));
    give_back(proxy, piece);
  } else {
    note_end(proxy, piece);
    tg_list_prepend(&proxy->pieces, &piece->letter.link);
    done(exchange->body_owner, piece->status, tg_slice(NULL, 0));
  }
}

void tg_proxy_on_piece(struct tg_letter *letter) {
  struct tg_crossing_piece *piece = TG_CONTAINER(letter, struct tg_crossing_piece, letter);
  struct tg_proxy *proxy = piece->proxy;
  if (proxy->finished)
    free(piece);
  else if (proxy->exchange.body_done)
    deliver(proxy, piece);
  else
    tg_list_append(&proxy->pieces, &letter->link);
}

static void body_read(struct tg_source *source, tg_source_cb done, void *owner) {
  struct tg_exchange *exchange = TG_CONTAINER(source, struct tg_exchange, body);
  struct tg_proxy *proxy = of(exchange);
  TG_CHECK(!exchange->body_done);
  struct tg_slice kept = tg_buffer_slice(&exchange->body_data);
  if (kept.len) {
    if (kept.len > READ_MAX) kept.len = READ_MAX;
    tg_buffer_consume(&exchange->body_data, kept.len);
    done(owner, TG_OK, kept);
    return;
  }
  tg_buffer_deinit(&exchange->body_data);
  if (proxy->body_ended) {
    done(owner, exchange->body_status, kept);
    return;
  }
  exchange->body_done = done;
  exchange->body_owner = owner;
  struct tg_list *link = tg_list_take_first(&proxy->pieces);
  if (link) deliver(proxy, TG_CONTAINER(link, struct tg_crossing_piece, letter.link));
}

static void body_cancel(struct tg_source *source) {
  TG_CONTAINER(source, struct tg_exchange, body)->body_done = NULL;
}

/* ---- life ---- */

struct tg_proxy *tg_proxy_new(struct tg_crossing *crossing, struct tg_generation *generation) {
  struct tg_proxy *proxy = calloc(1, sizeof *proxy);
  if (!proxy) return NULL;
  struct tg_exchange *exchange = &proxy->exchange;
  proxy->crossing = crossing;
  proxy->home = &crossing->loop->mailbox;
  proxy->generation = generation;
  tg_generation_hold(generation);
  proxy->notice.open = tg_proxy_on_notice;
  tg_list_init(&proxy->notice.link);
  proxy->leave.open = tg_proxy_on_leave;
  tg_list_init(&proxy->leave.link);
  tg_list_init(&proxy->pieces);
  tg_list_init(&exchange->link);
  tg_arena_init(&exchange->arena, exchange->memory, sizeof exchange->memory);
  exchange->server = &proxy->server;
  exchange->request = &exchange->h1.request;
  exchange->port = &far_port;
  exchange->body.read = body_read;
  exchange->body.cancel = body_cancel;
  exchange->sink.write = sink_write;
  exchange->sink.drained = sink_drained;
  exchange->sink.cancel = sink_cancel;
  exchange->promised = UINT64_MAX;
  exchange->head_done = exchange->handled = true;
  return proxy;
}

static bool copy_slice(struct tg_arena *arena, struct tg_slice *slice) {
  if (!slice->ptr) return true;
  *slice = tg_arena_copy(arena, *slice);
  return slice->ptr != NULL;
}

static bool copy_fields(struct tg_arena *arena, struct tg_field **fields, uint32_t count) {
  if (!count) return true;
  struct tg_field *copies = tg_arena_alloc(arena, count * sizeof *copies);
  if (!copies) return false;
  for (uint32_t i = 0; i < count; i++) {
    copies[i] = (*fields)[i];
    if (!copy_slice(arena, &copies[i].name) || !copy_slice(arena, &copies[i].value)) return false;
  }
  *fields = copies;
  return true;
}

tg_status tg_proxy_fill(struct tg_proxy *proxy, struct tg_exchange *original, bool streamed) {
  struct tg_exchange *exchange = &proxy->exchange;
  struct tg_arena *arena = &exchange->arena;
  struct tg_request *request = exchange->request;
  proxy->server.id_seed = original->server->id_seed;
  proxy->server.settings = original->server->settings;
  proxy->body_ended = !streamed;
  exchange->request_done = !streamed;
  exchange->routing = original->routing;
  exchange->route = original->route;
  exchange->match = original->match;
  exchange->started = original->started;
  exchange->number = original->number;
  exchange->peer = tg_exchange_peer(original);
  *request = *original->request;
  bool copied = copy_slice(arena, &exchange->peer) && copy_slice(arena, &request->method_name) &&
                copy_slice(arena, &request->target) && copy_slice(arena, &request->raw_path) &&
                copy_slice(arena, &request->path) && copy_slice(arena, &request->query) &&
                copy_slice(arena, &request->host) &&
                copy_fields(arena, &request->fields, request->field_count) &&
                copy_fields(arena, &request->trailers, request->trailer_count);
  for (uint32_t i = 0; copied && i < exchange->match.param_count; i++)
    copied = copy_slice(arena, &exchange->match.params[i]);
  const struct tg_tls_facts *tls = tg_exchange_tls(original);
  exchange->secured = original->secured;
  if (copied && tls) copied = (exchange->tls = tg_tls_facts_copy(tls, arena)) != NULL;
  return copied ? TG_OK : TG_ENOMEM;
}

void tg_proxy_take(struct tg_proxy *proxy, struct tg_mailbox *mailbox,
                   const struct tg_proxy_host *host, void *owner) {
  proxy->mailbox = mailbox;
  proxy->host = host;
  proxy->owner = owner;
  (void)post_home(proxy, &proxy->crossing->taken, proxy->crossing->taken.open);
}

bool tg_proxy_outlives_client(const struct tg_route *route, enum tg_method method) {
  if (route->on_disconnect) return route->on_disconnect == 'f';
  return method != TG_METHOD_GET && method != TG_METHOD_HEAD;
}

bool tg_proxy_wanted(const struct tg_proxy *proxy) {
  if (!proxy->left) return true;
  return proxy->why == TG_EDISCONNECT &&
         tg_proxy_outlives_client(proxy->exchange.route, proxy->exchange.request->method);
}

void tg_proxy_free(struct tg_proxy *proxy) {
  tg_crossing_free_pieces(&proxy->pieces);
  tg_buffer_deinit(&proxy->exchange.body_data);
  tg_buffer_deinit(&proxy->exchange.held);
  tg_arena_reset(&proxy->exchange.arena);
  struct tg_generation *generation = proxy->generation;
  const struct tg_proxy_host *host = proxy->host;
  void *owner = proxy->owner;
  free(proxy);
  tg_generation_release(generation);
  if (host) host->freed(owner);
}
