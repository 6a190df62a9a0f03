/* A link on its way: the name is looked up, one of its addresses connected to, a tunnel asked of a
 * forward proxy where there is one, TLS agreed on; for upstream/ alone. */
#ifndef TG_UPSTREAM_OPENING_H
#define TG_UPSTREAM_OPENING_H

#include "loop/lookup.h"
#include "net/connector.h"
#include "upstream/link.h"

#define TG_OPENING_ADDRESSES 16

enum tg_opening_stage { TG_OPENING_RESOLVE, TG_OPENING_CONNECT, TG_OPENING_SECURE };

struct tg_opening {
  enum tg_opening_stage stage;
  const char
      *detail; /* static storage, or the opening's: why it failed; NULL: the status says it */
  void *user;
  /* Exactly once, from the loop, unless it is cancelled: the open link, whose user is whoever is
   * called, or an error. Frees nothing: tg_opening_free follows, perhaps in it. */
  void (*done)(struct tg_opening *opening, tg_status status, struct tg_link *link);
  /* Its stage is another; not from within tg_opening_new. */
  void (*moved)(struct tg_opening *opening);
  /* private to opening.c */
  struct tg_loop *loop;
  struct tg_link_pool *pool;
  const struct tg_origin *origin;
  struct tg_lookup lookup;
  struct tg_connector connector;
  struct tg_loop_job later;
  tg_status status;
  struct tg_link *link;
  struct tg_tunnel *tunnel;
  size_t count;
  struct tg_address addresses[TG_OPENING_ADDRESSES];
};

/* Begins; `origin` is borrowed. NULL: no memory. */
struct tg_opening *tg_opening_new(struct tg_link_pool *pool, struct tg_loop *loop,
                                  const struct tg_origin *origin,
                                  void (*done)(struct tg_opening *opening, tg_status status,
                                               struct tg_link *link),
                                  void (*moved)(struct tg_opening *opening), void *user);

/* Gives up what is under way, and frees it. */
void tg_opening_free(struct tg_opening *opening);

#endif
