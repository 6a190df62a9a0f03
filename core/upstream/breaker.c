/* See breaker.h. */
#include "upstream/breaker.h"

#include <string.h>

static void change(struct tg_breaker *breaker, enum tg_breaker_state state) {
  breaker->state = state;
  breaker->turn++;
  breaker->probing = breaker->passed = 0;
  if (state == TG_BREAKER_CLOSED) memset(breaker->slices, 0, sizeof breaker->slices);
}

static void open(struct tg_breaker *breaker, const struct tg_rules_breaker *rules, uint64_t now) {
  change(breaker, TG_BREAKER_OPEN);
  breaker->until = now + rules->open;
}

bool tg_breaker_pass(struct tg_breaker *breaker, const struct tg_rules_breaker *rules, uint64_t now,
                     uint32_t *turn, uint64_t *wait) {
  *wait = 0;
  if (rules->errors <= 0 && breaker->state != TG_BREAKER_CLOSED)
    change(breaker, TG_BREAKER_CLOSED); /* a reload has taken it away */
  if (breaker->state == TG_BREAKER_OPEN && now < breaker->until) {
    *wait = breaker->until - now;
    return false;
  }
  if (breaker->state == TG_BREAKER_OPEN) change(breaker, TG_BREAKER_HALF_OPEN);
  *turn = breaker->turn;
  if (breaker->state == TG_BREAKER_CLOSED) return true;
  if (breaker->probing + breaker->passed >= rules->probes) return false;
  breaker->probing++;
  return true;
}

/* The slice of now; those that lie a window back are emptied on the way. */
static struct tg_breaker_slice *slice_of(struct tg_breaker *breaker, uint64_t window,
                                         uint64_t now) {
  uint64_t number = now / (window / TG_BREAKER_SLICES + 1);
  if (number < breaker->slice || number - breaker->slice >= TG_BREAKER_SLICES) {
    memset(breaker->slices, 0, sizeof breaker->slices);
    breaker->slice = number;
  }
  while (breaker->slice < number)
    breaker->slices[++breaker->slice % TG_BREAKER_SLICES] = (struct tg_breaker_slice){0};
  return &breaker->slices[number % TG_BREAKER_SLICES];
}

static bool is_bad(const struct tg_breaker *breaker, const struct tg_rules_breaker *rules) {
  uint64_t requests = 0, failures = 0;
  for (unsigned i = 0; i < TG_BREAKER_SLICES; i++) {
    requests += breaker->slices[i].requests;
    failures += breaker->slices[i].failures;
  }
  return requests >= rules->min && (double)failures >= rules->errors * (double)requests;
}

bool tg_breaker_note(struct tg_breaker *breaker, const struct tg_rules_breaker *rules,
                     uint32_t turn, bool failed, uint64_t now) {
  if (rules->errors <= 0 || turn != breaker->turn) return false;
  if (breaker->state == TG_BREAKER_HALF_OPEN) {
    breaker->probing--;
    if (failed)
      open(breaker, rules, now);
    else if (++breaker->passed >= rules->probes)
      change(breaker, TG_BREAKER_CLOSED);
    else
      return false;
    return true;
  }
  struct tg_breaker_slice *slice = slice_of(breaker, rules->window, now);
  slice->requests++;
  slice->failures += failed;
  if (!failed || !is_bad(breaker, rules)) return false;
  open(breaker, rules, now);
  return true;
}

void tg_breaker_forget(struct tg_breaker *breaker, uint32_t turn) {
  if (turn == breaker->turn && breaker->state == TG_BREAKER_HALF_OPEN) breaker->probing--;
}
