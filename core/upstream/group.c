/* Requests on a group: choosing a peer, and learning from how it went. All of it under the group's
 * lock, without allocation and without calling back. */
#include "upstream/group.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log_record.h"
#include "upstream/group_state.h"

/* The share of its weight that a peer begins with when it warms up. */
#define WARM_LEAST 0.1

/* ---- making ---- */

struct tg_group *tg_group_new(struct tg_slice name, struct tg_log *log, uint64_t (*clock)(void)) {
  struct tg_group *group = calloc(1, sizeof *group + name.len + 1);
  if (!group) return NULL;
  char *copy = (char *)(group + 1);
  memcpy(copy, name.ptr, name.len);
  group->name = tg_slice(copy, name.len);
  group->log = log;
  group->clock = clock ? clock : tg_clock_now;
  group->random = group->clock() | 1;
  TG_CHECK(pthread_mutex_init(&group->change, NULL) == 0);
  TG_CHECK(pthread_mutex_init(&group->lock, NULL) == 0);
  tg_gate_init(&group->gate);
  tg_retry_budget_init(&group->budget);
  return group;
}

void tg_group_free(struct tg_group *group) {
  for (size_t i = 0; i < group->count; i++) tg_peer_release(group->peers[i]);
  free(group->peers), free(group->chosen), free(group->seats);
  for (size_t i = 0; i < group->entry_count; i++) {
    free(group->entries[i]->found);
    free(group->entries[i]);
  }
  free(group->entries);
  if (group->rules) tg_rules_release(group->rules);
  tg_gate_deinit(&group->gate);
  pthread_mutex_destroy(&group->lock);
  pthread_mutex_destroy(&group->change);
  free(group);
}

void tg_group_say_name(const struct tg_group *group, struct tg_slice name, enum tg_log_level level,
                       const char *message) {
  struct tg_log_record record;
  if (!group->log || !tg_log_enabled(group->log, level)) return;
  tg_log_record_begin(&record, group->log, level, tg_slice_cstr(message));
  tg_log_record_text(&record, "upstream", group->name);
  if (name.len) tg_log_record_text(&record, "peer", name);
  tg_log_record_end(&record, group->log);
}

void tg_group_say(const struct tg_group *group, const struct tg_peer *peer, enum tg_log_level level,
                  const char *message) {
  tg_group_say_name(group, peer ? peer->address : TG_SLICE(""), level, message);
}

void tg_group_limit(struct tg_group *group) {
  pthread_mutex_lock(&group->lock);
  const struct tg_rules *rules = group->rules;
  uint32_t limit = rules->max_requests, room = rules->queue;
  if (rules->adaptive.least) {
    uint32_t found = tg_adaptive_limit(&group->adaptive, &rules->adaptive);
    if (!limit || found < limit) limit = found;
  }
  pthread_mutex_unlock(&group->lock);
  tg_gate_set(&group->gate, limit, room);
}

struct tg_gate *tg_group_gate(struct tg_group *group) {
  return &group->gate;
}

struct tg_slice tg_group_name(const struct tg_group *group) {
  return group->name;
}

struct tg_rules *tg_group_hold_rules(struct tg_group *group) {
  pthread_mutex_lock(&group->lock);
  struct tg_rules *rules = group->rules;
  tg_rules_hold(rules);
  pthread_mutex_unlock(&group->lock);
  return rules;
}

uint64_t tg_group_hash(struct tg_slice key) {
  /* Not secret: every process is to send a key to the same peer. */
  static const struct tg_hash_seed seed = {{0x746964656761746full, 0x7570737472656164ull}};
  return tg_hash(&seed, key);
}

/* ---- who may be picked ---- */

enum fitness {
  FIT,
  TRIED,   /* by this request */
  EJECTED, /* taken where there is nobody else */
  FULL,
  UNFIT,
};

static bool was_tried(const struct tg_pick *pick, const struct tg_peer *peer) {
  for (unsigned i = 0; i < pick->tried_count; i++)
    if (pick->tried[i] == peer) return true;
  return false;
}

/* Its time is over: it comes back slowly. */
static void see_return(struct tg_group *group, struct tg_peer *peer) {
  peer->out = false;
  peer->warming = true;
  peer->warm_from = peer->outlier.until;
  peer->seat.turn = 0;
  tg_group_say(group, peer, TG_LOG_INFO, "an ejected peer is back");
}

