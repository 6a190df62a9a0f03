/* The loop's half: collects the body, waits for a worker, then applies what its letters say.
 *
 * Callbacks of an exchange may come from the middle of the connection's own work, where giving the
 * exchange back would pull it from under that: there only a job is posted. */
#include "app/crossing.h"

#include <stdio.h>
#include <stdlib.h>

#include "app/proxy.h"
#include "base/check.h"

/* ---- giving the exchange back ---- */

void tg_crossing_free_pieces(struct tg_list *pieces) {
  struct tg_list *link = pieces->next;
  while (link != pieces) {
    struct tg_list *next = link->next;
    free(TG_CONTAINER(link, struct tg_crossing_piece, letter.link));
    link = next;
  }
  tg_list_init(pieces);
}

static void say_goodbye(struct tg_crossing *crossing) {
  crossing->proxy->why = crossing->why;
  atomic_store(&crossing->proxy->leaving, true);
  /* A worker lives until it has all goodbyes. */
  TG_CHECK(tg_mailbox_post(crossing->proxy->mailbox, &crossing->proxy->leave) == TG_OK);
}

static void drop(struct tg_crossing *crossing) {
  tg_proxy_free(crossing->proxy);
  free(crossing);
}

static void post_note(void *owner) {
  struct tg_crossing_note *note = owner;
  TG_CHECK(tg_mailbox_post(note->worker, &note->letter) == TG_OK);
}

/* The exchange was answered, or nobody wants an answer: it goes back now, whatever the worker does.
 * The crossing stays until the worker has finished, or goes with it where there is no worker. */
static void leave(struct tg_crossing *crossing, tg_status why, bool refused) {
  struct tg_exchange *exchange = crossing->original;
  struct tg_timers *timers = &crossing->loop->timers;
  bool runs_on = why == TG_EDISCONNECT && crossing->place == TG_CROSSING_QUEUED &&
                 tg_proxy_outlives_client(exchange->route, exchange->request->method);
  crossing->original = NULL;
  crossing->why = why;
  tg_timer_stop(timers, &crossing->wait);
  tg_timer_stop(timers, &crossing->deadline);
  tg_loop_job_remove(&crossing->job);
  if (crossing->reading) exchange->body.cancel(&exchange->body);
  if (crossing->draining) exchange->sink.cancel(&exchange->sink);
  crossing->reading = crossing->draining = false;
  tg_crossing_free_pieces(&crossing->unpaid);
  if (crossing->place == TG_CROSSING_QUEUED && !runs_on && crossing->ops->withdraw(crossing))
    crossing->place = TG_CROSSING_HERE;
  exchange->gone = NULL;
  exchange->port->finish(exchange);
  crossing->ops->left(crossing, refused);
  if (crossing->place == TG_CROSSING_HERE)
    drop(crossing);
  else if (crossing->place == TG_CROSSING_TAKEN)
    say_goodbye(crossing);
}

void tg_crossing_refuse(struct tg_exchange *exchange, uint64_t max_wait) {
  char text[24];
  uint64_t seconds = (max_wait + TG_SECOND - 1) / TG_SECOND;
  struct tg_response_field retry = {TG_SLICE("Retry-After"), {text, 0}};
  retry.value.len =
      (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)(seconds ? seconds : 1));
  tg_exchange_problem(exchange, 503, TG_SLICE("all workers are busy"), &retry, 1);
}

static void refuse(struct tg_crossing *crossing) {
  tg_crossing_refuse(crossing->original, crossing->max_wait);
  leave(crossing, TG_EOVERLOAD, true);
}

static void on_refused(struct tg_letter *letter) {
  struct tg_crossing *crossing = TG_CONTAINER(letter, struct tg_crossing, refused);
  crossing->place = TG_CROSSING_HERE;
  if (crossing->original)
    refuse(crossing);
  else
    drop(crossing);
}

void tg_crossing_turn_away(struct tg_crossing *crossing) {
  /* A loop that is closing has no exchanges left; the memory ends with the process. */
  (void)!tg_mailbox_post(&crossing->loop->mailbox, &crossing->refused);
}

static void on_gone(struct tg_exchange *exchange, tg_status why) {
  struct tg_crossing *crossing = exchange->handler;
  if (why == TG_ERESTART) {
    if (!crossing->told)
      TG_CHECK(tg_mailbox_post(crossing->proxy->mailbox, &crossing->proxy->notice) == TG_OK);
    crossing->told = true;
  } else if (crossing->asking) {
    crossing->lost = true;
    crossing->why = why;
  } else {
    leave(crossing, why, false);
  }
}

