/* See roster_list.h. */
#include "upstream/roster_list.h"

#include <stdlib.h>

#include "upstream/group_state.h"

struct list {
  struct tg_peer **peers, **chosen;
  struct tg_balance_seat **seats;
  size_t count;
};

static bool same_way(const struct tg_peer *peer, const struct tg_rules *rules) {
  if (peer->origin.secure != rules->secure || peer->origin.tls != rules->tls) return false;
  return !rules->tls_name[0] || tg_slice_eq(peer->origin.tls_name, tg_slice_cstr(rules->tls_name));
}

/* A peer is the same one while it is reached in the same way at the same place. */
static struct tg_peer *find(struct tg_peer *const *peers, size_t count,
                            const struct tg_rules *rules, const struct tg_roster_row *row) {
  for (size_t i = 0; i < count; i++)
    if (tg_slice_eq(peers[i]->address, row->address) &&
        tg_slice_eq(peers[i]->authority, row->authority) &&
        tg_slice_eq(peers[i]->zone, row->zone) && same_way(peers[i], rules))
      return peers[i];
  return NULL;
}

static void list_deinit(struct list *list) {
  for (size_t i = 0; i < list->count; i++) tg_peer_release(list->peers[i]);
  free(list->peers), free(list->chosen), free(list->seats);
}

static bool is_twice(const struct list *list, const struct tg_roster_row *row) {
  for (size_t i = 0; i < list->count; i++)
    if (tg_slice_eq(list->peers[i]->address, row->address)) return true;
  return false;
}

static tg_status list_add(struct list *list, struct tg_group *group, const struct tg_rules *rules,
                          const struct tg_roster_row *row) {
  struct tg_peer *peer = find(group->peers, group->count, rules, row);
  if (is_twice(list, row)) return TG_OK;
  if (peer) {
    tg_peer_hold(peer);
  } else {
    tg_status status = tg_peer_new(group, rules, row->address, row->authority, row->zone, &peer);
    if (status) return status == TG_EINVALID ? TG_OK : status;
    peer->warming = row->fresh;
    peer->warm_from = group->clock();
  }
  list->peers[list->count++] = peer;
  return TG_OK;
}

/* A weight of run time holds until the listed one changes. */
static void update(struct tg_peer *peer, const struct tg_roster_row *rows, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (!tg_slice_eq(peer->address, rows[i].address)) continue;
    uint32_t weight = rows[i].weight ? rows[i].weight : 1;
    if (peer->listed_weight != weight) peer->weight = peer->listed_weight = weight;
    peer->priority = rows[i].priority;
    peer->max_requests = rows[i].max_requests;
    return;
  }
}

static void swap(struct tg_group *group, struct list *list, struct tg_rules *rules,
                 const struct tg_roster_row *rows, size_t count) {
  struct list old = {group->peers, group->chosen, group->seats, group->count};
  group->peers = list->peers, group->chosen = list->chosen, group->seats = list->seats;
  group->count = list->count;
  group->rules = rules;
  for (size_t i = 0; i < old.count; i++) old.peers[i]->listed = false;
  for (size_t i = 0; i < list->count; i++) {
    update(list->peers[i], rows, count);
    list->peers[i]->listed = true;
  }
  *list = old;
}

tg_status tg_roster_list_put(struct tg_group *group, struct tg_rules *rules,
                             const struct tg_roster_row *rows, size_t count) {
  struct list list = {.peers = calloc(count + 1, sizeof(struct tg_peer *)),
                      .chosen = calloc(count + 1, sizeof(struct tg_peer *)),
                      .seats = calloc(count + 1, sizeof(struct tg_balance_seat *))};
  tg_status status = list.peers && list.chosen && list.seats ? TG_OK : TG_ENOMEM;
  for (size_t i = 0; i < count && status == TG_OK; i++)
    status = list_add(&list, group, rules, &rows[i]);
  if (status) {
    list_deinit(&list);
    return status;
  }
  tg_rules_hold(rules);
  pthread_mutex_lock(&group->lock);
  struct tg_rules *old_rules = group->rules;
  swap(group, &list, rules, rows, count);
  pthread_mutex_unlock(&group->lock);
  if (old_rules) tg_rules_release(old_rules);
  list_deinit(&list);
  return TG_OK;
}
