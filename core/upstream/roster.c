/* See roster.h. Entries are few and changes are rare: everything is found by going through. */
#include "upstream/roster.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "loop/dns_name.h"
#include "upstream/discovery.h"
#include "upstream/group_state.h"
#include "upstream/groups.h"
#include "upstream/roster_list.h"

/* ---- entries ---- */

static enum tg_roster_kind kind_of(struct tg_slice address) {
  struct tg_dns_address number;
  struct tg_slice host;
  uint16_t port;
  if (tg_slice_starts(address, TG_SLICE("srv:"))) return TG_ROSTER_SERVICE;
  if (tg_slice_starts(address, TG_SLICE("unix:"))) return TG_ROSTER_ADDRESS;
  if (tg_peer_split(address, &host, &port)) return TG_ROSTER_ADDRESS;
  return tg_dns_address_read(host, &number) ? TG_ROSTER_ADDRESS : TG_ROSTER_NAME;
}

static struct tg_roster_entry *entry_new(const struct tg_peer_spec *spec) {
  struct tg_roster_entry *entry = calloc(1, sizeof *entry + spec->address.len + spec->zone.len);
  if (!entry) return NULL;
  char *texts = (char *)(entry + 1);
  entry->spec = *spec;
  entry->spec.address = tg_slice(texts, spec->address.len);
  entry->spec.zone = tg_slice(texts + spec->address.len, spec->zone.len);
  memcpy(texts, spec->address.ptr, spec->address.len);
  if (spec->zone.len) memcpy(texts + spec->address.len, spec->zone.ptr, spec->zone.len);
  entry->kind = kind_of(spec->address);
  return entry;
}

static struct tg_roster_entry *entry_find(const struct tg_group *group, struct tg_slice address) {
  for (size_t i = 0; i < group->entry_count; i++)
    if (tg_slice_eq(group->entries[i]->spec.address, address)) return group->entries[i];
  return NULL;
}

static tg_status entry_append(struct tg_group *group, struct tg_roster_entry *entry) {
  size_t size = (group->entry_count + 1) * sizeof(struct tg_roster_entry *);
  struct tg_roster_entry **grown = entry ? realloc(group->entries, size) : NULL;
  if (!grown) {
    free(entry);
    return TG_ENOMEM;
  }
  group->entries = grown;
  group->entries[group->entry_count++] = entry;
  return TG_OK;
}

/* Its discovery has ended. */
static void entry_drop(struct tg_group *group, size_t place) {
  struct tg_roster_entry *entry = group->entries[place];
  TG_CHECK(!entry->discovery);
  group->entry_count--;
  memmove(&group->entries[place], &group->entries[place + 1],
          (group->entry_count - place) * sizeof(struct tg_roster_entry *));
  free(entry->found);
  free(entry);
}

static bool entry_is_gone(const struct tg_roster_entry *entry) {
  return entry->removed && !entry->configured;
}

/* ---- from entries to peers ---- */

struct rows {
  struct tg_roster_row *list;
  size_t count, cap;
};

static void rows_add(struct rows *rows, const struct tg_roster_entry *entry,
                     struct tg_slice address, struct tg_slice authority,
                     const struct tg_roster_found *found) {
  const struct tg_peer_spec *spec = &entry->spec;
  if (rows->count == rows->cap) return;
  struct tg_roster_row *row = &rows->list[rows->count++];
  *row = (struct tg_roster_row){.address = address,
                                .authority = authority,
                                .zone = spec->zone,
                                .weight = spec->weight,
                                .priority = spec->priority,
                                .max_requests = spec->max_requests,
                                .fresh = entry->fresh};
  if (!found) return;
  if (!spec->weight) row->weight = found->weight;
  if (!spec->has_priority) row->priority = found->priority;
}

static void rows_of(struct rows *rows, const struct tg_roster_entry *entry) {
  struct tg_slice address = entry->spec.address;
  if (entry->removed) return;
  if (entry->kind == TG_ROSTER_ADDRESS || (entry->kind == TG_ROSTER_NAME && !entry->known))
    rows_add(rows, entry, address, address, NULL);
  for (size_t i = 0; i < entry->found_count; i++)
    rows_add(rows, entry, tg_slice_cstr(entry->found[i].address),
             tg_slice_cstr(entry->found[i].authority), &entry->found[i]);
}

