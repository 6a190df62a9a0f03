/* See rules.h. */
#include "upstream/rules.h"

#include <stdlib.h>

#include "base/clock.h"
#include "net/tls_context.h"

struct tg_rules *tg_rules_new(void) {
  struct tg_rules *rules = calloc(1, sizeof *rules);
  if (!rules) return NULL;
  atomic_init(&rules->refs, 1);
  rules->timeouts = (struct tg_rules_timeouts){.connect = 1 * TG_SECOND,
                                               .first_byte = 15 * TG_SECOND,
                                               .idle = 30 * TG_SECOND,
                                               .total = 60 * TG_SECOND};
  rules->retries = 1;
  rules->retry_budget = 0.2;
  rules->queue_wait = 5 * TG_SECOND;
  rules->outlier =
      (struct tg_rules_outlier){.failures = 5, .eject = 10 * TG_SECOND, .most = 300 * TG_SECOND};
  rules->breaker = (struct tg_rules_breaker){
      .min = 20, .window = 10 * TG_SECOND, .open = 5 * TG_SECOND, .probes = 3};
  rules->health = (struct tg_rules_health){
      .timeout = 1 * TG_SECOND, .rise = 2, .fall = 3, .status_least = 200, .status_most = 399};
  rules->dns = (struct tg_rules_dns){.least = 1 * TG_SECOND, .most = 300 * TG_SECOND};
  return rules;
}

void tg_rules_release(struct tg_rules *rules) {
  if (atomic_fetch_sub_explicit(&rules->refs, 1, memory_order_acq_rel) != 1) return;
  if (rules->tls) tg_tls_context_release(rules->tls);
  free(rules);
}
