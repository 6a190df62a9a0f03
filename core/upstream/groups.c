/* See groups.h. */
#include "upstream/groups.h"

#include <stdlib.h>

#include "base/check.h"
#include "upstream/group_state.h"
#include "upstream/roster.h"

struct tg_groups {
  pthread_mutex_t lock; /* of the list, and of since and until of each */
  struct tg_log *log;
  struct tg_group **list; /* in order of names */
  size_t count;
};

struct tg_groups *tg_groups_new(struct tg_log *log) {
  struct tg_groups *groups = calloc(1, sizeof *groups);
  if (!groups) return NULL;
  groups->list = calloc(TG_GROUPS_MAX, sizeof(struct tg_group *));
  if (!groups->list) {
    free(groups);
    return NULL;
  }
  groups->log = log;
  TG_CHECK(pthread_mutex_init(&groups->lock, NULL) == 0);
  return groups;
}

void tg_groups_free(struct tg_groups *groups) {
  if (!groups) return;
  for (size_t i = 0; i < groups->count; i++) tg_group_free(groups->list[i]);
  pthread_mutex_destroy(&groups->lock);
  free(groups->list);
  free(groups);
}

static int compare(struct tg_slice a, struct tg_slice b) {
  int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
  return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* Where it is, or where it would be. */
static size_t place_of(const struct tg_groups *groups, struct tg_slice name, bool *there) {
  size_t low = 0, high = groups->count;
  *there = false;
  while (low < high && !*there) {
    size_t middle = (low + high) / 2;
    int order = compare(groups->list[middle]->name, name);
    if (order == 0) *there = true, low = middle;
    if (order < 0) low = middle + 1;
    if (order > 0) high = middle;
  }
  return low;
}

struct tg_group *tg_groups_find(struct tg_groups *groups, struct tg_slice name,
                                uint64_t generation) {
  bool there;
  pthread_mutex_lock(&groups->lock);
  size_t place = place_of(groups, name, &there);
  struct tg_group *group = there ? groups->list[place] : NULL;
  if (group && (generation < group->since || generation >= group->until)) group = NULL;
  pthread_mutex_unlock(&groups->lock);
  return group;
}

static tg_status need(struct tg_groups *groups, struct tg_slice name, struct tg_group **group) {
  bool there;
  size_t place = place_of(groups, name, &there);
  if (there) {
    *group = groups->list[place];
    return TG_OK;
  }
  if (groups->count == TG_GROUPS_MAX) return TG_EOVERLOAD;
  *group = tg_group_new(name, groups->log);
  if (!*group) return TG_ENOMEM;
  (*group)->since = UINT64_MAX;
  pthread_mutex_lock(&groups->lock);
  memmove(&groups->list[place + 1], &groups->list[place],
          (groups->count - place) * sizeof *groups->list);
  groups->list[place] = *group;
  groups->count++;
  pthread_mutex_unlock(&groups->lock);
  return TG_OK;
}

static tg_status settle(struct tg_group *group, const struct tg_group_spec *spec) {
  struct tg_roster_row *rows = calloc(spec->peer_count + 1, sizeof *rows);
  if (!rows) return TG_ENOMEM;
  for (size_t i = 0; i < spec->peer_count; i++) {
    const struct tg_peer_spec *peer = &spec->peers[i];
    rows[i] = (struct tg_roster_row){.address = peer->address,
                                     .authority = peer->address,
                                     .zone = peer->zone,
                                     .weight = peer->weight,
                                     .priority = peer->priority,
                                     .max_requests = peer->max_requests};
  }
  pthread_mutex_lock(&group->change);
  tg_status status =
      tg_roster_settle(group, spec->rules, rows, spec->peer_count, group->rules == NULL);
  pthread_mutex_unlock(&group->change);
  free(rows);
  return status;
}

tg_status tg_groups_apply(struct tg_groups *groups, const struct tg_group_spec *specs, size_t count,
                          uint64_t generation) {
  tg_status worst = TG_OK;
  pthread_mutex_lock(&groups->lock);
  for (size_t i = 0; i < groups->count; i++)
    if (groups->list[i]->until == UINT64_MAX) groups->list[i]->until = generation;
  pthread_mutex_unlock(&groups->lock);
  for (size_t i = 0; i < count; i++) {
    struct tg_group *group;
    tg_status status = need(groups, specs[i].name, &group);
    if (status == TG_OK) status = settle(group, &specs[i]);
    if (status) {
      worst = status;
      continue;
    }
    pthread_mutex_lock(&groups->lock);
    if (group->since > generation || group->until < generation) group->since = generation;
    group->until = UINT64_MAX;
    pthread_mutex_unlock(&groups->lock);
  }
  return worst;
}

void tg_groups_each(struct tg_groups *groups, void (*each)(void *owner, struct tg_group *group),
                    void *owner) {
  for (size_t i = 0; i < groups->count; i++)
    if (groups->list[i]->until == UINT64_MAX) each(owner, groups->list[i]);
}
