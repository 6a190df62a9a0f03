/* SipHash-1-3 (Aumasson and Bernstein): the fewest rounds that are in use against chosen keys. */
#include "base/hash.h"

#include <sys/random.h>

#include "base/clock.h"

#define ROTATE(x, n) ((x) << (n) | (x) >> (64 - (n)))

/* Where the system has no random bytes to give, the clock and an address are better than nothing.
 */
void tg_hash_seed_init(struct tg_hash_seed *seed) {
  seed->words[0] = tg_clock_now();
  seed->words[1] = (uint64_t)(uintptr_t)seed ^ tg_clock_wall();
  ssize_t n = getrandom(seed->words, sizeof seed->words, 0);
  (void)n;
}

static inline void mix(uint64_t v[4]) {
  v[0] += v[1];
  v[2] += v[3];
  v[1] = ROTATE(v[1], 13) ^ v[0];
  v[3] = ROTATE(v[3], 16) ^ v[2];
  v[0] = ROTATE(v[0], 32);
  v[2] += v[1];
  v[0] += v[3];
  v[1] = ROTATE(v[1], 17) ^ v[2];
  v[3] = ROTATE(v[3], 21) ^ v[0];
  v[2] = ROTATE(v[2], 32);
}

static inline void take_word(uint64_t v[4], uint64_t word) {
  v[3] ^= word;
  mix(v);
  v[0] ^= word;
}

uint64_t tg_hash(const struct tg_hash_seed *seed, struct tg_slice key) {
  uint64_t v[4] = {seed->words[0] ^ 0x736f6d6570736575ull, seed->words[1] ^ 0x646f72616e646f6dull,
                   seed->words[0] ^ 0x6c7967656e657261ull, seed->words[1] ^ 0x7465646279746573ull};
  uint64_t last = (uint64_t)key.len << 56;
  const char *ptr = key.ptr;
  size_t left = key.len;
  for (; left >= 8; ptr += 8, left -= 8) {
    uint64_t word;
    memcpy(&word, ptr, 8);
    take_word(v, word);
  }
  for (size_t i = 0; i < left; i++) last |= (uint64_t)(unsigned char)ptr[i] << (8 * i);
  take_word(v, last);
  v[2] ^= 0xFF;
  for (int i = 0; i < 3; i++) mix(v);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}
