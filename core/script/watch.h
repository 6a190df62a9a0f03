/* What a thread shows the watchdog: whether Lua runs on it right now, and since when.
 *
 * The thread counts `turns` up when it enters Lua (odd) and when it leaves (even): two stores a
 * step. The watchdog (app/) compares readings, measures the thread's CPU time, and past the budget
 * sends the thread a signal whose handler calls tg_watch_strike. That arms a count hook, the only
 * thing that ends a compiled loop; it stays armed until the step is over, so that a pcall around
 * the loop gains nothing. A strike is for one turn: where its signal comes late, the next step has
 * done nothing wrong.
 *
 * A step that only takes long is noted by the same signal: a hook that runs once keeps the place
 * where the user's code stands, and `slow` is called when the step is over and it is known how long
 * it took. A quick step pays nothing for that. */
#ifndef TG_SCRIPT_WATCH_H
#define TG_SCRIPT_WATCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "script/place.h"

struct tg_vm;

struct tg_watch {
  atomic_ulong turns;        /* odd: inside Lua */
  atomic_ullong budget;      /* CPU nanoseconds that this step may use */
  struct tg_vm *volatile vm; /* whose step it is; read by the signal handler on the same thread */
  volatile bool struck;
  /* steps that take long; set before the thread is watched */
  uint64_t slow_after; /* nanoseconds; 0: nobody cares */
  /* At the end of such a step, on its thread, while its task is still the running one. */
  void (*slow)(struct tg_watch *watch, struct tg_vm *vm, uint64_t took);
  volatile bool noted;
  volatile uint64_t begun;  /* of a step that was noted, monotonic */
  char place[TG_PLACE_MAX]; /* where it stood; "" where that is not known */
  pthread_t thread;
  /* the watchdog's own notes */
  atomic_ulong due; /* the turn that it strikes, written before the signal */
  unsigned long seen;
  uint64_t seen_cpu;
  uint64_t seen_since;      /* it has not begun before that */
  atomic_ulong slow_due;    /* the turn that is to be noted, written before the signal */
  atomic_ullong slow_since; /* its seen_since */
};

static inline void tg_watch_enter(struct tg_watch *watch, struct tg_vm *vm, uint64_t budget) {
  atomic_store_explicit(&watch->budget, budget, memory_order_relaxed);
  watch->vm = vm;
  atomic_store_explicit(&watch->turns,
                        atomic_load_explicit(&watch->turns, memory_order_relaxed) + 1,
                        memory_order_release);
}

/* Leaves Lua, and takes the hook away when it was armed. */
void tg_watch_leave(struct tg_watch *watch);

/* From the signal handler, on the watched thread: arms the hook that ends the running step, or the
 * one that notes its place, if that is the one that is due. */
void tg_watch_strike(struct tg_watch *watch);

#endif
