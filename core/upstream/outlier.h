/* Ejection of a peer that fails again and again: counting, pure. */
#ifndef TG_UPSTREAM_OUTLIER_H
#define TG_UPSTREAM_OUTLIER_H

#include <stdbool.h>
#include <stdint.h>

struct tg_outlier {
  uint32_t failures;  /* one after another */
  uint32_t ejections; /* without a long good time in between */
  uint64_t until;     /* ejected to then; 0: it never was */
};

/* Is it ejected now? */
static inline bool tg_outlier_out(const struct tg_outlier *outlier, uint64_t now) {
  return outlier->until > now;
}

/* Takes an outcome in. True: it is ejected by that, for `eject` nanoseconds, doubled at each
 * further time up to `most`. `limit` failures do it; 0: nothing does. */
bool tg_outlier_note(struct tg_outlier *outlier, bool failed, uint32_t limit, uint64_t eject,
                     uint64_t most, uint64_t now);

#endif
