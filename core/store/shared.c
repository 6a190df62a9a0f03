/* The dictionaries of shared.h.
 *
 * A dictionary is sixteen shards, chosen by the key's hash, each with a lock, a chained table and a
 * list in order of use. Bytes are counted for the whole dictionary: who stores counts first and
 * makes room after, in its own shard, then in the others, one lock at a time. So the budget may be
 * passed for a moment by what is being stored, and never for longer. Expired entries are never
 * given out; they are removed when they are met, by a few steps of sweeping in every store, and
 * first of all when room is needed. */
#include "store/shared.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/list.h"
#include "loop/clock.h"

#define SHARDS      16u
#define SWEEP_STEPS 4u           /* buckets looked at in every store */
#define EVICT_SWEEP 64u          /* buckets looked at before a living entry is pushed out */
#define OVERHEAD    32u          /* of an allocation and a bucket */
#define TTL_MAX     3155760000.0 /* a hundred years: what is longer is for ever */

struct entry {
  struct entry *next;
  struct tg_list recent;
  uint64_t hash;
  uint64_t expires; /* 0: never */
  uint32_t key_len;
  uint8_t kind;
  bool boolean;
  double number;
  size_t value_len;
  char bytes[]; /* key, then value */
};

struct shard {
  _Alignas(64) pthread_mutex_t lock;
  struct entry **buckets;
  size_t mask;
  size_t count;
  size_t swept;          /* where sweeping goes on */
  struct tg_list recent; /* least recently used first */
};

struct tg_shared {
  struct shard shards[SHARDS];
  atomic_uint_fast64_t bytes;
  atomic_uint_fast64_t budget;
  atomic_uint_fast64_t evicted;
  struct tg_hash_seed seed;
  uint64_t (*clock)(void);
  const struct tg_loop_clock *fake; /* tests: instead of `clock` */
  struct tg_shared *next;
  size_t name_len;
  char name[TG_SHARED_NAME_MAX];
};

struct tg_shared_registry {
  pthread_mutex_t lock;
  struct tg_shared *first;
  uint32_t count;
  uint64_t (*clock)(void);
  const struct tg_loop_clock *fake; /* tests: instead of `clock` */
};

static uint64_t now_of(const struct tg_shared *shared) {
  return shared->fake ? tg_loop_clock_time(shared->fake) : shared->clock();
}

/* The low bits choose the bucket, the high ones the shard. */
static struct shard *shard_of(struct tg_shared *shared, uint64_t hash) {
  return &shared->shards[hash >> 60 & (SHARDS - 1)];
}

/* --- entries; the shard's lock is held in all of these -------------------------------------------------- */

static size_t size_of(size_t key_len, size_t value_len) {
  return sizeof(struct entry) + OVERHEAD + key_len + value_len;
}

static bool expired(const struct tg_shared *shared, const struct entry *entry) {
  return entry->expires && entry->expires <= now_of(shared);
}

/* `link` is what points to the entry in its bucket's chain. */
static void remove_at(struct tg_shared *shared, struct shard *shard, struct entry **link) {
  struct entry *entry = *link;
  *link = entry->next;
  tg_list_remove(&entry->recent);
  shard->count--;
  atomic_fetch_sub_explicit(&shared->bytes, size_of(entry->key_len, entry->value_len),
                            memory_order_relaxed);
  free(entry);
}

static struct entry **link_of(struct shard *shard, const struct entry *entry) {
  struct entry **link = &shard->buckets[entry->hash & shard->mask];
  while (*link != entry) link = &(*link)->next;
  return link;
}

/* Where the living entry of that key hangs; NULL when there is none. An expired one is removed. */
static struct entry **find(struct tg_shared *shared, struct shard *shard, uint64_t hash,
                           struct tg_slice key) {
  if (!shard->buckets) return NULL;
  struct entry **link = &shard->buckets[hash & shard->mask];
  for (; *link; link = &(*link)->next) {
    struct entry *entry = *link;
    if (entry->hash != hash || !tg_slice_eq(tg_slice(entry->bytes, entry->key_len), key)) continue;
    if (!expired(shared, entry)) return link;
    remove_at(shared, shard, link);
    return NULL;
  }
  return NULL;
}

