/* Coarse deadlines of connections: a hashed wheel of ticks, cheap enough to move on every request.
 *
 * Moving a deadline later only writes a number; the node is put right when its old slot comes up. A
 * deadline fires at most one tick late. */
#ifndef TG_LOOP_TIMER_WHEEL_H
#define TG_LOOP_TIMER_WHEEL_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/list.h"
#include "base/status.h"

#define TG_WHEEL_TICK  (50 * 1000000ull) /* nanoseconds */
#define TG_WHEEL_SLOTS 256

struct tg_wheel_node {
  struct tg_list link;
  uint64_t due;      /* 0: no deadline */
  uint64_t slot_due; /* deadline that its place in the wheel stands for */
  void (*fire)(struct tg_wheel_node *node);
};

struct tg_wheel {
  struct tg_list slots[TG_WHEEL_SLOTS];
  uint64_t tick; /* number of the last tick that was handled */
  uint64_t count;
  bool running;
  uv_timer_t uv;
};

TG_MUST_CHECK tg_status tg_wheel_init(struct tg_wheel *wheel, uv_loop_t *uv, uint64_t now);

/* Begins to close the handle; all nodes must be gone. */
void tg_wheel_close(struct tg_wheel *wheel);

static inline void tg_wheel_node_init(struct tg_wheel_node *node,
                                      void (*fire)(struct tg_wheel_node *)) {
  tg_list_init(&node->link);
  node->due = node->slot_due = 0;
  node->fire = fire;
}

/* Sets or moves a deadline (monotonic nanoseconds, not 0). */
void tg_wheel_set(struct tg_wheel *wheel, struct tg_wheel_node *node, uint64_t now, uint64_t due);

/* Takes the deadline away, lazily: the node may stay in the wheel, without effect. */
static inline void tg_wheel_clear(struct tg_wheel_node *node) {
  node->due = 0;
}

/* Takes the node out of the wheel; before its memory goes. */
void tg_wheel_remove(struct tg_wheel *wheel, struct tg_wheel_node *node);

#endif
