/* See http_turn.h. */
#include "await/http_turn.h"

#include "base/check.h"

#define ROOM 1024u /* calls that wait at one gate; more are refused */

tg_status tg_http_turn_add(struct tg_http_turn *turn, struct tg_slice name, uint32_t limit) {
  TG_CHECK(turn->count < 2 && !turn->inside);
  struct tg_gate *gate = tg_gates_hold(turn->gates, name, limit, ROOM);
  if (!gate) return TG_ENOMEM;
  turn->gate[turn->count++] = gate;
  return TG_OK;
}

static void on_ready(struct tg_gate_wait *wait, tg_status status) {
  struct tg_http_turn *turn = TG_CONTAINER(wait, struct tg_http_turn, wait);
  if (status == TG_OK) {
    turn->inside++;
    status = tg_http_turn_enter(turn);
  }
  if (status != TG_EAGAIN) turn->ready(turn, status);
}

tg_status tg_http_turn_enter(struct tg_http_turn *turn) {
  turn->wait.ready = on_ready;
  while (turn->inside < turn->count) {
    tg_status status =
        tg_gate_enter(turn->gate[turn->inside], turn->loop, &turn->wait, turn->deadline);
    if (status) return status;
    turn->inside++;
  }
  return TG_OK;
}

void tg_http_turn_leave(struct tg_http_turn *turn) {
  tg_gate_cancel(&turn->wait);
  while (turn->inside) tg_gate_leave(turn->gate[--turn->inside]);
  while (turn->count) tg_gates_release(turn->gates, turn->gate[--turn->count]);
}