static void on_deadline(struct tg_timer *timer) {
  struct tg_crossing *crossing = TG_CONTAINER(timer, struct tg_crossing, deadline);
  if (crossing->place == TG_CROSSING_TAKEN) crossing->ops->late(crossing);
  tg_exchange_problem(crossing->original, 504, TG_SLICE("the handler did not answer in time"), NULL,
                      0);
  leave(crossing, TG_ETIMEOUT, false);
}

static void on_wait_over(struct tg_timer *timer) {
  struct tg_crossing *crossing = TG_CONTAINER(timer, struct tg_crossing, wait);
  if (!crossing->ops->withdraw(crossing)) return; /* a worker has it, its letter is on the way */
  crossing->place = TG_CROSSING_HERE;
  refuse(crossing);
}

/* ---- request body ---- */

struct tg_crossing_piece *tg_crossing_piece_new(struct tg_slice bytes) {
  struct tg_crossing_piece *piece = malloc(sizeof *piece + bytes.len);
  if (!piece) return NULL;
  *piece = (struct tg_crossing_piece){.len = bytes.len};
  piece->cost = sizeof *piece + bytes.len;
  tg_list_init(&piece->letter.link);
  if (bytes.len) memcpy(piece->bytes, bytes.ptr, bytes.len);
  return piece;
}

/* The end with the trailers: a table and its text in the piece's bytes, with len 0 all the same. */
static struct tg_crossing_piece *new_end(const struct tg_request *request, tg_status status) {
  uint32_t count = status ? 0 : request->trailer_count;
  size_t total = count * sizeof(struct tg_field);
  for (uint32_t i = 0; i < count; i++)
    total += request->trailers[i].name.len + request->trailers[i].value.len;
  struct tg_crossing_piece *piece = malloc(sizeof *piece + total);
  if (!piece) return NULL;
  *piece = (struct tg_crossing_piece){.cost = sizeof *piece, .status = status};
  piece->trailers = (struct tg_field *)(void *)(piece + 1);
  piece->trailer_count = count;
  tg_list_init(&piece->letter.link);
  char *at = (char *)(piece->trailers + count);
  for (uint32_t i = 0; i < count; i++) {
    struct tg_field field = request->trailers[i];
    field.name.ptr = memcpy(at, field.name.ptr, field.name.len);
    at += field.name.len;
    if (field.value.len) field.value.ptr = memcpy(at, field.value.ptr, field.value.len);
    at += field.value.len;
    piece->trailers[i] = field;
  }
  return piece;
}

static tg_status send_piece(struct tg_crossing *crossing, tg_status status, struct tg_slice bytes) {
  struct tg_crossing_piece *piece = status == TG_OK && bytes.len
                                        ? tg_crossing_piece_new(bytes)
                                        : new_end(crossing->original->request, status);
  if (!piece) return TG_ENOMEM;
  piece->crossing = crossing;
  piece->proxy = crossing->proxy;
  piece->letter.open = tg_proxy_on_piece;
  crossing->body_credit += piece->cost;
  TG_CHECK(tg_mailbox_post(crossing->proxy->mailbox, &piece->letter) == TG_OK);
  return TG_OK;
}

static void ask(struct tg_crossing *crossing);

/* A piece of the body, for the collection or for the worker. What follows from it is a job. */
static void on_bytes(void *owner, tg_status status, struct tg_slice bytes) {
  struct tg_crossing *crossing = owner;
  crossing->reading = false;
  bool ended = status || !bytes.len;
  if (crossing->place == TG_CROSSING_TAKEN)
    status = send_piece(crossing, status, bytes) ? TG_ENOMEM : TG_OK;
  else if (!ended)
    status = tg_buffer_append(&crossing->proxy->exchange.body_data, bytes.ptr, bytes.len);
  crossing->body_ended = ended || status;
  crossing->body_status = status;
  if (crossing->asking) return;
  if (status || crossing->place == TG_CROSSING_HERE)
    tg_loop_post(crossing->loop, &crossing->job);
  else
    ask(crossing);
}

