/* See report.h. What is read under the lock is copied, and written down outside of it. */
#include "upstream/report.h"

#include <stdlib.h>

#include "base/clock.h"
#include "upstream/group_state.h"

static const char *state_of(const struct tg_peer *peer, uint64_t slow_start, uint64_t now) {
  if (peer->draining) return "draining";
  if (peer->sick) return "down";
  if (peer->out && tg_outlier_out(&peer->outlier, now)) return "ejected";
  if ((peer->out || peer->warming) && slow_start) return "warming";
  return "up";
}

static void write_peer(const struct tg_group *group, struct tg_peer *peer, uint64_t now,
                       struct tg_peer_report *out) {
  tg_peer_hold(peer);
  *out = (struct tg_peer_report){
      .peer = peer,
      .state = state_of(peer, group->rules->slow_start, now),
      .weight = peer->weight,
      .priority = peer->priority,
      .max_requests = peer->max_requests,
      .active = peer->seat.active,
      .requests = peer->requests,
      .failures = peer->failures,
      .latency = tg_balance_latency(&peer->seat, now) / 1e9,
      .row = peer->outlier.failures,
  };
  if (tg_outlier_out(&peer->outlier, now))
    out->ejected_for = (double)(peer->outlier.until - now) / 1e9;
}

static void write_gate(struct tg_group *group, struct tg_group_report *report) {
  pthread_mutex_lock(&group->gate.lock);
  report->active = group->gate.inside;
  report->waiting = group->gate.waiting;
  report->limit = group->gate.limit;
  report->refused += group->gate.refused;
  pthread_mutex_unlock(&group->gate.lock);
}

tg_status tg_group_report(struct tg_group *group, struct tg_group_report *report) {
  static const char *const breakers[] = {"closed", "open", "half_open"};
  *report = (struct tg_group_report){0};
  pthread_mutex_lock(&group->change); /* so that the list stays as long as it is now */
  report->peers = calloc(group->count + 1, sizeof *report->peers);
  if (!report->peers) {
    pthread_mutex_unlock(&group->change);
    return TG_ENOMEM;
  }
  pthread_mutex_lock(&group->lock);
  uint64_t now = group->clock();
  for (size_t i = 0; i < group->count; i++)
    write_peer(group, group->peers[i], now, &report->peers[report->count++]);
  report->breaker = breakers[group->breaker.state];
  report->requests = group->requests;
  report->failures = group->failures;
  report->retries = group->retries;
  report->refused = group->refused;
  pthread_mutex_unlock(&group->lock);
  pthread_mutex_unlock(&group->change);
  report->mirrored = atomic_load(&group->mirrors.sent);
  report->unmirrored = atomic_load(&group->mirrors.dropped);
  write_gate(group, report);
  return TG_OK;
}

void tg_group_report_deinit(struct tg_group_report *report) {
  for (size_t i = 0; i < report->count; i++) tg_peer_release(report->peers[i].peer);
  free(report->peers);
}