static tg_status settle(struct tg_group *group, struct tg_rules *rules) {
  struct rows rows = {0};
  size_t wanted = 0;
  for (size_t i = 0; i < group->entry_count; i++) wanted += group->entries[i]->found_count + 1;
  rows.cap = wanted < TG_ROSTER_MAX ? wanted : TG_ROSTER_MAX;
  rows.list = calloc(rows.cap + 1, sizeof *rows.list);
  if (!rows.list) return TG_ENOMEM;
  for (size_t i = 0; i < group->entry_count; i++) rows_of(&rows, group->entries[i]);
  tg_status status = tg_roster_list_put(group, rules, rows.list, rows.count);
  free(rows.list);
  return status;
}

/* ---- tidegate.lua ---- */

static tg_status take_entry(struct tg_group *group, const struct tg_peer_spec *spec, bool first) {
  struct tg_roster_entry *entry = entry_find(group, spec->address), *made;
  bool same = entry && tg_slice_eq(entry->spec.zone, spec->zone);
  if (same) {
    if (entry_is_gone(entry)) entry->removed = false, entry->fresh = true;
    struct tg_slice address = entry->spec.address, zone = entry->spec.zone;
    entry->spec = *spec;
    entry->spec.address = address, entry->spec.zone = zone;
    entry->listed = entry->configured = true;
    return TG_OK;
  }
  made = entry_new(spec);
  if (!made) return TG_ENOMEM;
  made->listed = made->configured = true;
  made->fresh = !first;
  if (!entry) return entry_append(group, made);
  /* another zone: the same place, another text */
  for (size_t i = 0; i < group->entry_count; i++)
    if (group->entries[i] == entry) group->entries[i] = made;
  if (entry->discovery) tg_discovery_stop(entry->discovery);
  free(entry->found);
  free(entry);
  return TG_OK;
}

tg_status tg_roster_apply(struct tg_group *group, const struct tg_group_spec *spec) {
  bool first = group->rules == NULL;
  tg_status status = TG_OK;
  pthread_mutex_lock(&group->change);
  for (size_t i = 0; i < group->entry_count; i++) group->entries[i]->listed = false;
  for (size_t i = 0; i < spec->peer_count && status == TG_OK; i++)
    status = take_entry(group, &spec->peers[i], first);
  for (size_t i = 0; i < group->entry_count; i++) {
    struct tg_roster_entry *entry = group->entries[i];
    if (!entry->configured || entry->listed || status) continue;
    entry->configured = false;
    entry->removed = true;
  }
  if (status == TG_OK) status = settle(group, spec->rules);
  if (status == TG_OK) tg_group_limit(group);
  pthread_mutex_unlock(&group->change);
  tg_roster_sweep(group);
  return status;
}

/* ---- names ---- */

static int compare_found(const void *a, const void *b) {
  const struct tg_roster_found *x = a, *y = b;
  int order = strcmp(x->address, y->address);
  return order ? order : strcmp(x->authority, y->authority);
}

static bool is_same(const struct tg_roster_entry *entry, const struct tg_roster_found *found,
                    size_t count) {
  if (!entry->known || entry->found_count != count) return false;
  for (size_t i = 0; i < count; i++)
    if (compare_found(&entry->found[i], &found[i]) || entry->found[i].weight != found[i].weight ||
        entry->found[i].priority != found[i].priority)
      return false;
  return true;
}

tg_status tg_roster_settle(struct tg_group *group, struct tg_roster_entry *entry,
                           const struct tg_roster_found *found, size_t count) {
  struct tg_roster_found *copy = calloc(count + 1, sizeof *copy);
  if (!copy) return TG_ENOMEM;
  memcpy(copy, found, count * sizeof *copy);
  qsort(copy, count, sizeof *copy, compare_found); /* servers turn the order around */
  pthread_mutex_lock(&group->change);
  if (is_same(entry, copy, count)) {
    pthread_mutex_unlock(&group->change);
    free(copy);
    return TG_OK;
  }
  free(entry->found);
  entry->found = copy;
  entry->found_count = count;
  if (entry->known) entry->fresh = true;
  entry->known = true;
  tg_status status = settle(group, group->rules);
  pthread_mutex_unlock(&group->change);
  return status;
}

/* ---- run time ---- */