static bool wants_more(const struct tg_crossing *crossing) {
  if (crossing->body_ended || crossing->reading || crossing->lost) return false;
  switch (crossing->place) {
    case TG_CROSSING_HERE:
      return tg_buffer_size(&crossing->proxy->exchange.body_data) < crossing->collect_max;
    case TG_CROSSING_QUEUED: return false;
    case TG_CROSSING_TAKEN: return crossing->body_credit < TG_CROSSING_WINDOW;
  }
  return false;
}

/* Reads until the answer does not come at once. The exchange may be lost by what is read. */
static void ask(struct tg_crossing *crossing) {
  struct tg_exchange *exchange = crossing->original;
  crossing->asking = true;
  while (wants_more(crossing)) {
    crossing->reading = true;
    exchange->body.read(&exchange->body, on_bytes, crossing);
  }
  crossing->asking = false;
}

static void enqueue(struct tg_crossing *crossing) {
  struct tg_timers *timers = &crossing->loop->timers;
  bool streamed = !crossing->body_ended;
  uint64_t due = tg_clock_now() + crossing->max_wait;
  if (tg_proxy_fill(crossing->proxy, crossing->original, streamed) ||
      tg_timer_start(timers, &crossing->wait, due, on_wait_over)) {
    refuse(crossing);
    return;
  }
  crossing->place = TG_CROSSING_QUEUED;
  if (crossing->ops->queue(crossing)) return;
  crossing->place = TG_CROSSING_HERE;
  refuse(crossing);
}

/* After asking, outside of any callback of the exchange. */
static void go_on(struct tg_crossing *crossing) {
  if (crossing->lost) {
    leave(crossing, crossing->why, false);
  } else if (crossing->body_ended && crossing->body_status) {
    /* Of a body that broke off, the connection has told the client; else memory is gone. */
    if (!crossing->original->answer_done)
      tg_exchange_problem(crossing->original, tg_status_http(crossing->body_status),
                          tg_slice(NULL, 0), NULL, 0);
    leave(crossing, crossing->body_status, false);
  } else if (crossing->place == TG_CROSSING_HERE && !wants_more(crossing) && !crossing->reading) {
    enqueue(crossing);
  }
}

static void on_job(struct tg_loop_job *job) {
  struct tg_crossing *crossing = TG_CONTAINER(job, struct tg_crossing, job);
  ask(crossing);
  go_on(crossing);
}

void tg_crossing_on_piece_back(struct tg_letter *letter) {
  struct tg_crossing_piece *piece = TG_CONTAINER(letter, struct tg_crossing_piece, letter);
  struct tg_crossing *crossing = piece->crossing;
  crossing->body_credit -= piece->cost;
  free(piece);
  if (!crossing->original) return;
  ask(crossing);
  go_on(crossing);
}

/* ---- the worker's letters ---- */

static void on_taken(struct tg_letter *letter) {
  struct tg_crossing *crossing = TG_CONTAINER(letter, struct tg_crossing, taken);
  crossing->place = TG_CROSSING_TAKEN;
  tg_timer_stop(&crossing->loop->timers, &crossing->wait);
  if (!crossing->original) {
    say_goodbye(crossing);
    return;
  }
  ask(crossing);
  go_on(crossing);
}

/* The worker reads what the client sends by the same pieces as a body. */
static tg_status upgrade(struct tg_crossing *crossing, const struct tg_answer *answer) {
  struct tg_exchange *exchange = crossing->original;
  tg_status status = exchange->port->upgrade(exchange, answer);
  if (status) return status;
  crossing->body_ended = false;
  crossing->body_status = TG_OK;
  tg_loop_post(crossing->loop, &crossing->job);
  return TG_OK;
}

void tg_crossing_on_answer(struct tg_letter *letter) {
  struct tg_crossing_answer *copy = TG_CONTAINER(letter, struct tg_crossing_answer, letter);
  struct tg_crossing *crossing = copy->crossing;
  struct tg_exchange *exchange = crossing->original;
  if (exchange) {
    tg_timer_stop(&crossing->loop->timers, &crossing->deadline);
    tg_status status;
    if (!exchange->head_sent) tg_buffer_clear(&exchange->held);
    if (copy->kind == TG_CROSSING_WHOLE)
      status = exchange->port->respond(exchange, &copy->answer);
    else if (copy->kind == TG_CROSSING_STREAM)
      status = exchange->port->begin(exchange, &copy->answer);
    else
      status = upgrade(crossing, &copy->answer);
    if (status == TG_EOVERLOAD) {
      tg_crossing_refuse(exchange, crossing->max_wait);
      leave(crossing, status, true);
    } else if (status == TG_ENOMEM) {
      tg_exchange_problem(exchange, 500, tg_slice(NULL, 0), NULL, 0);
    } else if (status == TG_ECONFLICT) {
      /* A keepalive has sent the head meanwhile, and the handler has failed. */
      exchange->port->end(exchange, TG_ESCRIPT);
    }
  }
  free(copy);
}

