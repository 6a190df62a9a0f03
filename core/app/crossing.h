/* A blocking exchange on its way between a loop and a worker: the loop's half.
 *
 * The loop keeps the exchange itself, with its connection and its timers. The worker's handler gets
 * a stand-in (app/proxy.h) that holds a copy of the request's head. The halves share no field that
 * changes: they talk by letters, in order, and each frees itself when both have said goodbye. So
 * the client of a worker that is stuck gets its 504, its connection goes on, and a loop can end.
 *
 * A body is collected up to a bound before a worker is asked for, so that a slow sender keeps no
 * worker; what is longer, and every body of a route with stream_body, crosses in pieces. Pieces of
 * both directions are given back when they are used up: that is the credit for more. */
#ifndef TG_APP_CROSSING_H
#define TG_APP_CROSSING_H

#include "app/worker_item.h"
#include "loop/loop.h"
#include "server/exchange.h"

struct tg_crossing;
struct tg_generation;
struct tg_proxy;

/* Bytes of each direction that may be under way between the threads. */
#define TG_CROSSING_WINDOW (256u * 1024)
/* Body bytes that are collected before a worker is asked for. */
#define TG_CROSSING_COLLECT (1024u * 1024)

/* What the pool gives; all are called on the loop's thread. */
struct tg_crossing_ops {
  /* The request is ready for a worker. False: none is free and too many wait. */
  bool (*queue)(struct tg_crossing *crossing);
  /* Takes it out of the queue. False: a worker has it. */
  bool (*withdraw)(struct tg_crossing *crossing);
  /* A worker has it, and the client is told 504: for the log. */
  void (*late)(struct tg_crossing *crossing);
  /* The exchange was given back (after a 503 of ours when `refused`); the crossing touches its
   * owner no more. */
  void (*left)(struct tg_crossing *crossing, bool refused);
};

/* Where the request is, as far as the loop knows. */
enum tg_crossing_place { TG_CROSSING_HERE, TG_CROSSING_QUEUED, TG_CROSSING_TAKEN };

struct tg_crossing {
  struct tg_worker_item item;
  const struct tg_crossing_ops *ops;
  void *owner;
  struct tg_loop *loop;
  struct tg_exchange *original; /* NULL once it was given back */
  struct tg_proxy *proxy;
  enum tg_crossing_place place;
  tg_status why; /* it was given back */
  struct tg_timer wait, deadline;
  uint64_t max_wait;
  struct tg_loop_job job; /* what must not happen inside a callback of the exchange */
  /* request body */
  size_t collect_max;
  size_t body_credit; /* bytes at the worker */
  tg_status body_status;
  bool body_ended;
  bool reading, asking;
  bool lost; /* `gone` came while asking */
  bool told; /* the worker knows that the server drains */
  /* answer: pieces that were written while the client was slow */
  struct tg_list unpaid;
  bool draining;
  /* from the worker; it writes what stands behind a letter before it posts it */
  struct tg_letter taken;
  struct tg_letter ended;
  tg_status end_status;
  struct tg_letter finished;
  struct tg_crossing_note *note;
  struct tg_letter refused; /* from the pool */
};

/* Work after the last byte (exchange->sent), on its way to the loop and back to its worker. */
struct tg_crossing_note {
  struct tg_letter letter;
  struct tg_mailbox *worker;
  void (*sent)(void *owner);
  void *sent_owner;
  void (*begins)(void *owner); /* told to the worker before that */
  void *owner;
};

/* A few bytes of a body, or its end, owned by whoever holds the letter. */
struct tg_crossing_piece {
  struct tg_letter letter;
  struct tg_crossing *crossing;
  struct tg_proxy *proxy;
  size_t cost;      /* what it takes of the window */
  tg_status status; /* request bodies: an error ends it */
  struct tg_field *trailers;
  uint32_t trailer_count;
  size_t len; /* 0: the end, of request bodies */
  char bytes[];
};

/* NULL when memory is gone. */
struct tg_crossing_piece *tg_crossing_piece_new(struct tg_slice bytes);

/* Frees all pieces of a list. */
void tg_crossing_free_pieces(struct tg_list *pieces);

enum tg_crossing_kind { TG_CROSSING_WHOLE, TG_CROSSING_STREAM, TG_CROSSING_UPGRADE };

/* A head, and for whole answers the body, copied from the worker's handler. */
struct tg_crossing_answer {
  struct tg_letter letter;
  struct tg_crossing *crossing;
  struct tg_answer answer;
  enum tg_crossing_kind kind;
  struct tg_response_field fields[];
};

/* Loop's thread: makes both halves and begins to collect the body. False when memory is gone: the
 * exchange was not touched. Afterwards it is answered and finished by the crossing, maybe at once.
 */
bool tg_crossing_start(struct tg_exchange *exchange, struct tg_generation *generation,
                       const struct tg_crossing_ops *ops, void *owner, uint64_t max_wait);

/* Loop's thread: answers 503 with Retry-After. The caller calls finish. */
void tg_crossing_refuse(struct tg_exchange *exchange, uint64_t max_wait);

/* Any thread, for a crossing that was queued and that no worker will take: answers 503 on its loop.
 */
void tg_crossing_turn_away(struct tg_crossing *crossing);

/* What the worker's letters do when the loop opens them. */
void tg_crossing_on_answer(struct tg_letter *letter);
void tg_crossing_on_piece(struct tg_letter *letter);
void tg_crossing_on_piece_back(struct tg_letter *letter);

#endif
