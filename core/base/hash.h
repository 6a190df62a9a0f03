/* A keyed hash for tables whose keys come from outside: who does not know the seed cannot choose
 * keys that fall together. */
#ifndef TG_BASE_HASH_H
#define TG_BASE_HASH_H

#include <stdint.h>

#include "base/slice.h"

struct tg_hash_seed {
  uint64_t words[2];
};

/* Fills the seed with random bytes of the system. */
void tg_hash_seed_init(struct tg_hash_seed *seed);

/* SipHash-1-3. All 64 bits are equally good. */
uint64_t tg_hash(const struct tg_hash_seed *seed, struct tg_slice key);

#endif
