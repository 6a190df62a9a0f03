/* The idle links of one loop: connections to backends that wait for the next call.
 *
 * One to a loop, made at first use and closed with the loop. A link is given to calls of its very
 * origin only (origin.h), the one that was used last first, so that a pool that is larger than
 * needed shrinks by its idle time. An idle link is read: bytes that nobody asked for, or its end,
 * close it at once. */
#ifndef TG_UPSTREAM_POOL_H
#define TG_UPSTREAM_POOL_H

#include "base/settings.h"
#include "loop/loop.h"
#include "upstream/origin.h"

struct tg_link_pool;

/* The loop's pool; NULL when memory is gone. */
struct tg_link_pool *tg_link_pool_of(struct tg_loop *loop);

/* What its links live by (outbound.*) and names are looked up by (dns.*), from now on. `version`
 * as for tg_resolver_of. Without it the defaults hold. TG_ENOMEM. */
TG_MUST_CHECK tg_status tg_link_pool_configure(struct tg_loop *loop,
                                               const struct tg_settings *settings,
                                               uint64_t version);

/* Closes every idle link of that origin, or with NULL of all: a peer that was removed, a version
 * of the application that has ended. */
void tg_link_pool_clear(struct tg_link_pool *pool, const struct tg_origin *origin);

struct tg_link_pool_stats {
  unsigned idle, busy; /* busy: opening, serving a call, or draining after one */
  uint64_t opened, reused;
};

struct tg_link_pool_stats tg_link_pool_stats(const struct tg_link_pool *pool);

#endif