static void touch(struct shard *shard, struct entry *entry) {
  tg_list_remove(&entry->recent);
  tg_list_append(&shard->recent, &entry->recent);
}

static void sweep(struct tg_shared *shared, struct shard *shard, size_t steps) {
  if (!shard->count) return;
  uint64_t now = now_of(shared);
  if (steps > shard->mask + 1) steps = shard->mask + 1;
  for (; steps > 0; steps--) {
    struct entry **link = &shard->buckets[shard->swept++ & shard->mask];
    while (*link) {
      if ((*link)->expires && (*link)->expires <= now)
        remove_at(shared, shard, link);
      else
        link = &(*link)->next;
    }
  }
}

static tg_status grow(struct shard *shard) {
  if (shard->buckets && shard->count <= shard->mask) return TG_OK;
  size_t size = shard->buckets ? (shard->mask + 1) * 2 : 16;
  struct entry **buckets = calloc(size, sizeof(struct entry *));
  if (!buckets) return shard->buckets ? TG_OK : TG_ENOMEM; /* a fuller table works, too */
  for (size_t i = 0; shard->buckets && i <= shard->mask; i++) {
    for (struct entry *entry = shard->buckets[i], *next; entry; entry = next) {
      next = entry->next;
      entry->next = buckets[entry->hash & (size - 1)];
      buckets[entry->hash & (size - 1)] = entry;
    }
  }
  free(shard->buckets);
  shard->buckets = buckets;
  shard->mask = size - 1;
  return TG_OK;
}

static void link_entry(struct tg_shared *shared, struct shard *shard, struct entry *entry) {
  struct entry **bucket = &shard->buckets[entry->hash & shard->mask];
  entry->next = *bucket;
  *bucket = entry;
  tg_list_append(&shard->recent, &entry->recent);
  shard->count++;
  atomic_fetch_add_explicit(&shared->bytes, size_of(entry->key_len, entry->value_len),
                            memory_order_relaxed);
}

/* --- room --------------------------------------------------------------------------------------------- */

static bool too_full(struct tg_shared *shared) {
  return atomic_load_explicit(&shared->bytes, memory_order_relaxed) >
         atomic_load_explicit(&shared->budget, memory_order_relaxed);
}

/* Pushes out the least recently used ones while the dictionary is too full; spares `keep`. */
static void evict(struct tg_shared *shared, struct shard *shard, const struct entry *keep) {
  if (!too_full(shared)) return;
  sweep(shared, shard, EVICT_SWEEP);
  while (too_full(shared) && !tg_list_empty(&shard->recent)) {
    struct entry *oldest = TG_CONTAINER(shard->recent.next, struct entry, recent);
    if (oldest == keep) return; /* the newest, so the only one left */
    remove_at(shared, shard, link_of(shard, oldest));
    atomic_fetch_add_explicit(&shared->evicted, 1, memory_order_relaxed);
  }
}

/* Makes room in the other shards, where the own one could not give enough. No lock is held. */
static void evict_elsewhere(struct tg_shared *shared, const struct shard *own) {
  size_t first = (size_t)(own - shared->shards);
  for (size_t i = 1; i < SHARDS && too_full(shared); i++) {
    struct shard *shard = &shared->shards[(first + i) % SHARDS];
    pthread_mutex_lock(&shard->lock);
    evict(shared, shard, NULL);
    pthread_mutex_unlock(&shard->lock);
  }
}

/* --- storing ------------------------------------------------------------------------------------------ */

static tg_status deadline_of(const struct tg_shared *shared, double ttl, uint64_t *expires) {
  *expires = 0;
  if (!(ttl >= 0)) return TG_EINVALID;
  if (ttl > 0 && ttl < TTL_MAX) *expires = now_of(shared) + (uint64_t)(ttl * 1e9) + 1;
  return TG_OK;
}

