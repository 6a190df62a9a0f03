/* A group: the peers behind one name of `upstreams`, and who of them is next.
 *
 * One for the whole process, and it stays over reloads: what one loop has learnt of a peer, the
 * next pick of every loop goes by. A request goes through it so:
 *
 *   rules = tg_group_hold_rules(group)            for as long as it lasts
 *   tg_gate_enter(tg_group_gate(group), ...)      a place, maybe after a wait
 *   tg_group_pick(group, &pick, &peer)            counts it on a peer
 *   ... peer->origin ...
 *   tg_peer_end(peer, &outcome)                   exactly once a pick
 *   tg_group_take_retry(group)                    may it be tried again? then pick anew
 *   tg_gate_leave, tg_rules_release
 *
 * Groups live as long as their registry (groups.h), peers as long as somebody holds them. */
#ifndef TG_UPSTREAM_GROUP_H
#define TG_UPSTREAM_GROUP_H

#include "upstream/gate.h"
#include "upstream/peer.h"
#include "upstream/rules.h"

struct tg_group;

/* What a request knows when it asks for a peer, and what it is told. */
struct tg_pick {
  uint64_t hash; /* tg_group_hash of what rules->hash_by names */
  bool has_hash;
  struct tg_slice sticky;       /* value of the cookie rules->sticky_cookie; empty: none */
  struct tg_peer *const *tried; /* held by the caller; not picked again while there are others */
  unsigned tried_count;         /* more than 0: it is a retry */
  /* set by the pick */
  uint32_t turn;        /* for the outcome */
  uint32_t retry_after; /* TG_EOVERLOAD: in so many seconds, at least 1 */
  bool stick;           /* the client's cookie is to say peer->id from now on */
  bool full;            /* TG_EOVERLOAD: each peer has as many requests as it may have */
};

/* TG_OK: *peer is counted and held until tg_peer_end. TG_ENO_PEER: there is none that may be asked;
 * TG_EOVERLOAD: the breaker is open, or all of them are full. Any thread. */
TG_MUST_CHECK tg_status tg_group_pick(struct tg_group *group, struct tg_pick *pick,
                                      struct tg_peer **peer);

/* Takes one retry out of the budget; false: it is used up. */
bool tg_group_take_retry(struct tg_group *group);

/* The rules as they are now; release them after. */
struct tg_rules *tg_group_hold_rules(struct tg_group *group);

struct tg_gate *tg_group_gate(struct tg_group *group);

struct tg_slice tg_group_name(const struct tg_group *group);

/* The hash of a key; the same in every process. */
uint64_t tg_group_hash(struct tg_slice key);

#endif