static void pay(struct tg_crossing_piece *piece) {
  piece->letter.open = tg_proxy_on_piece_back;
  TG_CHECK(tg_mailbox_post(piece->proxy->mailbox, &piece->letter) == TG_OK);
}

static void on_room(void *owner, tg_status status) {
  struct tg_crossing *crossing = owner;
  struct tg_list *link;
  crossing->draining = false;
  if (status) return; /* `gone` follows */
  while ((link = tg_list_take_first(&crossing->unpaid)))
    pay(TG_CONTAINER(link, struct tg_crossing_piece, letter.link));
}

/* Every piece is written at once: the window bounds what that can be. Paying waits for room. */
void tg_crossing_on_piece(struct tg_letter *letter) {
  struct tg_crossing_piece *piece = TG_CONTAINER(letter, struct tg_crossing_piece, letter);
  struct tg_crossing *crossing = piece->crossing;
  struct tg_exchange *exchange = crossing->original;
  if (!exchange) {
    free(piece);
    return;
  }
  tg_status status = exchange->sink.write(&exchange->sink, tg_slice(piece->bytes, piece->len));
  if (status == TG_OK) {
    pay(piece);
  } else if (status == TG_EAGAIN) {
    tg_list_append(&crossing->unpaid, &piece->letter.link);
    if (crossing->draining) return;
    crossing->draining = true;
    exchange->sink.drained(&exchange->sink, on_room, crossing);
  } else {
    free(piece);
    exchange->port->end(exchange, status);
    leave(crossing, status, false);
  }
}

static void on_ended(struct tg_letter *letter) {
  struct tg_crossing *crossing = TG_CONTAINER(letter, struct tg_crossing, ended);
  if (crossing->original) crossing->original->port->end(crossing->original, crossing->end_status);
}

static void on_finished(struct tg_letter *letter) {
  struct tg_crossing *crossing = TG_CONTAINER(letter, struct tg_crossing, finished);
  struct tg_crossing_note *note = crossing->note;
  struct tg_exchange *exchange = crossing->original;
  if (exchange && note) {
    exchange->sent = post_note;
    exchange->sent_owner = note;
  }
  if (exchange) leave(crossing, TG_OK, false); /* else the worker has the note */
  free(crossing);
}

/* ---- the start ---- */

static struct tg_crossing *new_crossing(struct tg_exchange *exchange,
                                        struct tg_generation *generation) {
  struct tg_crossing *crossing = calloc(1, sizeof *crossing);
  if (!crossing) return NULL;
  crossing->loop = exchange->server->loop;
  crossing->original = exchange;
  crossing->place = TG_CROSSING_HERE;
  crossing->body_ended = !exchange->request->has_body;
  crossing->collect_max = exchange->route->stream_body ? 0 : TG_CROSSING_COLLECT;
  tg_list_init(&crossing->item.link);
  tg_list_init(&crossing->unpaid);
  tg_loop_job_init(&crossing->job, on_job);
  crossing->taken = (struct tg_letter){.open = on_taken};
  crossing->ended = (struct tg_letter){.open = on_ended};
  crossing->finished = (struct tg_letter){.open = on_finished};
  crossing->refused = (struct tg_letter){.open = on_refused};
  crossing->proxy = tg_proxy_new(crossing, generation);
  if (crossing->proxy) return crossing;
  free(crossing);
  return NULL;
}

bool tg_crossing_start(struct tg_exchange *exchange, struct tg_generation *generation,
                       const struct tg_crossing_ops *ops, void *owner, uint64_t max_wait) {
  struct tg_crossing *crossing = new_crossing(exchange, generation);
  if (!crossing) return false;
  crossing->ops = ops;
  crossing->owner = owner;
  crossing->max_wait = max_wait;
  uint64_t due = exchange->started + exchange->route->timeout;
  if (tg_timer_start(&crossing->loop->timers, &crossing->deadline, due, on_deadline)) {
    drop(crossing);
    return false;
  }
  exchange->handler = crossing;
  exchange->gone = on_gone;
  ask(crossing);
  go_on(crossing);
  return true;
}