tg_status tg_roster_add(struct tg_group *group, const struct tg_peer_spec *spec) {
  pthread_mutex_lock(&group->change);
  struct tg_roster_entry *entry = entry_find(group, spec->address);
  tg_status status = TG_OK;
  if (entry && !entry->removed)
    status = TG_EEXISTS;
  else if (entry)
    entry->removed = false, entry->fresh = true;
  else if (group->entry_count >= TG_ROSTER_MAX)
    status = TG_EOVERLOAD;
  else
    status = entry_append(group, entry = entry_new(spec));
  if (status == TG_OK) {
    entry->fresh = true;
    entry->spec.weight = spec->weight;
    entry->spec.priority = spec->priority;
    entry->spec.has_priority = spec->has_priority;
    entry->spec.max_requests = spec->max_requests;
    status = settle(group, group->rules);
    if (status) entry->removed = true;
  }
  pthread_mutex_unlock(&group->change);
  if (status == TG_OK) tg_groups_wake(group->groups);
  return status;
}

static bool has_peer(const struct tg_group *group, struct tg_slice address) {
  for (size_t i = 0; i < group->count; i++)
    if (tg_slice_eq(group->peers[i]->address, address)) return true;
  return false;
}

tg_status tg_roster_remove(struct tg_group *group, struct tg_slice address) {
  pthread_mutex_lock(&group->change);
  struct tg_roster_entry *entry = entry_find(group, address);
  tg_status status = TG_OK;
  if (!entry || entry->removed) {
    status = has_peer(group, address) ? TG_EINVALID : TG_ENOT_FOUND;
  } else {
    entry->removed = true;
    status = settle(group, group->rules);
    if (status) entry->removed = false;
  }
  pthread_mutex_unlock(&group->change);
  if (status == TG_OK) tg_groups_wake(group->groups);
  return status;
}

static bool is_called(const struct tg_peer *peer, struct tg_slice address) {
  return tg_slice_eq(peer->address, address) || tg_slice_eq(peer->authority, address);
}

tg_status tg_roster_drain(struct tg_group *group, struct tg_slice address, bool drain) {
  tg_status status = TG_ENOT_FOUND;
  pthread_mutex_lock(&group->lock);
  for (size_t i = 0; i < group->count; i++) {
    struct tg_peer *peer = group->peers[i];
    if (!is_called(peer, address)) continue;
    status = TG_OK;
    if (peer->draining && !drain) peer->warming = true, peer->warm_from = group->clock();
    peer->draining = drain;
  }
  pthread_mutex_unlock(&group->lock);
  return status;
}

tg_status tg_roster_weigh(struct tg_group *group, struct tg_slice address, uint32_t weight) {
  tg_status status = TG_ENOT_FOUND;
  pthread_mutex_lock(&group->lock);
  for (size_t i = 0; i < group->count; i++) {
    if (!is_called(group->peers[i], address)) continue;
    status = TG_OK;
    group->peers[i]->weight = weight;
  }
  pthread_mutex_unlock(&group->lock);
  return status;
}

/* ---- the home thread ---- */

void tg_roster_sweep(struct tg_group *group) {
  bool serves = group->groups && tg_groups_serving(group->groups);
  pthread_mutex_lock(&group->change);
  for (size_t i = group->entry_count; i-- > 0;) {
    struct tg_roster_entry *entry = group->entries[i];
    bool wanted = serves && !entry->removed && entry->kind != TG_ROSTER_ADDRESS;
    if (entry->discovery && !wanted) {
      tg_discovery_stop(entry->discovery);
      entry->discovery = NULL;
    }
    if (entry_is_gone(entry)) entry_drop(group, i);
  }
  for (size_t i = 0; i < group->entry_count && serves; i++) {
    struct tg_roster_entry *entry = group->entries[i];
    if (!entry->discovery && !entry->removed && entry->kind != TG_ROSTER_ADDRESS)
      entry->discovery = tg_discovery_new(group, entry);
  }
  pthread_mutex_unlock(&group->change);
}

void tg_roster_stop(struct tg_group *group) {
  pthread_mutex_lock(&group->change);
  for (size_t i = 0; i < group->entry_count; i++) {
    if (group->entries[i]->discovery) tg_discovery_stop(group->entries[i]->discovery);
    group->entries[i]->discovery = NULL;
  }
  pthread_mutex_unlock(&group->change);
}
