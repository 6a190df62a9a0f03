/* A connection to the first of several addresses that takes one (RFC 8305, "happy eyeballs").
 *
 * Attempts begin in the order given, each when the one before has failed or 250 ms after it, and
 * the first that is connected wins; the others are closed. */
#ifndef TG_NET_CONNECTOR_H
#define TG_NET_CONNECTOR_H

#include "base/list.h"
#include "loop/loop.h"
#include "net/address.h"

struct tg_connector {
  struct tg_loop *loop;
  /* Exactly once, from the loop, unless it is cancelled: the connected descriptor, which is the
   * callee's, or an error. The connector may go in it. */
  void (*done)(struct tg_connector *connector, tg_status status, int fd);
  /* private to connector.c */
  const struct tg_address *addresses, *own;
  size_t count, next;
  struct tg_timer stagger;
  struct tg_loop_job later;
  struct tg_list attempts; /* under way */
  tg_status status;        /* of those that failed: what says most */
  int fd;
};

/* Begins. `own` is what our end is bound to, except towards a unix socket; NULL: whatever the
 * kernel takes. The addresses are borrowed until the end. */
void tg_connector_start(struct tg_connector *connector, struct tg_loop *loop,
                        const struct tg_address *addresses, size_t count,
                        const struct tg_address *own,
                        void (*done)(struct tg_connector *connector, tg_status status, int fd));

/* `done` will not be called. Harmless after the end. */
void tg_connector_cancel(struct tg_connector *connector);

#endif