static enum fitness judge(struct tg_group *group, const struct tg_pick *pick, struct tg_peer *peer,
                          uint64_t now) {
  if (peer->draining || peer->sick) return UNFIT;
  if (peer->max_requests && peer->seat.active >= peer->max_requests) return FULL;
  if (peer->out && !tg_outlier_out(&peer->outlier, now)) see_return(group, peer);
  if (peer->out) return EJECTED;
  return was_tried(pick, peer) ? TRIED : FIT;
}

static void weigh(struct tg_peer *peer, const struct tg_rules *rules, uint64_t now) {
  double share = 1;
  if (peer->warming) {
    uint64_t age = now > peer->warm_from ? now - peer->warm_from : 0;
    peer->warming = age < rules->slow_start;
    if (peer->warming) share = (double)age / (double)rules->slow_start;
    if (share < WARM_LEAST) share = WARM_LEAST;
  }
  peer->seat.weight = (int64_t)((double)peer->weight * TG_BALANCE_UNIT * share);
}

static bool is_near(const struct tg_rules *rules, const struct tg_peer *peer) {
  return rules->zone[0] && tg_slice_eq(peer->zone, tg_slice_cstr(rules->zone));
}

/* Is `a` in a better place than `b`: of lower priority number, and then in our zone? */
static int compare_places(const struct tg_rules *rules, const struct tg_peer *a,
                          const struct tg_peer *b) {
  if (a->priority != b->priority) return a->priority < b->priority ? -1 : 1;
  return (int)is_near(rules, b) - (int)is_near(rules, a);
}

/* Gathers the peers to choose from: the fittest there are, and of them those in the best place. */
static size_t gather(struct tg_group *group, const struct tg_pick *pick, uint64_t now,
                     enum fitness *best) {
  const struct tg_rules *rules = group->rules;
  size_t found = 0;
  *best = UNFIT;
  for (size_t i = 0; i < group->count; i++) {
    struct tg_peer *peer = group->peers[i];
    enum fitness fitness = judge(group, pick, peer, now);
    if (fitness > *best || fitness == UNFIT) continue;
    int order = fitness < *best ? -1 : compare_places(rules, peer, group->chosen[0]);
    if (order > 0) continue;
    if (order < 0) found = 0;
    *best = fitness;
    weigh(peer, rules, now);
    group->chosen[found] = peer;
    group->seats[found++] = &peer->seat;
  }
  return found;
}

/* ---- the choice ---- */

static size_t find_sticky(const struct tg_group *group, const struct tg_pick *pick, size_t count) {
  if (pick->sticky.len != TG_PEER_ID || !group->rules->sticky_cookie[0]) return SIZE_MAX;
  for (size_t i = 0; i < count; i++)
    if (memcmp(group->chosen[i]->id, pick->sticky.ptr, TG_PEER_ID) == 0) return i;
  return SIZE_MAX;
}

static size_t choose(struct tg_group *group, struct tg_pick *pick, size_t count, uint64_t now) {
  size_t place = find_sticky(group, pick, count);
  pick->stick = place == SIZE_MAX && group->rules->sticky_cookie[0];
  if (place != SIZE_MAX) return place;
  if (count == 1) return 0;
  switch (group->rules->balance) {
    case TG_BALANCE_LEAST_REQUESTS: return tg_balance_least_requests(group->seats, count);
    case TG_BALANCE_EWMA: return tg_balance_ewma(group->seats, count, now, &group->random);
    case TG_BALANCE_RANDOM: return tg_balance_weighted(group->seats, count, &group->random);
    case TG_BALANCE_HASH:
      if (pick->has_hash) return tg_balance_rendezvous(group->seats, count, pick->hash);
      return tg_balance_weighted(group->seats, count, &group->random);
    case TG_BALANCE_ROUND_ROBIN: break;
  }
  return tg_balance_round_robin(group->seats, count);
}