static struct entry *entry_new(struct tg_slice key, uint64_t hash,
                               const struct tg_shared_value *value) {
  bool has_bytes = value->kind == TG_SHARED_STRING || value->kind == TG_SHARED_TABLE;
  struct tg_slice bytes = has_bytes ? value->bytes : tg_slice(NULL, 0);
  struct entry *entry = malloc(sizeof *entry + key.len + bytes.len);
  if (!entry) return NULL;
  *entry = (struct entry){.hash = hash,
                          .key_len = (uint32_t)key.len,
                          .kind = (uint8_t)value->kind,
                          .boolean = value->boolean,
                          .number = value->number,
                          .value_len = bytes.len};
  tg_list_init(&entry->recent);
  if (key.len) memcpy(entry->bytes, key.ptr, key.len);
  if (bytes.len) memcpy(entry->bytes + key.len, bytes.ptr, bytes.len);
  return entry;
}

/* Takes `entry` (NULL: deletes) into the shard, in place of `link`'s. The lock is held. */
static void replace(struct tg_shared *shared, struct shard *shard, struct entry **link,
                    struct entry *entry) {
  if (link) remove_at(shared, shard, link);
  if (!entry) return;
  link_entry(shared, shard, entry);
  sweep(shared, shard, SWEEP_STEPS);
  evict(shared, shard, entry);
}

static tg_status check_mode(enum tg_shared_mode mode, bool present) {
  if (mode == TG_SHARED_ADD && present) return TG_EEXISTS;
  if (mode == TG_SHARED_REPLACE && !present) return TG_ENOT_FOUND;
  return TG_OK;
}

static tg_status check_size(struct tg_shared *shared, struct tg_slice key, size_t value_len) {
  uint64_t budget = atomic_load_explicit(&shared->budget, memory_order_relaxed);
  if (key.len > TG_SHARED_KEY_MAX || value_len > budget) return TG_ETOO_LARGE;
  return size_of(key.len, value_len) > budget ? TG_ETOO_LARGE : TG_OK;
}

/* The entry is made before the lock is taken: copying a large value holds up nobody. */
tg_status tg_shared_put(struct tg_shared *shared, enum tg_shared_mode mode, struct tg_slice key,
                        const struct tg_shared_value *value, double ttl) {
  uint64_t expires, hash = tg_hash(&shared->seed, key);
  bool has_bytes = value->kind == TG_SHARED_STRING || value->kind == TG_SHARED_TABLE;
  tg_status status = check_size(shared, key, has_bytes ? value->bytes.len : 0);
  if (status == TG_OK) status = deadline_of(shared, ttl, &expires);
  if (status) return status;
  struct entry *entry = NULL;
  if (value->kind != TG_SHARED_NIL) {
    entry = entry_new(key, hash, value);
    if (!entry) return TG_ENOMEM;
    entry->expires = expires;
  }
  struct shard *shard = shard_of(shared, hash);
  pthread_mutex_lock(&shard->lock);
  status = entry ? grow(shard) : TG_OK; /* before a link into the table is taken */
  struct entry **link = find(shared, shard, hash, key);
  if (status == TG_OK) status = check_mode(mode, link != NULL);
  if (status == TG_OK) replace(shared, shard, link, entry);
  pthread_mutex_unlock(&shard->lock);
  if (status)
    free(entry);
  else
    evict_elsewhere(shared, shard);
  return status;
}

/* --- the other calls ------------------------------------------------------------------------------------ */

static tg_status read_entry(const struct entry *entry, struct tg_buffer *bytes,
                            struct tg_shared_value *value) {
  tg_status status = tg_buffer_append(bytes, entry->bytes + entry->key_len, entry->value_len);
  if (status) return status;
  *value = (struct tg_shared_value){.kind = (enum tg_shared_kind)entry->kind,
                                    .boolean = entry->boolean,
                                    .number = entry->number,
                                    .bytes = tg_slice(NULL, 0)};
  if (entry->value_len) value->bytes = tg_buffer_slice(bytes);
  return TG_OK;
}

