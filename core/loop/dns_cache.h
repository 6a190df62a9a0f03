/* What the resolver knows: a table of names and types, and what was answered for each.
 *
 * Only for resolver.c, who says when an answer expires and who waits for one; here is the memory:
 * finding, adding, and pushing out what was not used for longest. Hashing is seeded, so that chosen
 * names cannot make it slow. */
#ifndef TG_LOOP_DNS_CACHE_H
#define TG_LOOP_DNS_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/list.h"
#include "loop/dns_channel.h"
#include "loop/dns_name.h"
#include "loop/timer.h"

struct tg_resolver;

struct tg_dns_entry {
  /* the cache's own */
  struct tg_dns_entry *next; /* in its bucket */
  struct tg_list used;       /* in the order of use; in no list: it is not pushed out */
  uint64_t hash;
  /* what is known */
  bool known;
  tg_status status; /* TG_OK, TG_ENO_NAME, TG_ENO_DATA */
  char *message;
  size_t length;
  uint64_t fetched, expires;
  /* the resolver's own: the question that is under way */
  struct tg_resolver *resolver;
  struct tg_list turn; /* in `answered` or `again` */
  struct tg_list waiters;
  struct tg_dns_question question;
  struct tg_timer stand_in; /* when an expired answer is used */
  bool pending;             /* from the question to the telling */
  bool telling;             /* its message is in somebody's hands */
  bool failed;              /* the last question, since the answer that is kept */
  tg_status failure;
  uint64_t recheck; /* after a failure: not asked before */
  /* what it is about */
  uint16_t type;
  char name[]; /* a NUL behind it */
};

struct tg_dns_cache {
  struct tg_hash_seed seed;
  struct tg_dns_entry **buckets;
  size_t bucket_count, count;
  size_t bytes;        /* of all entries */
  struct tg_list used; /* the latest first */
};

TG_MUST_CHECK tg_status tg_dns_cache_init(struct tg_dns_cache *cache);

/* Frees all entries; nobody may wait for one, and their timers must be stopped. */
void tg_dns_cache_deinit(struct tg_dns_cache *cache);

/* NULL where there is none. */
struct tg_dns_entry *tg_dns_cache_find(const struct tg_dns_cache *cache, const char *name,
                                       uint16_t type);

/* A new entry, of which nothing is known and which is not pushed out. NULL when memory is gone. */
struct tg_dns_entry *tg_dns_cache_add(struct tg_dns_cache *cache, const char *name, uint16_t type);

/* Takes it out of the table and frees it; as at tg_dns_cache_deinit. */
void tg_dns_cache_drop(struct tg_dns_cache *cache, struct tg_dns_entry *entry);

/* It was used: the last to be pushed out. */
void tg_dns_cache_touch(struct tg_dns_cache *cache, struct tg_dns_entry *entry);

/* It must stay, until it is touched. */
static inline void tg_dns_cache_hold(struct tg_dns_entry *entry) {
  tg_list_remove(&entry->used);
}

/* Replaces what is known by a status and a copy of the message. TG_ENOMEM leaves it as it was. */
TG_MUST_CHECK tg_status tg_dns_cache_keep(struct tg_dns_cache *cache, struct tg_dns_entry *entry,
                                          tg_status status, struct tg_slice message);

/* Nothing is known of it any more. */
void tg_dns_cache_forget(struct tg_dns_cache *cache, struct tg_dns_entry *entry);

/* Pushes entries out until all take no more than `bytes`, or none may go. */
void tg_dns_cache_trim(struct tg_dns_cache *cache, size_t bytes);

/* Calls `each` with every entry, which it may drop. */
void tg_dns_cache_each(struct tg_dns_cache *cache, void (*each)(struct tg_dns_entry *entry));

#endif