static tg_status pick_locked(struct tg_group *group, struct tg_pick *pick, struct tg_peer **peer) {
  uint64_t now = group->clock(), wait = 0;
  enum fitness best;
  pick->retry_after = 1;
  size_t count = gather(group, pick, now, &best);
  if (!count) return TG_ENO_PEER;
  pick->full = best == FULL;
  if (pick->full) return TG_EOVERLOAD;
  if (!tg_breaker_pass(&group->breaker, &group->rules->breaker, now, &pick->turn, &wait)) {
    pick->retry_after = (uint32_t)((wait + TG_SECOND - 1) / TG_SECOND);
    if (!pick->retry_after) pick->retry_after = 1;
    return TG_EOVERLOAD;
  }
  *peer = group->chosen[choose(group, pick, count, now)];
  return TG_OK;
}

tg_status tg_group_pick(struct tg_group *group, struct tg_pick *pick, struct tg_peer **peer) {
  *peer = NULL;
  pthread_mutex_lock(&group->lock);
  tg_status status = pick_locked(group, pick, peer);
  if (status == TG_OK) {
    tg_peer_hold(*peer);
    (*peer)->seat.active++;
    group->active++;
    (*peer)->requests++;
    group->requests++;
    if (!pick->tried_count) tg_retry_budget_deposit(&group->budget, group->rules->retry_budget);
  } else {
    group->refused++;
  }
  pthread_mutex_unlock(&group->lock);
  return status;
}

bool tg_group_take_retry(struct tg_group *group) {
  pthread_mutex_lock(&group->lock);
  bool taken = tg_retry_budget_take(&group->budget);
  group->retries += taken;
  pthread_mutex_unlock(&group->lock);
  return taken;
}

/* ---- the outcome ---- */

/* These say that what is behind the peer does not work; 500 may be one route's bug. */
static bool is_failure(const struct tg_peer_outcome *outcome) {
  return outcome->failed || outcome->status == 502 || outcome->status == 503 ||
         outcome->status == 504;
}

/* A peer that fails fast must not look fast. */
static void take_latency(struct tg_peer *peer, const struct tg_peer_outcome *outcome, bool failed,
                         uint64_t now) {
  uint64_t latency = outcome->latency;
  double worse = 2 * tg_balance_latency(&peer->seat, now);
  if (worse < (double)TG_SECOND) worse = (double)TG_SECOND;
  if (failed && (double)latency < worse) latency = (uint64_t)worse;
  if (latency) tg_balance_sample(&peer->seat, latency, now);
}

struct news {
  bool ejected, breaker, limit;
  enum tg_breaker_state state;
};

static void learn(struct tg_group *group, struct tg_peer *peer,
                  const struct tg_peer_outcome *outcome, struct news *news) {
  const struct tg_rules *rules = group->rules;
  const struct tg_rules_outlier *outlier = &rules->outlier;
  uint64_t now = group->clock();
  bool failed = is_failure(outcome);
  take_latency(peer, outcome, failed, now);
  peer->failures += failed;
  group->failures += failed;
  news->ejected = tg_outlier_note(&peer->outlier, failed, outlier->failures, outlier->eject,
                                  outlier->most, now);
  if (news->ejected) peer->out = true;
  news->breaker = tg_breaker_note(&group->breaker, &rules->breaker, outcome->turn, failed, now);
  news->state = group->breaker.state;
  if (rules->adaptive.least)
    news->limit = tg_adaptive_note(&group->adaptive, &rules->adaptive, outcome->latency, failed,
                                   group->active, now);
}

static void tell(const struct tg_group *group, const struct tg_peer *peer,
                 const struct news *news) {
  if (news->ejected) tg_group_say(group, peer, TG_LOG_WARN, "a peer is ejected: it fails");
  if (!news->breaker) return;
  if (news->state == TG_BREAKER_OPEN)
    tg_group_say(group, NULL, TG_LOG_WARN, "the breaker is open: too many requests fail");
  else
    tg_group_say(group, NULL, TG_LOG_INFO, "the breaker is closed again");
}

void tg_peer_end(struct tg_peer *peer, const struct tg_peer_outcome *outcome) {
  struct tg_group *group = peer->group;
  struct news news = {0};
  pthread_mutex_lock(&group->lock);
  TG_CHECK(peer->seat.active);
  peer->seat.active--;
  if (outcome->given_up)
    tg_breaker_forget(&group->breaker, outcome->turn);
  else
    learn(group, peer, outcome, &news);
  group->active--;
  pthread_mutex_unlock(&group->lock);
  if (news.limit) tg_group_limit(group);
  tell(group, peer, &news);
  tg_peer_release(peer);
}