tg_status tg_shared_get(struct tg_shared *shared, struct tg_slice key, struct tg_buffer *bytes,
                        struct tg_shared_value *value) {
  uint64_t hash = tg_hash(&shared->seed, key);
  struct shard *shard = shard_of(shared, hash);
  tg_buffer_clear(bytes);
  pthread_mutex_lock(&shard->lock);
  struct entry **link = find(shared, shard, hash, key);
  tg_status status = link ? read_entry(*link, bytes, value) : TG_ENOT_FOUND;
  if (link) touch(shard, *link);
  pthread_mutex_unlock(&shard->lock);
  return status;
}

static tg_status begin_number(struct tg_shared *shared, struct shard *shard, uint64_t hash,
                              struct tg_slice key, double number, uint64_t expires) {
  const struct tg_shared_value value = {.kind = TG_SHARED_NUMBER, .number = number};
  struct entry *entry = grow(shard) == TG_OK ? entry_new(key, hash, &value) : NULL;
  if (!entry) return TG_ENOMEM;
  entry->expires = expires;
  replace(shared, shard, NULL, entry);
  return TG_OK;
}

tg_status tg_shared_incr(struct tg_shared *shared, struct tg_slice key, double by,
                         const double *init, double ttl, double *sum) {
  uint64_t expires, hash = tg_hash(&shared->seed, key);
  tg_status status = check_size(shared, key, 0);
  if (status == TG_OK) status = deadline_of(shared, ttl, &expires);
  if (status) return status;
  struct shard *shard = shard_of(shared, hash);
  pthread_mutex_lock(&shard->lock);
  struct entry **link = find(shared, shard, hash, key);
  if (link && (*link)->kind != TG_SHARED_NUMBER) {
    status = TG_ECONFLICT;
  } else if (link) {
    *sum = (*link)->number += by;
    touch(shard, *link);
  } else if (init) {
    *sum = *init + by;
    status = begin_number(shared, shard, hash, key, *sum, expires);
  } else {
    status = TG_ENOT_FOUND;
  }
  pthread_mutex_unlock(&shard->lock);
  if (status == TG_OK) evict_elsewhere(shared, shard);
  return status;
}

bool tg_shared_delete(struct tg_shared *shared, struct tg_slice key) {
  uint64_t hash = tg_hash(&shared->seed, key);
  struct shard *shard = shard_of(shared, hash);
  pthread_mutex_lock(&shard->lock);
  struct entry **link = find(shared, shard, hash, key);
  if (link) remove_at(shared, shard, link);
  pthread_mutex_unlock(&shard->lock);
  return link != NULL;
}

tg_status tg_shared_ttl(struct tg_shared *shared, struct tg_slice key, double *seconds) {
  uint64_t hash = tg_hash(&shared->seed, key);
  struct shard *shard = shard_of(shared, hash);
  pthread_mutex_lock(&shard->lock);
  struct entry **link = find(shared, shard, hash, key);
  uint64_t expires = link ? (*link)->expires : 0;
  pthread_mutex_unlock(&shard->lock);
  if (!link) return TG_ENOT_FOUND;
  uint64_t now = now_of(shared);
  *seconds = !expires ? (double)INFINITY : expires > now ? (double)(expires - now) / 1e9 : 0;
  return TG_OK;
}

tg_status tg_shared_expire(struct tg_shared *shared, struct tg_slice key, double ttl) {
  uint64_t expires, hash = tg_hash(&shared->seed, key);
  tg_status status = deadline_of(shared, ttl, &expires);
  if (status) return status;
  struct shard *shard = shard_of(shared, hash);
  pthread_mutex_lock(&shard->lock);
  struct entry **link = find(shared, shard, hash, key);
  if (link) (*link)->expires = expires;
  pthread_mutex_unlock(&shard->lock);
  return link ? TG_OK : TG_ENOT_FOUND;
}

void tg_shared_stats(struct tg_shared *shared, struct tg_shared_stats *stats) {
  *stats = (struct tg_shared_stats){
      .bytes = atomic_load_explicit(&shared->bytes, memory_order_relaxed),
      .budget = atomic_load_explicit(&shared->budget, memory_order_relaxed),
      .evicted = atomic_load_explicit(&shared->evicted, memory_order_relaxed)};
  for (size_t i = 0; i < SHARDS; i++) {
    pthread_mutex_lock(&shared->shards[i].lock);
    stats->entries += shared->shards[i].count;
    pthread_mutex_unlock(&shared->shards[i].lock);
  }
}

