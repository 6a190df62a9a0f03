/* How many requests at once a group takes, found by its latency: pure.
 *
 * While answers take as long as they usually do, the limit grows by its square root a round; where
 * they take more than half as long again, requests wait within the group, and it shrinks by that
 * share, to a half at most. A round is a tenth of a second and ten answers, whichever is longer. */
#ifndef TG_UPSTREAM_ADAPTIVE_H
#define TG_UPSTREAM_ADAPTIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "upstream/rules.h"

#define TG_ADAPTIVE_ROUND   100000000ull /* nanoseconds */
#define TG_ADAPTIVE_ANSWERS 10u

struct tg_adaptive {
  double limit; /* 0: it has not begun */
  double usual; /* latency, nanoseconds */
  uint64_t begun;
  double sum; /* of the latencies of this round */
  uint32_t answers, failures, peak;
};

/* The limit as it is, begun at the least where it has not. */
uint32_t tg_adaptive_limit(struct tg_adaptive *adaptive, const struct tg_rules_adaptive *rules);

/* An answer, or a failure, came while `active` requests were under way. True: the limit has
 * changed. */
bool tg_adaptive_note(struct tg_adaptive *adaptive, const struct tg_rules_adaptive *rules,
                      uint64_t latency, bool failed, uint32_t active, uint64_t now);

#endif
