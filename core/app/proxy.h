/* The worker's half of a blocking exchange: what a handler there sees as its exchange.
 *
 * It has a request head of its own, a body source, a sink and a port that turn into letters to the
 * loop's half (app/crossing.h). Made on the loop's thread, filled before it is queued, then the
 * worker's alone. It ends when the handler has finished and the loop's goodbye has come. */
#ifndef TG_APP_PROXY_H
#define TG_APP_PROXY_H

#include <stdatomic.h>

#include "app/crossing.h"
#include "server/server.h"

struct tg_proxy;

/* What the worker gives; called on its thread. */
struct tg_proxy_host {
  void (*done)(struct tg_proxy *proxy); /* the handler has finished */
  void (*after)(void *owner);           /* what was left for after the answer begins to run now */
  void (*freed)(void *owner);           /* the goodbye has come, too: the proxy is gone */
};

struct tg_proxy {
  struct tg_exchange exchange;
  struct tg_server server; /* for the request's id only */
  struct tg_crossing *crossing;
  struct tg_mailbox *home;    /* the loop's */
  struct tg_mailbox *mailbox; /* the worker's; NULL before it was taken */
  struct tg_generation *generation;
  struct tg_letter notice; /* the loop drains; posted before `leave`, or never */
  struct tg_letter leave;  /* the loop's goodbye, posted once */
  tg_status why;           /* written before that */
  atomic_bool leaving;     /* and this then: the letter is on its way */
  bool left;               /* it has come: nobody takes answers any more */
  bool finished;
  struct tg_crossing_note *note; /* the loop's where its goodbye is TG_OK, else run here */
  /* body */
  struct tg_list pieces; /* come, and not asked for yet */
  bool body_ended;       /* nothing comes behind body_data and `pieces` */
  /* answer */
  size_t in_flight; /* bytes of pieces at the loop */
  bool begun;
  /* the worker's */
  const struct tg_proxy_host *host;
  void *owner;
};

/* Loop's thread. Holds the generation. NULL when memory is gone. */
struct tg_proxy *tg_proxy_new(struct tg_crossing *crossing, struct tg_generation *generation);

/* Loop's thread: copies what a handler may ask of the original. `streamed`: more of the body will
 * come by pieces than what was put into exchange.body_data. */
TG_MUST_CHECK tg_status tg_proxy_fill(struct tg_proxy *proxy, struct tg_exchange *original,
                                      bool streamed);

/* Worker's thread, once: tells the loop that it has a worker. */
void tg_proxy_take(struct tg_proxy *proxy, struct tg_mailbox *mailbox,
                   const struct tg_proxy_host *host, void *owner);

/* Is there a client for it, or a handler that is to run without one? */
bool tg_proxy_wanted(const struct tg_proxy *proxy);

/* Worker's thread, inside a step of its handler: tells that of a goodbye whose letter was not
 * opened yet. */
void tg_proxy_look(struct tg_proxy *proxy);

/* Must a handler of this route go on when its client is gone? */
bool tg_proxy_outlives_client(const struct tg_route *route, enum tg_method method);

/* Frees it and lets the generation go. Whoever has it. */
void tg_proxy_free(struct tg_proxy *proxy);

/* What the loop's letters do when the worker opens them. */
void tg_proxy_on_notice(struct tg_letter *letter);
void tg_proxy_on_leave(struct tg_letter *letter);
void tg_proxy_on_piece(struct tg_letter *letter);
void tg_proxy_on_piece_back(struct tg_letter *letter);

#endif
