/* See health.h. */
#include "upstream/health.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "upstream/call.h"
#include "upstream/group_state.h"
#include "upstream/opening.h"

struct tg_health {
  struct tg_group *group;
  struct tg_loop *loop;
  struct tg_timer timer;
  struct tg_list checks; /* under way */
};

struct check {
  struct tg_list link;
  struct tg_health *health;
  struct tg_peer *peer;   /* held */
  struct tg_rules *rules; /* held */
  struct tg_timer timer;  /* of a connection alone */
  struct tg_opening *opening;
  struct tg_call_request request;
  struct tg_response_field fields[1];
  struct tg_arena arena;
  bool asking; /* the call has begun */
  struct tg_call call;
};

/* ---- what comes of it ---- */

/* True where its state has changed. */
static bool count(struct tg_group *group, struct tg_peer *peer, const struct tg_rules_health *rules,
                  bool good) {
  peer->checks_good = good ? peer->checks_good + 1 : 0;
  peer->checks_bad = good ? 0 : peer->checks_bad + 1;
  if (peer->sick && peer->checks_good >= rules->rise) {
    peer->sick = false;
    peer->warming = true;
    peer->warm_from = group->clock();
    peer->seat.turn = 0;
    return true;
  }
  if (peer->sick || peer->checks_bad < rules->fall) return false;
  peer->sick = true;
  return true;
}

static void check_free(struct check *check) {
  tg_timer_stop(&check->health->loop->timers, &check->timer);
  if (check->opening) tg_opening_free(check->opening);
  if (check->asking) tg_call_cancel(&check->call);
  tg_arena_reset(&check->arena);
  tg_list_remove(&check->link);
  tg_peer_release(check->peer);
  tg_rules_release(check->rules);
  free(check);
}

static void finish(struct check *check, bool good) {
  struct tg_group *group = check->health->group;
  pthread_mutex_lock(&group->lock);
  bool changed = count(group, check->peer, &check->rules->health, good);
  bool listed = check->peer->listed;
  pthread_mutex_unlock(&group->lock);
  if (changed && listed)
    tg_group_say(group, check->peer, good ? TG_LOG_INFO : TG_LOG_WARN,
                 good ? "a peer is healthy again" : "a peer is down: its health checks fail");
  check_free(check);
}

/* ---- a connection alone ---- */

static void on_time(struct tg_timer *timer) {
  finish(TG_CONTAINER(timer, struct check, timer), false);
}

static void on_open(struct tg_opening *opening, tg_status status, struct tg_link *link) {
  if (status == TG_OK) tg_link_close(link);
  finish(opening->user, status == TG_OK);
}

static void on_moved(struct tg_opening *opening) {
  (void)opening;
}

static tg_status connect_alone(struct check *check) {
  struct tg_loop *loop = check->health->loop;
  struct tg_link_pool *pool = tg_link_pool_of(loop);
  uint64_t due = tg_loop_time(loop) + check->rules->health.timeout;
  if (!pool || tg_timer_start(&loop->timers, &check->timer, due, on_time)) return TG_ENOMEM;
  check->opening = tg_opening_new(pool, loop, &check->peer->origin, on_open, on_moved, check);
  return check->opening ? TG_OK : TG_ENOMEM;
}

/* ---- a request ---- */

static void on_head(struct tg_call *call) {
  struct check *check = call->owner;
  const struct tg_rules_health *rules = &check->rules->health;
  unsigned status = (unsigned)call->reply->status;
  finish(check, status >= rules->status_least && status <= rules->status_most);
}

static void on_failed(struct tg_call *call, tg_status status) {
  (void)status;
  finish(call->owner, false);
}

/* Never: the call is cancelled before. */
static void on_ended(struct tg_call *call) {
  (void)call;
}

