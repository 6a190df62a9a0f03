/* The inside of a group, for the files of this folder that work on it: group.c (requests), roster.c
 * (who is in it), report.c (what is shown of it), groups.c (all of them).
 *
 * Two locks: `change` for whoever changes the list of peers, for as long as that takes; `lock`,
 * which is taken inside of it, for a look at the state, never longer. */
#ifndef TG_UPSTREAM_GROUP_STATE_H
#define TG_UPSTREAM_GROUP_STATE_H

#include <pthread.h>

#include "base/log.h"
#include "upstream/adaptive.h"
#include "upstream/breaker.h"
#include "upstream/group.h"
#include "upstream/retry_budget.h"
#include "upstream/roster.h"

struct tg_health;

/* Requests that are mirrored to the group (mirror.h), over all loops. */
struct tg_group_mirrors {
  atomic_uint active;
  atomic_uint_fast64_t bytes; /* of their bodies */
  atomic_uint_fast64_t sent, dropped;
};

struct tg_group {
  struct tg_slice name;
  struct tg_log *log; /* may be NULL */
  struct tg_gate gate;
  struct tg_group_mirrors mirrors;
  uint64_t since, until; /* numbers of generations: the first that has it, the first that has not */
  uint64_t (*clock)(void);
  struct tg_groups *groups; /* its registry: where names are looked up from; may be NULL */
  pthread_mutex_t change;
  struct tg_health *health;         /* the home thread's; NULL: peers are not asked */
  struct tg_roster_entry **entries; /* under `change` */
  size_t entry_count;
  pthread_mutex_t lock;
  /* under `lock` */
  struct tg_rules *rules;
  struct tg_peer **peers; /* each held */
  size_t count;
  struct tg_peer **chosen;        /* room for `count` of them, for a pick */
  struct tg_balance_seat **seats; /* the same */
  uint64_t random;
  struct tg_breaker breaker;
  struct tg_adaptive adaptive;
  uint32_t active; /* requests on all peers */
  struct tg_retry_budget budget;
  uint64_t requests, failures, retries, refused; /* refused: no peer, or the breaker was open */
};

/* Nothing in it yet. NULL: no memory. */
struct tg_group *tg_group_new(struct tg_slice name, struct tg_log *log, uint64_t (*clock)(void));
void tg_group_free(struct tg_group *group);

/* The gate's limits are what the rules, and the latency, say now. */
void tg_group_limit(struct tg_group *group);

/* One line about a peer (may be NULL). */
void tg_group_say(const struct tg_group *group, const struct tg_peer *peer, enum tg_log_level level,
                  const char *message);

/* The same about a place that is no peer. */
void tg_group_say_name(const struct tg_group *group, struct tg_slice name, enum tg_log_level level,
                       const char *message);

#endif
