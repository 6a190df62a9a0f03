/* The algorithms of balancing against their theory: shares, evenness, movement, and a slow peer. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/clock.h"
#include "upstream/balance.h"

#define MOST 16

struct table {
  struct tg_balance_seat seats[MOST];
  struct tg_balance_seat *list[MOST];
  size_t count;
  unsigned taken[MOST];
  uint64_t random;
};

static uint64_t mix(uint64_t x) {
  x ^= x >> 33, x *= 0xff51afd7ed558ccdull;
  x ^= x >> 33, x *= 0xc4ceb9fe1a85ec53ull;
  return x ^ x >> 33;
}

static void fill(struct table *table, const unsigned *weights, size_t count) {
  *table = (struct table){.count = count, .random = 0x123456789abcdefull};
  for (size_t i = 0; i < count; i++) {
    table->seats[i].weight = (int64_t)weights[i] * TG_BALANCE_UNIT;
    table->seats[i].hash = mix(i + 1);
    table->list[i] = &table->seats[i];
  }
}

/* Pearson's statistic of what was taken against the weights. */
static double chi_square(const struct table *table, const unsigned *weights) {
  double total = 0, all = 0, sum = 0;
  for (size_t i = 0; i < table->count; i++) total += weights[i], all += table->taken[i];
  for (size_t i = 0; i < table->count; i++) {
    double expected = all * weights[i] / total;
    sum += (table->taken[i] - expected) * (table->taken[i] - expected) / expected;
  }
  return sum;
}

static void test_round_robin_is_exact_and_smooth(void **state) {
  (void)state;
  static const unsigned weights[] = {5, 1, 1};
  struct table table;
  char order[8] = "";
  fill(&table, weights, 3);
  for (int i = 0; i < 7; i++) order[i] = (char)('a' + (int)tg_balance_round_robin(table.list, 3));
  assert_string_equal(order, "aabacaa"); /* as nginx's */
  for (int i = 0; i < 7000; i++) table.taken[tg_balance_round_robin(table.list, 3)]++;
  assert_int_equal(table.taken[0], 5000);
  assert_int_equal(table.taken[1], 1000);
  assert_int_equal(table.taken[2], 1000);
}

static void test_round_robin_goes_on_when_a_seat_leaves(void **state) {
  (void)state;
  static const unsigned weights[] = {1, 1, 1};
  struct table table;
  fill(&table, weights, 3);
  for (int i = 0; i < 3000; i++)
    table.taken[tg_balance_round_robin(table.list, i < 1500 ? 3 : 2)]++;
  assert_int_equal(table.taken[2], 500);
  assert_in_range(table.taken[0], 1249, 1251);
  assert_in_range(table.taken[1], 1249, 1251);
}

/* 20,000 picks; the bounds are the 99.9 % points of the distribution with n - 1 degrees of freedom.
 * The numbers are seeded, so that it passes always or never. */
static void test_random_takes_as_the_weights_say(void **state) {
  (void)state;
  static const unsigned weights[] = {1, 2, 3, 10, 7};
  struct table table;
  fill(&table, weights, 5);
  for (int i = 0; i < 20000; i++) table.taken[tg_balance_weighted(table.list, 5, &table.random)]++;
  assert_true(chi_square(&table, weights) < 18.47);
}

static void test_hash_spreads_as_the_weights_say(void **state) {
  (void)state;
  static const unsigned weights[] = {1, 2, 3, 10, 7};
  struct table table;
  fill(&table, weights, 5);
  for (uint64_t key = 0; key < 20000; key++)
    table.taken[tg_balance_rendezvous(table.list, 5, mix(key))]++;
  assert_true(chi_square(&table, weights) < 18.47);
}

/* Where a seat leaves, its keys move and no others; where one comes, keys move to it and nowhere
 * else, and no more of them than its share. */
