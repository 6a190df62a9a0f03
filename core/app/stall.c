/* Rows by place; the one that was told longest ago makes room for a new one. */
#include "app/stall.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log_record.h"
#include "bind/handler.h"
#include "script/vm.h"

#define TELL_EVERY (10 * TG_SECOND)

static struct tg_stall_place *find(struct tg_stall *stall, const char *place) {
  struct tg_stall_place *oldest = &stall->places[0];
  for (size_t i = 0; i < TG_STALL_PLACES; i++) {
    struct tg_stall_place *row = &stall->places[i];
    if (row->told && strcmp(row->place, place) == 0) return row;
    if (row->told < oldest->told) oldest = row;
  }
  *oldest = (struct tg_stall_place){0};
  snprintf(oldest->place, sizeof oldest->place, "%s", place);
  return oldest;
}

static void tell(const struct tg_stall_place *row, struct tg_vm *vm, uint64_t took) {
  struct tg_log *log = vm->host->log;
  const struct tg_handling *handling = tg_handler_current(vm);
  char id[40];
  struct tg_log_record record;
  if (!log || !tg_log_enabled(log, TG_LOG_WARN)) return;
  tg_log_record_begin(&record, log, TG_LOG_WARN, TG_SLICE("a step kept its loop busy"));
  tg_log_record_number(&record, "ms", floor((double)took / 1e5) / 10);
  tg_log_record_text(&record, "place", tg_slice_cstr(row->place));
  if (handling) {
    const struct tg_exchange *exchange = handling->exchange;
    tg_log_record_text(&record, "route", exchange->route->name);
    tg_log_record_text(&record, "defined", exchange->route->place);
    tg_log_record_text(&record, "request", tg_slice(id, tg_exchange_id(exchange, id)));
  }
  tg_log_record_int(&record, "loop", vm->index);
  if (row->repeated) tg_log_record_int(&record, "repeated", (int64_t)row->repeated);
  tg_log_record_end(&record, log);
}

static void on_slow(struct tg_watch *watch, struct tg_vm *vm, uint64_t took) {
  struct tg_stall *stall = TG_CONTAINER(watch, struct tg_stall, watch);
  struct tg_stall_place *row = find(stall, watch->place[0] ? watch->place : "?");
  uint64_t now = tg_clock_now();
  atomic_fetch_add_explicit(&stall->steps, 1, memory_order_relaxed);
  if (row->told && now - row->told < TELL_EVERY) {
    row->repeated++;
    return;
  }
  tell(row, vm, took);
  row->told = now;
  row->repeated = 0;
}

void tg_stall_init(struct tg_stall *stall, uint64_t after) {
  stall->watch.slow_after = after;
  stall->watch.slow = on_slow;
}
