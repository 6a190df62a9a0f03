/* After a 101: what the client sends goes to the backend and the other way round, until one side
 * ends it. */
#include "base/check.h"
#include "bind/forward_parts.h"

static void end_tunnel(struct tg_forward *forward) {
  tg_relay_cancel(&forward->up);
  tg_relay_cancel(&forward->down);
  tg_forward_give_up(forward);
  tg_forward_end_answer(forward, TG_OK);
  tg_forward_finish_if_over(forward);
}

static void on_tunnel_down(struct tg_relay *relay, tg_status status) {
  struct tg_forward *forward = TG_CONTAINER(relay, struct tg_forward, down);
  if (relay->sink_failed)
    tg_forward_finish_later(forward, status);
  else
    end_tunnel(forward);
}

/* The client has ended its side; the backend may still have something to say. */
static void on_tunnel_up(struct tg_relay *relay, tg_status status) {
  struct tg_forward *forward = TG_CONTAINER(relay, struct tg_forward, up);
  if (status == TG_OK)
    tg_call_shut(forward->delivery.call);
  else if (relay->sink_failed)
    end_tunnel(forward);
  else
    tg_forward_finish_later(forward, status);
}

void tg_forward_open_tunnel(struct tg_forward *forward) {
  struct tg_exchange *exchange = forward->exchange;
  struct tg_call *call = forward->delivery.call;
  tg_status status = exchange->port->upgrade(exchange, &forward->answer);
  if (status) {
    tg_forward_give_up(forward);
    tg_forward_refuse(forward,
                      status == TG_EOVERLOAD
                          ? (struct tg_forward_fault){503, "the server is about to end"}
                          : (struct tg_forward_fault){502, "the backend sent a malformed answer"},
                      0);
    tg_forward_finish_if_over(forward);
    return;
  }
  bool over = false;
  forward->begun = true;
  forward->over = &over;
  tg_relay_start(&forward->up, &exchange->body, &call->sink, on_tunnel_up);
  if (over) return;
  forward->over = NULL;
  tg_relay_start(&forward->down, &call->body, &exchange->sink, on_tunnel_down);
}
