/* The clock of a loop: the process's own, or for tests a fake one that jumps.
 *
 * A fake clock stands still while code runs, so that a test measures exactly what it has waited
 * for. When nothing is ready and nothing outside of the loop is under way, it jumps to the next
 * deadline: sleeping for an hour takes no time. While something outside is under way (a socket, a
 * file, a process, another thread) it goes as fast as the real one, so that what waits beside it
 * still waits its time. It never goes back.
 *
 * The loop asks it once a turn (loop.c); whoever makes a deadline for tg_timer_start reads
 * tg_loop_time. */
#ifndef TG_LOOP_CLOCK_H
#define TG_LOOP_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct tg_loop_clock {
  uint64_t now;   /* what it showed at `mark` */
  uint64_t mark;  /* the real clock then; 0 while it stands */
  uint64_t begun; /* what it showed when `wall` was read */
  uint64_t wall;  /* nanoseconds since 1970 */
  bool real;      /* it goes all the time, and never jumps */
};

/* Begins where the real one is, at a whole second; it stands. */
void tg_loop_clock_init(struct tg_loop_clock *clock);

/* Monotonic nanoseconds. */
uint64_t tg_loop_clock_time(const struct tg_loop_clock *clock);

/* Nanoseconds since 1970: the real ones at the last tg_loop_clock_set_wall, and what has passed
 * since. */
uint64_t tg_loop_clock_wall(const struct tg_loop_clock *clock);

/* A test that wants real time: from now on it goes as the real one does; with false it stands, and
 * jumps, again. */
void tg_loop_clock_set_real(struct tg_loop_clock *clock, bool real);

/* From now on it goes, or stands (a real one goes on). */
void tg_loop_clock_go(struct tg_loop_clock *clock);
void tg_loop_clock_stand(struct tg_loop_clock *clock);

/* Puts it forward to `time`, or leaves it where it is when that is past. */
void tg_loop_clock_jump(struct tg_loop_clock *clock, uint64_t time);

/* Takes the wall clock anew: `nanoseconds` since 1970. */
void tg_loop_clock_set_wall(struct tg_loop_clock *clock, uint64_t nanoseconds);

#endif
