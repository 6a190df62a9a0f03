/* See groups.h. */
#include "upstream/groups.h"

#include <stdlib.h>

#include "base/check.h"
#include "loop/resolver.h"
#include "upstream/group_state.h"
#include "upstream/health.h"
#include "upstream/pool.h"
#include "upstream/roster.h"

struct tg_groups {
  pthread_mutex_t lock; /* of the list, and of since and until of each */
  struct tg_log *log;
  uint64_t (*clock)(void);
  struct tg_group **list; /* in order of names */
  size_t count;
  struct tg_loop *home; /* NULL: none */
  struct tg_resolver *resolver;
  struct tg_letter letter;
  bool posted; /* the letter is on its way */
};

struct tg_groups *tg_groups_new(struct tg_log *log, uint64_t (*clock)(void)) {
  struct tg_groups *groups = calloc(1, sizeof *groups);
  if (!groups) return NULL;
  groups->list = calloc(TG_GROUPS_MAX, sizeof(struct tg_group *));
  if (!groups->list) {
    free(groups);
    return NULL;
  }
  groups->log = log;
  groups->clock = clock;
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

/* ---- home ---- */

void tg_groups_serve(struct tg_groups *groups, struct tg_loop *home,
                     const struct tg_settings *settings, uint64_t version) {
  struct tg_resolver *resolver = tg_resolver_of(home, settings, version);
  (void)!tg_link_pool_configure(home, settings, version); /* else by the defaults */
  pthread_mutex_lock(&groups->lock);
  groups->home = home;
  groups->resolver = resolver;
  pthread_mutex_unlock(&groups->lock);
}

static void stop_group(struct tg_group *group) {
  tg_roster_stop(group);
  tg_health_free(group->health);
  group->health = NULL;
}

void tg_groups_stop(struct tg_groups *groups) {
  pthread_mutex_lock(&groups->lock);
  groups->home = NULL;
  pthread_mutex_unlock(&groups->lock);
  for (size_t i = 0; i < groups->count; i++) stop_group(groups->list[i]);
}

struct tg_loop *tg_groups_home(const struct tg_groups *groups) {
  return groups->home;
}

struct tg_resolver *tg_groups_resolver(const struct tg_groups *groups) {
  return groups->resolver;
}

bool tg_groups_serving(const struct tg_groups *groups) {
  return groups->home != NULL;
}

static void open_letter(struct tg_letter *letter) {
  struct tg_groups *groups = TG_CONTAINER(letter, struct tg_groups, letter);
  pthread_mutex_lock(&groups->lock);
  groups->posted = false;
  bool serves = groups->home != NULL;
  pthread_mutex_unlock(&groups->lock);
  for (size_t i = 0; i < groups->count && serves; i++) tg_roster_sweep(groups->list[i]);
}

void tg_groups_wake(struct tg_groups *groups) {
  if (!groups) return;
  pthread_mutex_lock(&groups->lock);
  if (groups->home && !groups->posted) {
    groups->letter.open = open_letter;
    groups->posted = tg_mailbox_post(&groups->home->mailbox, &groups->letter) == TG_OK;
  }
  pthread_mutex_unlock(&groups->lock);
}

/* ---- by name ---- */

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
  *group = tg_group_new(name, groups->log, groups->clock);
  if (!*group) return TG_ENOMEM;
  (*group)->groups = groups;
  (*group)->since = UINT64_MAX;
  pthread_mutex_lock(&groups->lock);
  memmove(&groups->list[place + 1], &groups->list[place],
          (groups->count - place) * sizeof(struct tg_group *));
  groups->list[place] = *group;
  groups->count++;
  pthread_mutex_unlock(&groups->lock);
  return TG_OK;
}

/* What nobody lists any more is not looked up any more, and keeps the peers that it has. */
static void sweep_retired(struct tg_groups *groups, uint64_t generation) {
  for (size_t i = 0; i < groups->count; i++)
    if (groups->list[i]->until <= generation) stop_group(groups->list[i]);
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
    if (status == TG_OK) status = tg_roster_apply(group, &specs[i]);
    if (status == TG_OK && groups->home) tg_health_follow(group, groups->home);
    if (status) {
      worst = status;
      continue;
    }
    pthread_mutex_lock(&groups->lock);
    if (group->since > generation || group->until < generation) group->since = generation;
    group->until = UINT64_MAX;
    pthread_mutex_unlock(&groups->lock);
  }
  sweep_retired(groups, generation);
  return worst;
}

struct tg_group *tg_groups_next(struct tg_groups *groups, const struct tg_group *group) {
  bool there = false;
  pthread_mutex_lock(&groups->lock);
  size_t place = group ? place_of(groups, group->name, &there) + 1 : 0;
  while (place < groups->count && groups->list[place]->until != UINT64_MAX) place++;
  struct tg_group *next = place < groups->count ? groups->list[place] : NULL;
  pthread_mutex_unlock(&groups->lock);
  return next;
}