static tg_status ask(struct check *check) {
  static const struct tg_call_events events = {
      .head = on_head, .failed = on_failed, .ended = on_ended};
  const struct tg_rules_health *rules = &check->rules->health;
  struct tg_call_limits limits = {.total = rules->timeout};
  struct tg_peer *peer = check->peer;
  check->fields[0] =
      (struct tg_response_field){TG_SLICE("User-Agent"), TG_SLICE("tidegate-health")};
  check->request = (struct tg_call_request){.method = TG_SLICE("GET"),
                                            .target = tg_slice_cstr(rules->path),
                                            .fields = check->fields,
                                            .field_count = 1,
                                            .fresh = true,
                                            .close = true,
                                            .arena = &check->arena};
  if (rules->host[0])
    check->request.authority = tg_slice_cstr(rules->host);
  else if (!tg_slice_starts(peer->authority, TG_SLICE("unix:")))
    check->request.authority = peer->authority;
  check->call.owner = check;
  tg_status status = tg_call_start(&check->call, check->health->loop, &peer->origin,
                                   &check->request, &limits, &events);
  check->asking = status == TG_OK;
  return status;
}

/* ---- rounds ---- */

static bool is_asked(const struct tg_health *health, const struct tg_peer *peer) {
  for (struct tg_list *link = health->checks.next; link != &health->checks; link = link->next)
    if (TG_CONTAINER(link, struct check, link)->peer == peer) return true;
  return false;
}

/* Without memory a peer is not asked this time. Takes over the peer's reference. */
static void check_peer(struct tg_health *health, struct tg_rules *rules, struct tg_peer *peer) {
  struct check *check = is_asked(health, peer) ? NULL : calloc(1, sizeof *check);
  if (!check) {
    tg_peer_release(peer);
    return;
  }
  check->health = health;
  check->peer = peer;
  check->rules = rules;
  tg_rules_hold(rules);
  tg_arena_init(&check->arena, NULL, 0);
  tg_list_append(&health->checks, &check->link);
  if (rules->health.tcp ? connect_alone(check) : ask(check)) check_free(check);
}

static void on_round(struct tg_timer *timer);

static void wait(struct tg_health *health, uint64_t time) {
  /* without memory for the timer it waits for the next reload */
  (void)!tg_timer_start(&health->loop->timers, &health->timer, tg_loop_time(health->loop) + time,
                        on_round);
}

static void on_round(struct tg_timer *timer) {
  struct tg_health *health = TG_CONTAINER(timer, struct tg_health, timer);
  struct tg_group *group = health->group;
  struct tg_rules *rules = tg_group_hold_rules(group);
  pthread_mutex_lock(&group->change); /* so that the list stays */
  struct tg_peer **peers = calloc(group->count + 1, sizeof(struct tg_peer *));
  size_t found = peers ? group->count : 0;
  for (size_t i = 0; i < found; i++) tg_peer_hold(peers[i] = group->peers[i]);
  pthread_mutex_unlock(&group->change);
  wait(health, rules->health.interval);
  for (size_t i = 0; i < found; i++) check_peer(health, rules, peers[i]);
  free(peers);
  tg_rules_release(rules);
}

/* Nobody asks any more: everybody is healthy. */
static void forget(struct tg_group *group) {
  pthread_mutex_lock(&group->lock);
  for (size_t i = 0; i < group->count; i++) {
    struct tg_peer *peer = group->peers[i];
    peer->sick = false;
    peer->checks_good = peer->checks_bad = 0;
  }
  pthread_mutex_unlock(&group->lock);
}

void tg_health_follow(struct tg_group *group, struct tg_loop *home) {
  struct tg_rules *rules = tg_group_hold_rules(group);
  bool wanted = rules->health.interval > 0;
  tg_rules_release(rules);
  if (group->health) {
    tg_timer_stop(&home->timers, &group->health->timer);
    if (wanted) wait(group->health, 0);
    if (wanted) return;
    tg_health_free(group->health);
    group->health = NULL;
    forget(group);
    return;
  }
  if (!wanted) return;
  group->health = calloc(1, sizeof *group->health);
  if (!group->health) return;
  group->health->group = group;
  group->health->loop = home;
  tg_list_init(&group->health->checks);
  wait(group->health, 0);
}

void tg_health_free(struct tg_health *health) {
  if (!health) return;
  tg_timer_stop(&health->loop->timers, &health->timer);
  struct tg_list *link;
  while ((link = tg_list_take_first(&health->checks)))
    check_free(TG_CONTAINER(link, struct check, link));
  free(health);
}
