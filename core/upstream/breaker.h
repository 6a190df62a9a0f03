/* The circuit breaker of a group: counting, pure.
 *
 * Closed, it counts outcomes in a sliding window; where the share of failures is too high it opens,
 * and nobody passes. After its time it is half open: a few probes pass. When all of them go well it
 * closes, with an empty window; when one fails it opens anew. */
#ifndef TG_UPSTREAM_BREAKER_H
#define TG_UPSTREAM_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "upstream/rules.h"

#define TG_BREAKER_SLICES 10

enum tg_breaker_state { TG_BREAKER_CLOSED, TG_BREAKER_OPEN, TG_BREAKER_HALF_OPEN };

struct tg_breaker {
  enum tg_breaker_state state;
  uint32_t turn;            /* counts changes of state: an outcome of an older turn says nothing */
  uint64_t until;           /* open: to then */
  unsigned probing, passed; /* half open: probes under way, and those that went well */
  uint64_t slice;           /* number of the latest one */
  struct tg_breaker_slice {
    uint32_t requests, failures;
  } slices[TG_BREAKER_SLICES];
};

/* May a request pass? If so it counts, and *turn goes to its outcome. Else *wait is how long it had
 * better stay away. */
bool tg_breaker_pass(struct tg_breaker *breaker, const struct tg_rules_breaker *rules, uint64_t now,
                     uint32_t *turn, uint64_t *wait);

/* The outcome of one that has passed. True: the state has changed. */
bool tg_breaker_note(struct tg_breaker *breaker, const struct tg_rules_breaker *rules,
                     uint32_t turn, bool failed, uint64_t now);

/* One that has passed and was given up. */
void tg_breaker_forget(struct tg_breaker *breaker, uint32_t turn);

#endif