static void test_hash_moves_the_least(void **state) {
  (void)state;
  static const unsigned weights[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  struct table table;
  unsigned moved = 0, wrong = 0;
  const unsigned keys = 20000;
  fill(&table, weights, 10);
  for (uint64_t key = 0; key < keys; key++) {
    size_t ten = tg_balance_rendezvous(table.list, 10, mix(key));
    size_t nine = tg_balance_rendezvous(table.list, 9, mix(key));
    moved += ten != nine;
    wrong += ten != nine && ten != 9;
  }
  assert_int_equal(wrong, 0);
  /* a tenth, and four deviations */
  double bound = 4 * sqrt(keys * 0.1 * 0.9);
  assert_true(fabs(moved - keys * 0.1) < bound);
}

static void test_a_weight_moves_keys_one_way_only(void **state) {
  (void)state;
  static const unsigned weights[] = {2, 2, 2, 2};
  struct table table;
  unsigned gained = 0, others = 0;
  fill(&table, weights, 4);
  for (uint64_t key = 0; key < 5000; key++) {
    table.seats[0].weight = 2 * TG_BALANCE_UNIT;
    size_t before = tg_balance_rendezvous(table.list, 4, mix(key));
    table.seats[0].weight = 3 * TG_BALANCE_UNIT;
    size_t after = tg_balance_rendezvous(table.list, 4, mix(key));
    gained += before != after && after == 0;
    others += before != after && after != 0;
  }
  assert_int_equal(others, 0);
  assert_in_range(gained, 5000 / 12, 5000 / 5); /* from 1/4 to 1/3 of all */
}

static void test_least_requests_weighs_what_is_under_way(void **state) {
  (void)state;
  static const unsigned weights[] = {2, 1, 1};
  struct table table;
  fill(&table, weights, 3);
  for (int i = 0; i < 400; i++) {
    size_t place = tg_balance_least_requests(table.list, 3);
    table.seats[place].active++; /* none ends: they fill up as the weights say */
  }
  assert_int_equal(table.seats[0].active, 200);
  assert_int_equal(table.seats[1].active, 100);
  table.seats[1].active = 0;
  assert_int_equal(tg_balance_least_requests(table.list, 3), 1);
}

static void test_least_requests_takes_turns_among_equals(void **state) {
  (void)state;
  static const unsigned weights[] = {1, 1, 1};
  struct table table;
  fill(&table, weights, 3);
  for (int i = 0; i < 300; i++) table.taken[tg_balance_least_requests(table.list, 3)]++;
  for (int i = 0; i < 3; i++) assert_int_equal(table.taken[i], 100);
}

static void test_ewma_peaks_at_once_and_forgets_slowly(void **state) {
  (void)state;
  struct tg_balance_seat seat = {.weight = TG_BALANCE_UNIT};
  tg_balance_sample(&seat, 10 * TG_MILLISECOND, TG_SECOND);
  assert_true(fabs(seat.latency - 10e6) < 1);
  tg_balance_sample(&seat, 100 * TG_MILLISECOND, 2 * TG_SECOND);
  assert_true(fabs(seat.latency - 100e6) < 1);
  tg_balance_sample(&seat, 10 * TG_MILLISECOND, 2 * TG_SECOND + TG_BALANCE_DECAY);
  assert_true(fabs(seat.latency - (10e6 + 90e6 / exp(1))) < 1e3);
  double later = tg_balance_latency(&seat, 2 * TG_SECOND + 2 * TG_BALANCE_DECAY);
  assert_true(fabs(later - seat.latency / exp(1)) < 1e3);
}

/* A simulation: four peers of 5 ms and one of 100 ms, requests every millisecond, each peer as fast
 * as it is however many it has. By turns the slow one gets a fifth; by latency nearly nothing, but
 * it is asked now and then. */
struct flight {
  uint64_t due, latency;
  size_t place;
};

static void run_slow_peer(struct table *table, unsigned requests) {
  static struct flight flights[4096];
  size_t count = 0;
  uint64_t now = TG_SECOND;
  for (unsigned i = 0; i < requests; i++, now += TG_MILLISECOND) {
    for (size_t k = 0; k < count;) {
      if (flights[k].due > now) {
        k++;
        continue;
      }
      struct tg_balance_seat *seat = table->list[flights[k].place];
      seat->active--;
      tg_balance_sample(seat, flights[k].latency, now);
      flights[k] = flights[--count];
    }
    size_t place = tg_balance_ewma(table->list, table->count, now, &table->random);
    uint64_t latency = (place == 4 ? 100 : 5) * TG_MILLISECOND;
    table->list[place]->active++;
    table->taken[place]++;
    flights[count++] = (struct flight){now + latency, latency, place};
  }
}

static void test_p2c_avoids_a_slow_peer(void **state) {
  (void)state;
  static const unsigned weights[] = {1, 1, 1, 1, 1};
  struct table table;
  fill(&table, weights, 5);
  run_slow_peer(&table, 20000);
  assert_in_range(table.taken[4], 1, 20000 / 50);
  for (int i = 0; i < 4; i++) assert_in_range(table.taken[i], 20000 / 6, 20000 / 3);
}

static void test_ewma_goes_by_weights_and_unknown_ones_first(void **state) {
  (void)state;
  static const unsigned weights[] = {1, 3};
  struct table table;
  fill(&table, weights, 2);
  for (int i = 0; i < 2; i++) tg_balance_sample(&table.seats[i], TG_MILLISECOND, TG_SECOND);
  assert_int_equal(tg_balance_ewma(table.list, 2, TG_SECOND, &table.random), 1);
  table.seats[0] = (struct tg_balance_seat){.weight = TG_BALANCE_UNIT};
  assert_int_equal(tg_balance_ewma(table.list, 2, TG_SECOND, &table.random), 0);
  table.seats[0].active = 1; /* it is being asked: the rest wait for what comes of it */
  assert_int_equal(tg_balance_ewma(table.list, 2, TG_SECOND, &table.random), 1);
  assert_int_equal(tg_balance_ewma(table.list, 1, TG_SECOND, &table.random), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round_robin_is_exact_and_smooth),
      cmocka_unit_test(test_round_robin_goes_on_when_a_seat_leaves),
      cmocka_unit_test(test_random_takes_as_the_weights_say),
      cmocka_unit_test(test_hash_spreads_as_the_weights_say),
      cmocka_unit_test(test_hash_moves_the_least),
      cmocka_unit_test(test_a_weight_moves_keys_one_way_only),
      cmocka_unit_test(test_least_requests_weighs_what_is_under_way),
      cmocka_unit_test(test_least_requests_takes_turns_among_equals),
      cmocka_unit_test(test_ewma_peaks_at_once_and_forgets_slowly),
      cmocka_unit_test(test_p2c_avoids_a_slow_peer),
      cmocka_unit_test(test_ewma_goes_by_weights_and_unknown_ones_first),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
