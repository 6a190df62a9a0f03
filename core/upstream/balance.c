/* The algorithms of balance.h. */
#include "upstream/balance.h"

#include <math.h>

uint64_t tg_balance_random(uint64_t *state) {
  uint64_t x = *state;
  x ^= x >> 12, x ^= x << 25, x ^= x >> 27;
  *state = x;
  return x * 0x2545f4914f6cdd1dull;
}

/* At least 0, less than `bound`, all alike (Lemire's multiplication; the error is below 2^-32). */
static uint64_t below(uint64_t *random, uint64_t bound) {
  return (tg_balance_random(random) >> 32) * bound >> 32;
}

/* As nginx does it: everybody is paid his weight, the richest is taken and pays for all. */
size_t tg_balance_round_robin(struct tg_balance_seat *const *seats, size_t count) {
  size_t best = 0;
  int64_t total = 0;
  for (size_t i = 0; i < count; i++) {
    seats[i]->turn += seats[i]->weight;
    total += seats[i]->weight;
    if (seats[i]->turn > seats[best]->turn) best = i;
  }
  seats[best]->turn -= total;
  return best;
}

static bool fewer(const struct tg_balance_seat *a, const struct tg_balance_seat *b) {
  return (int64_t)a->active * b->weight < (int64_t)b->active * a->weight;
}

size_t tg_balance_least_requests(struct tg_balance_seat *const *seats, size_t count) {
  size_t least = 0, best = SIZE_MAX;
  int64_t total = 0;
  for (size_t i = 1; i < count; i++)
    if (fewer(seats[i], seats[least])) least = i;
  for (size_t i = 0; i < count; i++) {
    if (fewer(seats[least], seats[i])) continue;
    seats[i]->turn += seats[i]->weight;
    total += seats[i]->weight;
    if (best == SIZE_MAX || seats[i]->turn > seats[best]->turn) best = i;
  }
  seats[best]->turn -= total;
  return best;
}

size_t tg_balance_weighted(struct tg_balance_seat *const *seats, size_t count, uint64_t *random) {
  uint64_t total = 0;
  for (size_t i = 0; i < count; i++) total += (uint64_t)seats[i]->weight;
  uint64_t at = below(random, total);
  for (size_t i = 0; i < count; i++) {
    if (at < (uint64_t)seats[i]->weight) return i;
    at -= (uint64_t)seats[i]->weight;
  }
  return count - 1;
}

double tg_balance_latency(const struct tg_balance_seat *seat, uint64_t now) {
  if (now <= seat->sampled) return seat->latency;
  return seat->latency * exp(-(double)(now - seat->sampled) / (double)TG_BALANCE_DECAY);
}

void tg_balance_sample(struct tg_balance_seat *seat, uint64_t latency, uint64_t now) {
  double sample = (double)latency;
  if (sample >= seat->latency || !seat->sampled) {
    seat->latency = sample;
  } else if (now > seat->sampled) {
    double keep = exp(-(double)(now - seat->sampled) / (double)TG_BALANCE_DECAY);
    seat->latency = seat->latency * keep + sample * (1 - keep);
  }
  if (now > seat->sampled) seat->sampled = now;
}

/* One that was never asked is asked at once, but not by all at once. */
static double cost(const struct tg_balance_seat *seat, uint64_t now) {
  double latency = tg_balance_latency(seat, now);
  if (!seat->sampled) latency = seat->active ? 1e9 : 0;
  return (latency + 1) * (seat->active + 1.0) / (double)seat->weight;
}

size_t tg_balance_ewma(struct tg_balance_seat *const *seats, size_t count, uint64_t now,
                       uint64_t *random) {
  if (count == 1) return 0;
  size_t one = (size_t)below(random, count);
  size_t two = (size_t)below(random, count - 1);
  if (two >= one) two++;
  return cost(seats[two], now) < cost(seats[one], now) ? two : one;
}

static uint64_t mix(uint64_t x) {
  x ^= x >> 30, x *= 0xbf58476d1ce4e5b9ull;
  x ^= x >> 27, x *= 0x94d049bb133111ebull;
  return x ^ x >> 31;
}

size_t tg_balance_rendezvous(struct tg_balance_seat *const *seats, size_t count, uint64_t key) {
  size_t best = 0;
  double highest = -1;
  for (size_t i = 0; i < count; i++) {
    double unit = ((double)(mix(key ^ mix(seats[i]->hash)) >> 11) + 0.5) * 0x1p-53;
    double score = (double)seats[i]->weight / -log(unit);
    if (score > highest) highest = score, best = i;
  }
  return best;
}