/* --- the registry --------------------------------------------------------------------------------------- */

void tg_shared_registry_set_clock(struct tg_shared_registry *registry,
                                  const struct tg_loop_clock *clock) {
  registry->fake = clock;
}

struct tg_shared_registry *tg_shared_registry_new(uint64_t (*clock)(void)) {
  struct tg_shared_registry *registry = calloc(1, sizeof *registry);
  if (!registry) return NULL;
  registry->clock = clock ? clock : tg_clock_now;
  pthread_mutex_init(&registry->lock, NULL);
  return registry;
}

static void shared_free(struct tg_shared *shared) {
  for (size_t i = 0; i < SHARDS; i++) {
    struct shard *shard = &shared->shards[i];
    for (size_t b = 0; shard->buckets && b <= shard->mask; b++) {
      for (struct entry *entry = shard->buckets[b], *next; entry; entry = next) {
        next = entry->next;
        free(entry);
      }
    }
    free(shard->buckets);
    pthread_mutex_destroy(&shard->lock);
  }
  free(shared);
}

static struct tg_shared *shared_new(const struct tg_shared_registry *registry,
                                    struct tg_slice name) {
  struct tg_shared *shared = aligned_alloc(_Alignof(struct tg_shared), sizeof *shared);
  if (!shared) return NULL;
  memset(shared, 0, sizeof *shared);
  for (size_t i = 0; i < SHARDS; i++) {
    pthread_mutex_init(&shared->shards[i].lock, NULL);
    tg_list_init(&shared->shards[i].recent);
  }
  tg_hash_seed_init(&shared->seed);
  atomic_init(&shared->budget, TG_SHARED_BYTES_DEFAULT);
  shared->clock = registry->clock;
  shared->fake = registry->fake;
  shared->name_len = name.len;
  memcpy(shared->name, name.ptr, name.len);
  return shared;
}

void tg_shared_registry_free(struct tg_shared_registry *registry) {
  if (!registry) return;
  while (registry->first) {
    struct tg_shared *shared = registry->first;
    registry->first = shared->next;
    shared_free(shared);
  }
  pthread_mutex_destroy(&registry->lock);
  free(registry);
}

static tg_status find_or_make(struct tg_shared_registry *registry, struct tg_slice name,
                              struct tg_shared **shared) {
  for (*shared = registry->first; *shared; *shared = (*shared)->next)
    if (tg_slice_eq(tg_slice((*shared)->name, (*shared)->name_len), name)) return TG_OK;
  if (registry->count == TG_SHARED_DICTIONARIES_MAX) return TG_EOVERLOAD;
  *shared = shared_new(registry, name);
  if (!*shared) return TG_ENOMEM;
  (*shared)->next = registry->first;
  registry->first = *shared;
  registry->count++;
  return TG_OK;
}

tg_status tg_shared_registry_get(struct tg_shared_registry *registry, struct tg_slice name,
                                 uint64_t bytes, struct tg_shared **shared) {
  if (name.len == 0 || name.len > TG_SHARED_NAME_MAX) return TG_EINVALID;
  if (bytes && bytes < TG_SHARED_BYTES_MIN) return TG_EINVALID;
  pthread_mutex_lock(&registry->lock);
  tg_status status = find_or_make(registry, name, shared);
  pthread_mutex_unlock(&registry->lock);
  if (status || !bytes) return status;
  atomic_store_explicit(&(*shared)->budget, bytes, memory_order_relaxed);
  for (size_t i = 0; i < SHARDS && too_full(*shared); i++) {
    struct shard *shard = &(*shared)->shards[i];
    pthread_mutex_lock(&shard->lock);
    evict(*shared, shard, NULL);
    pthread_mutex_unlock(&shard->lock);
  }
  return TG_OK;
}
