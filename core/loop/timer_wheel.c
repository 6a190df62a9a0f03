/* The wheel behind timer_wheel.h. A node sits in the slot of the deadline that it had when it was
 * put there; when that slot comes up it fires, moves on to its later deadline, or drops out. So a
 * keep-alive connection that is used a thousand times a second is moved a few times a minute. */
#include "loop/timer_wheel.h"

#include "base/check.h"
#include "base/clock.h"

static struct tg_list *slot_of(struct tg_wheel *wheel, uint64_t due) {
  return &wheel->slots[(due / TG_WHEEL_TICK + 1) % TG_WHEEL_SLOTS];
}

static void insert(struct tg_wheel *wheel, struct tg_wheel_node *node, uint64_t now, uint64_t due) {
  /* Further away than one turn of the wheel: wait in the last slot and look again there. */
  uint64_t horizon = now + (TG_WHEEL_SLOTS - 3) * TG_WHEEL_TICK;
  node->slot_due = due < horizon ? due : horizon;
  tg_list_append(slot_of(wheel, node->slot_due), &node->link);
}

static void turn_slot(struct tg_wheel *wheel, uint64_t tick, uint64_t now) {
  struct tg_list due;
  tg_list_init(&due);
  tg_list_move(&due, &wheel->slots[tick % TG_WHEEL_SLOTS]);
  struct tg_list *link;
  while ((link = tg_list_take_first(&due))) {
    struct tg_wheel_node *node = TG_CONTAINER(link, struct tg_wheel_node, link);
    if (node->due == 0) {
      node->slot_due = 0;
      wheel->count--;
    } else if (node->due > now) {
      insert(wheel, node, now, node->due);
    } else {
      node->due = node->slot_due = 0;
      wheel->count--;
      node->fire(node);
    }
  }
}

static void on_tick(uv_timer_t *uv) {
  struct tg_wheel *wheel = uv->data;
  uint64_t now = tg_clock_now();
  uint64_t tick = now / TG_WHEEL_TICK;
  /* After a long stall one full turn visits every slot; more would visit them again. */
  if (tick - wheel->tick > TG_WHEEL_SLOTS) wheel->tick = tick - TG_WHEEL_SLOTS;
  while (wheel->tick < tick) turn_slot(wheel, ++wheel->tick, now);
  if (wheel->count == 0) {
    uv_timer_stop(uv);
    wheel->running = false;
  }
}

tg_status tg_wheel_init(struct tg_wheel *wheel, uv_loop_t *uv, uint64_t now) {
  for (int i = 0; i < TG_WHEEL_SLOTS; i++) tg_list_init(&wheel->slots[i]);
  wheel->tick = now / TG_WHEEL_TICK;
  wheel->count = 0;
  wheel->running = false;
  tg_status status = uv_timer_init(uv, &wheel->uv);
  wheel->uv.data = wheel;
  uv_unref((uv_handle_t *)&wheel->uv);
  return status;
}

void tg_wheel_close(struct tg_wheel *wheel) {
  TG_CHECK(wheel->count == 0);
  uv_close((uv_handle_t *)&wheel->uv, NULL);
}

void tg_wheel_set(struct tg_wheel *wheel, struct tg_wheel_node *node, uint64_t now, uint64_t due) {
  node->due = due;
  if (node->slot_due && node->slot_due <= due) return;
  if (node->slot_due)
    tg_list_remove(&node->link);
  else
    wheel->count++;
  if (!wheel->running) {
    wheel->running = true;
    wheel->tick = now / TG_WHEEL_TICK;
    uv_timer_start(&wheel->uv, on_tick, TG_WHEEL_TICK / TG_MILLISECOND,
                   TG_WHEEL_TICK / TG_MILLISECOND);
  }
  insert(wheel, node, now, due);
}

void tg_wheel_remove(struct tg_wheel *wheel, struct tg_wheel_node *node) {
  if (node->slot_due) wheel->count--;
  node->due = node->slot_due = 0;
  tg_list_remove(&node->link);
}
