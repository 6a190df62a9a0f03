/* The keyed hash: known answers, and seeds that differ. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/hash.h"

/* SipHash-1-3 with the key 00 01 .. 0f of the messages "", 00, 00 01, .. (as in other
 * implementations). */
static void known_answers(void **state) {
  (void)state;
  static const uint64_t expected[] = {
      0xabac0158050fc4dcull, 0xc9f49bf37d57ca93ull, 0x82cb9b024dc7d44dull,
      0x8bf80ab8e7ddf7fbull, 0xcf75576088d38328ull, 0xdef9d52f49533b67ull,
      0xc50d2b50c59f22a7ull, 0xd3927d989bb11140ull, 0x369095118d299a8eull};
  struct tg_hash_seed seed = {{0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull}};
  char message[16];
  for (size_t i = 0; i < sizeof message; i++) message[i] = (char)i;
  for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
    assert_true(tg_hash(&seed, tg_slice(message, i)) == expected[i]);
}

static void seeds_differ(void **state) {
  (void)state;
  struct tg_hash_seed a, b;
  tg_hash_seed_init(&a);
  tg_hash_seed_init(&b);
  assert_true(tg_hash(&a, TG_SLICE("key")) != tg_hash(&b, TG_SLICE("key")));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(known_answers),
      cmocka_unit_test(seeds_differ),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
