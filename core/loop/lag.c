/* Two histograms: one that fills, and the one before it. Four bins for each doubling; one writer,
 * so that counting is a load and a store. */
#include "loop/lag.h"

#include "base/clock.h"

#define WINDOW (10 * TG_SECOND)
#define UNIT   16384u /* nanoseconds: what is below is as good as nothing */

static unsigned bin_of(uint64_t took) {
  uint64_t units = took / UNIT;
  if (units < 4) return (unsigned)units;
  unsigned octave = 63u - (unsigned)__builtin_clzll(units); /* at least 2 */
  unsigned bin = 4 * (octave - 1) + ((units >> (octave - 2)) & 3);
  return bin < TG_LAG_BINS ? bin : TG_LAG_BINS - 1;
}

/* The least that is above all of the bin. */
static uint64_t end_of(unsigned bin) {
  if (bin < 4) return (bin + 1) * (uint64_t)UNIT;
  unsigned octave = bin / 4 + 1;
  return ((uint64_t)(bin % 4 + 5) << (octave - 2)) * UNIT;
}

static void begin(struct tg_lag_window *window, uint64_t now) {
  for (unsigned i = 0; i < TG_LAG_BINS; i++)
    atomic_store_explicit(&window->bins[i], 0, memory_order_relaxed);
  atomic_store_explicit(&window->longest, 0, memory_order_relaxed);
  atomic_store_explicit(&window->begun, now, memory_order_relaxed);
}

void tg_lag_note(struct tg_lag *lag, uint64_t now, uint64_t took) {
  struct tg_lag_window *window = &lag->windows[lag->current];
  if (now - atomic_load_explicit(&window->begun, memory_order_relaxed) >= WINDOW) {
    lag->current = !lag->current;
    window = &lag->windows[lag->current];
    begin(window, now);
  }
  atomic_uint *bin = &window->bins[bin_of(took)];
  atomic_store_explicit(bin, atomic_load_explicit(bin, memory_order_relaxed) + 1,
                        memory_order_relaxed);
  if (took > atomic_load_explicit(&window->longest, memory_order_relaxed))
    atomic_store_explicit(&window->longest, took, memory_order_relaxed);
}

void tg_lag_read(struct tg_lag *lag, uint64_t now, struct tg_lag_report *report) {
  uint64_t bins[TG_LAG_BINS] = {0};
  *report = (struct tg_lag_report){0};
  for (unsigned i = 0; i < 2; i++) {
    struct tg_lag_window *window = &lag->windows[i];
    uint64_t begun = atomic_load_explicit(&window->begun, memory_order_relaxed);
    if (!begun || now > begun + 2 * WINDOW) continue;
    uint64_t longest = atomic_load_explicit(&window->longest, memory_order_relaxed);
    if (longest > report->longest) report->longest = longest;
    for (unsigned k = 0; k < TG_LAG_BINS; k++) {
      unsigned count = atomic_load_explicit(&window->bins[k], memory_order_relaxed);
      bins[k] += count;
      report->turns += count;
    }
  }
  uint64_t above = report->turns / 100, seen = 0;
  for (unsigned k = TG_LAG_BINS; k-- && !report->p99;) {
    seen += bins[k];
    if (seen > above) report->p99 = end_of(k);
  }
  if (report->p99 > report->longest) report->p99 = report->longest;
}
