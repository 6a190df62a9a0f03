/* Which of several peers is next: the algorithms, pure. No lock, no clock, no peer: seats.
 *
 * A caller gathers the seats that may be taken, each with a weight above 0, and asks one of the
 * functions below for the place of the one to take. */
#ifndef TG_UPSTREAM_BALANCE_H
#define TG_UPSTREAM_BALANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Weights are scaled by this, so that a slow start has fine steps. */
#define TG_BALANCE_UNIT 1000

/* After so long without a sample an average has fallen to 1/e. */
#define TG_BALANCE_DECAY 10000000000ull

struct tg_balance_seat {
  int64_t weight;   /* of now: TG_BALANCE_UNIT times what is configured, less while it warms up */
  int64_t turn;     /* round robin: how much it is owed */
  uint32_t active;  /* requests under way */
  double latency;   /* peak EWMA, nanoseconds; 0: unknown */
  uint64_t sampled; /* when that was */
  uint64_t hash;    /* of what identifies it */
};

/* Numbers for the algorithms with chance: xorshift64*, seeded with anything but 0. */
uint64_t tg_balance_random(uint64_t *state);

/* Smooth weighted round robin: in a cycle each is taken as often as its weight says, spread evenly.
 */
size_t tg_balance_round_robin(struct tg_balance_seat *const *seats, size_t count);

/* The fewest requests under way for its weight; among equals by round robin. */
size_t tg_balance_least_requests(struct tg_balance_seat *const *seats, size_t count);

/* Two by chance, and of them the one whose latency times requests under way is less. */
size_t tg_balance_ewma(struct tg_balance_seat *const *seats, size_t count, uint64_t now,
                       uint64_t *random);

/* By chance, as the weights say. */
size_t tg_balance_weighted(struct tg_balance_seat *const *seats, size_t count, uint64_t *random);

/* By the highest score of key and seat (weighted rendezvous): without one of the seats only its
 * own keys go elsewhere. */
size_t tg_balance_rendezvous(struct tg_balance_seat *const *seats, size_t count, uint64_t key);

/* Takes a latency into the average: a higher one at once, a lower one slowly. */
void tg_balance_sample(struct tg_balance_seat *seat, uint64_t latency, uint64_t now);

/* What is left of its latency by now. */
double tg_balance_latency(const struct tg_balance_seat *seat, uint64_t now);

#endif
