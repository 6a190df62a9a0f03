/* See dns_cache.h. */
#include "loop/dns_cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define BUCKETS_FIRST 64

tg_status tg_dns_cache_init(struct tg_dns_cache *cache) {
  *cache = (struct tg_dns_cache){.bucket_count = BUCKETS_FIRST};
  cache->buckets = calloc(BUCKETS_FIRST, sizeof(struct tg_dns_entry *));
  tg_hash_seed_init(&cache->seed);
  tg_list_init(&cache->used);
  return cache->buckets ? TG_OK : TG_ENOMEM;
}

static void destroy(struct tg_dns_entry *entry) {
  TG_CHECK(!entry->telling && tg_list_empty(&entry->waiters) && !tg_timer_active(&entry->stand_in));
  tg_list_remove(&entry->used);
  tg_list_remove(&entry->turn);
  free(entry->message);
  free(entry);
}

void tg_dns_cache_deinit(struct tg_dns_cache *cache) {
  tg_dns_cache_each(cache, destroy);
  free(cache->buckets);
  *cache = (struct tg_dns_cache){0};
}

static uint64_t hash_of(const struct tg_dns_cache *cache, const char *name, uint16_t type) {
  return tg_hash(&cache->seed, tg_slice_cstr(name)) ^ type * 0x9e3779b97f4a7c15ull;
}

static struct tg_dns_entry **bucket_of(const struct tg_dns_cache *cache, uint64_t hash) {
  return &cache->buckets[hash & (cache->bucket_count - 1)];
}

static size_t size_of(const struct tg_dns_entry *entry) {
  return sizeof *entry + strlen(entry->name) + 1 + entry->length;
}

struct tg_dns_entry *tg_dns_cache_find(const struct tg_dns_cache *cache, const char *name,
                                       uint16_t type) {
  uint64_t hash = hash_of(cache, name, type);
  struct tg_dns_entry *entry = *bucket_of(cache, hash);
  while (entry && !(entry->hash == hash && entry->type == type && strcmp(entry->name, name) == 0))
    entry = entry->next;
  return entry;
}

/* Without memory for a larger table the old one goes on, with longer chains. */
static void grow(struct tg_dns_cache *cache) {
  struct tg_dns_cache larger = {.bucket_count = cache->bucket_count * 2};
  larger.buckets = calloc(larger.bucket_count, sizeof(struct tg_dns_entry *));
  if (!larger.buckets) return;
  for (size_t i = 0; i < cache->bucket_count; i++) {
    struct tg_dns_entry *entry = cache->buckets[i], *next;
    for (; entry; entry = next) {
      struct tg_dns_entry **bucket = bucket_of(&larger, entry->hash);
      next = entry->next;
      entry->next = *bucket;
      *bucket = entry;
    }
  }
  free(cache->buckets);
  cache->buckets = larger.buckets;
  cache->bucket_count = larger.bucket_count;
}

struct tg_dns_entry *tg_dns_cache_add(struct tg_dns_cache *cache, const char *name, uint16_t type) {
  size_t len = strlen(name);
  struct tg_dns_entry *entry = calloc(1, sizeof *entry + len + 1);
  if (!entry) return NULL;
  if (cache->count >= cache->bucket_count) grow(cache);
  memcpy(entry->name, name, len);
  entry->type = type;
  entry->hash = hash_of(cache, name, type);
  tg_list_init(&entry->used);
  tg_list_init(&entry->turn);
  tg_list_init(&entry->waiters);
  tg_list_init(&entry->question.link);
  struct tg_dns_entry **bucket = bucket_of(cache, entry->hash);
  entry->next = *bucket;
  *bucket = entry;
  cache->count++;
  cache->bytes += size_of(entry);
  return entry;
}

void tg_dns_cache_drop(struct tg_dns_cache *cache, struct tg_dns_entry *entry) {
  struct tg_dns_entry **place = bucket_of(cache, entry->hash);
  while (*place != entry) place = &(*place)->next;
  *place = entry->next;
  cache->count--;
  cache->bytes -= size_of(entry);
  destroy(entry);
}

void tg_dns_cache_touch(struct tg_dns_cache *cache, struct tg_dns_entry *entry) {
  tg_list_remove(&entry->used);
  tg_list_prepend(&cache->used, &entry->used);
}

tg_status tg_dns_cache_keep(struct tg_dns_cache *cache, struct tg_dns_entry *entry,
                            tg_status status, struct tg_slice message) {
  char *copy = NULL;
  if (message.len) {
    copy = malloc(message.len);
    if (!copy) return TG_ENOMEM;
    memcpy(copy, message.ptr, message.len);
  }
  tg_dns_cache_forget(cache, entry);
  entry->message = copy;
  entry->length = message.len;
  cache->bytes += message.len;
  entry->known = true;
  entry->status = status;
  return TG_OK;
}

void tg_dns_cache_forget(struct tg_dns_cache *cache, struct tg_dns_entry *entry) {
  cache->bytes -= entry->length;
  free(entry->message);
  entry->message = NULL;
  entry->length = 0;
  entry->known = false;
}

/* Spelled out, as tg_list_take_first is: clang's analyser does not know that last->next is the
 * list. */
static struct tg_dns_entry *take_last(struct tg_dns_cache *cache) {
  struct tg_list *last = cache->used.prev;
  cache->used.prev = last->prev;
  cache->used.prev->next = &cache->used;
  tg_list_init(last);
  return TG_CONTAINER(last, struct tg_dns_entry, used);
}

void tg_dns_cache_trim(struct tg_dns_cache *cache, size_t bytes) {
  while (cache->bytes > bytes && !tg_list_empty(&cache->used))
    tg_dns_cache_drop(cache, take_last(cache));
}

void tg_dns_cache_each(struct tg_dns_cache *cache, void (*each)(struct tg_dns_entry *entry)) {
  for (size_t i = 0; i < cache->bucket_count; i++) {
    struct tg_dns_entry *entry = cache->buckets[i], *next;
    for (; entry; entry = next) {
      next = entry->next;
      each(entry);
    }
  }
}
