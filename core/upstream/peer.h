/* One backend of a group: its origin, and what is known of it by all loops at once.
 *
 * A peer is found by tg_group_pick, which counts a request on it and holds it; tg_peer_end takes
 * both back and says how it went. Everything that changes lies under the lock of its group, for a
 * few hundred nanoseconds at a time. A peer that has left its group lives on until its last request
 * has ended. */
#ifndef TG_UPSTREAM_PEER_H
#define TG_UPSTREAM_PEER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"
#include "upstream/balance.h"
#include "upstream/origin.h"
#include "upstream/outlier.h"
#include "upstream/rules.h"

struct tg_group;

#define TG_PEER_ID 16 /* hexadecimal digits */

struct tg_peer {
  /* constant */
  struct tg_origin origin;
  struct tg_slice address;   /* "10.0.0.1:80": where it is */
  struct tg_slice authority; /* "api.internal:80": as it is listed; for Host */
  struct tg_slice zone;
  char id[TG_PEER_ID + 1]; /* what a sticky cookie says */
  uint64_t hash;           /* of the address */
  struct tg_group *group;
  atomic_uint refs;
  /* under the group's lock */
  struct tg_balance_seat seat; /* weight, requests under way, latency */
  struct tg_outlier outlier;
  uint32_t weight, priority, max_requests;
  uint32_t listed_weight; /* what tidegate.lua or the DNS says */
  bool listed;            /* in its group: may be picked */
  bool draining;          /* takes no new request */
  bool sick;              /* a health check says so */
  bool out;               /* ejected, or its return was not seen yet */
  bool warming;           /* its weight grows */
  uint64_t warm_from;
  uint32_t checks_good, checks_bad; /* of its health, one after another */
  uint64_t requests, failures;
};

/* How a request on a peer has ended. */
struct tg_peer_outcome {
  bool given_up;    /* by our side: it says nothing of the peer, and the rest is not looked at */
  bool failed;      /* no whole answer: refused, reset, malformed, too slow */
  int status;       /* of the answer; 0: none came */
  uint64_t latency; /* to the head of the answer; 0: none came */
  uint32_t turn;    /* pick->turn of the pick that began it */
};

/* Exactly once for a pick. Any thread. */
void tg_peer_end(struct tg_peer *peer, const struct tg_peer_outcome *outcome);

static inline void tg_peer_hold(struct tg_peer *peer) {
  atomic_fetch_add_explicit(&peer->refs, 1, memory_order_relaxed);
}
void tg_peer_release(struct tg_peer *peer);

/* A peer held once, in no group yet. `address` is a literal or unix: ("10.0.0.1:80"), `authority`
 * the name that it was listed by. TG_EINVALID; TG_ENOMEM. */
TG_MUST_CHECK tg_status tg_peer_new(struct tg_group *group, const struct tg_rules *rules,
                                    struct tg_slice address, struct tg_slice authority,
                                    struct tg_slice zone, struct tg_peer **peer);

/* Divides "host:port", "[v6]:port" or "unix:/path"; the host has no brackets. TG_EINVALID. */
TG_MUST_CHECK tg_status tg_peer_split(struct tg_slice address, struct tg_slice *host,
                                      uint16_t *port);

#endif
