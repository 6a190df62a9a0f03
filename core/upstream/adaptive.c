/* See adaptive.h. The gradient of Netflix's concurrency-limits, with a usual latency that follows a
 * lower one soon and a higher one very slowly: an overload that lasts must not become usual. */
#include "upstream/adaptive.h"

#include <math.h>

#define TOLERANCE    1.5
#define FOLLOW_LOWER 0.2
#define FOLLOW_UPPER 0.002

static double within(double value, double least, double most) {
  return value < least ? least : value > most ? most : value;
}

uint32_t tg_adaptive_limit(struct tg_adaptive *adaptive, const struct tg_rules_adaptive *rules) {
  if (adaptive->limit <= 0) adaptive->limit = rules->least;
  adaptive->limit = within(adaptive->limit, rules->least, rules->most);
  return (uint32_t)adaptive->limit;
}

static void end_round(struct tg_adaptive *adaptive, const struct tg_rules_adaptive *rules) {
  double latency = adaptive->sum / adaptive->answers, limit = adaptive->limit;
  if (adaptive->usual <= 0) adaptive->usual = latency;
  double gradient = within(TOLERANCE * adaptive->usual / latency, 0.5, 1);
  /* a tenth that fails says the same as answers that are slow */
  if (adaptive->failures * 10 >= adaptive->answers && gradient > 0.8) gradient = 0.8;
  bool used = 2 * adaptive->peak >= limit; /* else more of it would say nothing */
  if (gradient < 1 || used) limit = limit * gradient + sqrt(limit);
  double follow = latency < adaptive->usual ? FOLLOW_LOWER : FOLLOW_UPPER;
  adaptive->usual += (latency - adaptive->usual) * follow;
  adaptive->limit = within(limit, rules->least, rules->most);
}

bool tg_adaptive_note(struct tg_adaptive *adaptive, const struct tg_rules_adaptive *rules,
                      uint64_t latency, bool failed, uint32_t active, uint64_t now) {
  uint32_t before = tg_adaptive_limit(adaptive, rules);
  if (!adaptive->begun) adaptive->begun = now;
  if (active > adaptive->peak) adaptive->peak = active;
  adaptive->failures += failed;
  if (latency && !failed) {
    adaptive->sum += (double)latency;
    adaptive->answers++;
  }
  if (adaptive->answers < TG_ADAPTIVE_ANSWERS || now - adaptive->begun < TG_ADAPTIVE_ROUND)
    return false;
  end_round(adaptive, rules);
  adaptive->begun = now;
  adaptive->sum = 0;
  adaptive->answers = adaptive->failures = adaptive->peak = 0;
  return (uint32_t)adaptive->limit != before;
}
