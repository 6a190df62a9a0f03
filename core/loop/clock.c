/* Arithmetic of clock.h: a clock that goes is a reading and the moment at which it was taken. */
#include "loop/clock.h"

#include "base/clock.h"

/* Whole seconds are exact as the doubles that Lua sees. */
static uint64_t whole_second(uint64_t time) {
  return (time + TG_SECOND - 1) / TG_SECOND * TG_SECOND;
}

void tg_loop_clock_init(struct tg_loop_clock *clock) {
  *clock = (struct tg_loop_clock){.now = whole_second(tg_clock_now())};
  tg_loop_clock_set_wall(clock, tg_clock_wall() / TG_SECOND * TG_SECOND);
}

uint64_t tg_loop_clock_time(const struct tg_loop_clock *clock) {
  return clock->mark ? clock->now + (tg_clock_now() - clock->mark) : clock->now;
}

uint64_t tg_loop_clock_wall(const struct tg_loop_clock *clock) {
  return clock->wall + (tg_loop_clock_time(clock) - clock->begun);
}

void tg_loop_clock_set_real(struct tg_loop_clock *clock, bool real) {
  clock->real = real;
  if (real)
    tg_loop_clock_go(clock);
  else
    tg_loop_clock_stand(clock);
}

void tg_loop_clock_go(struct tg_loop_clock *clock) {
  if (!clock->mark) clock->mark = tg_clock_now();
}

void tg_loop_clock_stand(struct tg_loop_clock *clock) {
  if (clock->real) return;
  clock->now = tg_loop_clock_time(clock);
  clock->mark = 0;
}

void tg_loop_clock_jump(struct tg_loop_clock *clock, uint64_t time) {
  uint64_t now = tg_loop_clock_time(clock);
  if (clock->mark) clock->mark += now - clock->now;
  clock->now = now < time ? time : now;
  tg_loop_clock_stand(clock);
}

void tg_loop_clock_set_wall(struct tg_loop_clock *clock, uint64_t nanoseconds) {
  clock->begun = tg_loop_clock_time(clock);
  clock->wall = nanoseconds;
}
