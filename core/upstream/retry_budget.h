/* How many requests of a group may be tried again: a share of all, so that retries cannot multiply
 * the load of peers that fail because of load. Pure. */
#ifndef TG_UPSTREAM_RETRY_BUDGET_H
#define TG_UPSTREAM_RETRY_BUDGET_H

#include <stdbool.h>

/* What a group that was idle has, and the most that can be saved up. */
#define TG_RETRY_BUDGET_MAX 10.0

struct tg_retry_budget {
  double tokens;
};

static inline void tg_retry_budget_init(struct tg_retry_budget *budget) {
  budget->tokens = TG_RETRY_BUDGET_MAX;
}

/* A first try: it pays `share` of a retry in. */
static inline void tg_retry_budget_deposit(struct tg_retry_budget *budget, double share) {
  budget->tokens += share;
  if (budget->tokens > TG_RETRY_BUDGET_MAX) budget->tokens = TG_RETRY_BUDGET_MAX;
}

/* Takes one out, if there is one. */
static inline bool tg_retry_budget_take(struct tg_retry_budget *budget) {
  if (budget->tokens < 1) return false;
  budget->tokens -= 1;
  return true;
}

#endif
