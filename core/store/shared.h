/* Dictionaries that all threads of the process share: what tg.shared is made of.
 *
 * A registry belongs to the process and outlives every generation; it finds or makes a dictionary
 * by its name. A dictionary holds keys and values as bytes, never pointers into a Lua state. Every
 * call below is one atomic step: what one thread has set, the next get of any thread sees, and no
 * two incr are lost in one. Memory is bounded by a budget: an entry that finds no room pushes out
 * expired ones first, then the ones that were not used for longest. Hashing is seeded, so that
 * chosen keys cannot make it slow. Nothing here calls back. */
#ifndef TG_STORE_SHARED_H
#define TG_STORE_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"
#include "base/status.h"

#define TG_SHARED_BYTES_DEFAULT    (16u << 20)
#define TG_SHARED_BYTES_MIN        4096u
#define TG_SHARED_KEY_MAX          65535u
#define TG_SHARED_NAME_MAX         255u
#define TG_SHARED_DICTIONARIES_MAX 1024u

enum tg_shared_kind {
  TG_SHARED_NIL,
  TG_SHARED_BOOLEAN,
  TG_SHARED_NUMBER,
  TG_SHARED_STRING,
  TG_SHARED_TABLE, /* bytes whose meaning only the caller knows */
};

struct tg_shared_value {
  enum tg_shared_kind kind;
  bool boolean;          /* BOOLEAN */
  double number;         /* NUMBER */
  struct tg_slice bytes; /* STRING and TABLE */
};

struct tg_loop_clock;
struct tg_shared;          /* one dictionary */
struct tg_shared_registry; /* all of a process */

/* `clock` gives monotonic nanoseconds; NULL means tg_clock_now. NULL when memory is gone. */
struct tg_shared_registry *tg_shared_registry_new(uint64_t (*clock)(void));

/* Tests: dictionaries that are made from now on count time by a loop's clock, and are used by its
 * thread alone. */
void tg_shared_registry_set_clock(struct tg_shared_registry *registry,
                                  const struct tg_loop_clock *clock);

/* Frees all dictionaries; no other thread may use one any more. NULL is allowed. */
void tg_shared_registry_free(struct tg_shared_registry *registry);

/* Finds the dictionary of that name or makes it. It lives as long as the registry. `bytes` is its
 * budget: 0 leaves it as it is (the default for a new one), another value changes it, so that a
 * reload can. TG_EINVALID: the name is empty or too long, or `bytes` is too small; TG_EOVERLOAD:
 * there are too many dictionaries; TG_ENOMEM. */
TG_MUST_CHECK tg_status tg_shared_registry_get(struct tg_shared_registry *registry,
                                               struct tg_slice name, uint64_t bytes,
                                               struct tg_shared **shared);

/* Reads a value; its bytes are copied into `bytes`, which is emptied first. TG_ENOT_FOUND;
 * TG_ENOMEM. */
TG_MUST_CHECK tg_status tg_shared_get(struct tg_shared *shared, struct tg_slice key,
                                      struct tg_buffer *bytes, struct tg_shared_value *value);

/* How a value is stored. */
enum tg_shared_mode {
  TG_SHARED_SET,     /* always */
  TG_SHARED_ADD,     /* only where there is none: else TG_EEXISTS */
  TG_SHARED_REPLACE, /* only where there is one: else TG_ENOT_FOUND */
};

/* Stores a copy of a value for `ttl` seconds; 0 means for ever. A NIL value deletes (and ADD of it
 * stores nothing). TG_ETOO_LARGE: the key is too long, or key and value are larger than the budget;
 * TG_EINVALID: `ttl` is negative or no number; TG_ENOMEM. After an error nothing has changed. */
TG_MUST_CHECK tg_status tg_shared_put(struct tg_shared *shared, enum tg_shared_mode mode,
                                      struct tg_slice key, const struct tg_shared_value *value,
                                      double ttl);

/* Adds `by` to a number and gives the sum. A key that is absent begins at `*init` with `ttl`
 * seconds to live; where `init` is NULL, it is TG_ENOT_FOUND. An entry's own time to live stays.
 * TG_ECONFLICT: the value is no number; else as tg_shared_put. */
TG_MUST_CHECK tg_status tg_shared_incr(struct tg_shared *shared, struct tg_slice key, double by,
                                       const double *init, double ttl, double *sum);

/* Removes a key; false when there was none. */
bool tg_shared_delete(struct tg_shared *shared, struct tg_slice key);

/* Seconds that a key has left; infinite where it has no end. TG_ENOT_FOUND. */
TG_MUST_CHECK tg_status tg_shared_ttl(struct tg_shared *shared, struct tg_slice key,
                                      double *seconds);

/* Gives a key `ttl` seconds from now on (0: for ever). TG_ENOT_FOUND, TG_EINVALID. */
TG_MUST_CHECK tg_status tg_shared_expire(struct tg_shared *shared, struct tg_slice key, double ttl);

struct tg_shared_stats {
  uint64_t entries; /* expired ones that were not swept yet included */
  uint64_t bytes;   /* keys, values and what it takes to keep them */
  uint64_t budget;
  uint64_t evicted; /* entries pushed out before their time, so far */
};

void tg_shared_stats(struct tg_shared *shared, struct tg_shared_stats *stats);

#endif
