/* See delivery.h.
 *
 * What a delivery holds is let go in one place (let_go), in the order in which it was taken: the
 * peer's count, the peers that were tried, the place in the gate, the rules. */
#include "upstream/delivery.h"

#include <stdlib.h>
#include <string.h>

#include "upstream/affinity.h"

static void try_next(struct tg_delivery *delivery);

/* NULL: it was given up by our side, and says nothing of the peer. */
static void end_pick(struct tg_delivery *delivery, const struct tg_peer_outcome *outcome) {
  struct tg_peer_outcome given_up = {.given_up = true, .turn = delivery->pick.turn};
  if (!delivery->picked) return;
  delivery->picked = false;
  tg_peer_end(delivery->peer, outcome ? outcome : &given_up);
}

/* A second call to another peer, while the first has no answer. */
struct tg_hedge {
  struct tg_delivery *delivery;
  struct tg_peer *peer; /* counted until the call is decided */
  struct tg_call_request request;
  uint32_t turn;
  tg_status failure;
  struct tg_call call;
};

/* Gives up a hedge that has not answered. */
static void drop_hedge(struct tg_delivery *delivery) {
  struct tg_hedge *hedge = delivery->hedge;
  if (!hedge) return;
  delivery->hedge = NULL;
  tg_call_cancel(&hedge->call);
  tg_peer_end(hedge->peer, &(struct tg_peer_outcome){.given_up = true, .turn = hedge->turn});
  free(hedge);
}

static void let_go(struct tg_delivery *delivery) {
  tg_delivery_trace_end(delivery);
  end_pick(delivery, NULL);
  for (unsigned i = 0; i < delivery->tried_count; i++) tg_peer_release(delivery->tried[i]);
  delivery->tried_count = 0;
  delivery->peer = NULL;
  tg_wheel_remove(&delivery->loop->wheel, &delivery->timer);
  tg_timer_stop(&delivery->loop->timers, &delivery->hedge_timer);
  drop_hedge(delivery);
  if (delivery->inside) tg_gate_leave(tg_group_gate(delivery->order->group));
  delivery->inside = false;
  if (delivery->rules) tg_rules_release(delivery->rules);
  delivery->rules = NULL;
}

/* All is let go before the event, in which the memory may go; but who it was can still be told. */
static void fail(struct tg_delivery *delivery, tg_status status) {
  struct tg_peer *peer = delivery->peer;
  if (peer) tg_peer_hold(peer);
  tg_delivery_trace_fail(delivery, status);
  let_go(delivery);
  delivery->peer = peer;
  delivery->events->failed(delivery, status);
  if (peer) tg_peer_release(peer);
}

/* ---- outcomes ---- */

/* Was it the peer that failed? What our side breaks off says nothing of it. */
static bool peer_failed(tg_status status) {
  return status != TG_ENOMEM && status != TG_EINVALID && status != TG_EDISCONNECT &&
         status != TG_ECANCELLED;
}

static void tell_failure(struct tg_delivery *delivery, tg_status status) {
  struct tg_peer_outcome outcome = {.failed = true, .turn = delivery->pick.turn};
  if (delivery->replied) outcome.status = delivery->call->reply->status;
  end_pick(delivery, peer_failed(status) ? &outcome : NULL);
}

static void tell_success(struct tg_delivery *delivery) {
  struct tg_peer_outcome outcome = {.status = delivery->call->reply->status,
                                    .latency = delivery->call->first_byte_ns,
                                    .turn = delivery->pick.turn};
  end_pick(delivery, &outcome);
}

/* ---- trying again ---- */

static bool may_send_again(const struct tg_delivery *delivery) {
  const struct tg_call *call = delivery->call;
  if (delivery->stage < TG_CALL_SEND) return true;
  return delivery->request.idempotent && (!delivery->request.source || !call->sent_bytes);
}

/* A peer that has answered, however badly, might have done what it was asked. */
static bool worth_another(tg_status status) {
  return status != TG_EBAD_REPLY && status != TG_EINVALID && status != TG_ENOMEM &&
         status != TG_EDISCONNECT && status != TG_ECANCELLED;
}

static bool may_retry(struct tg_delivery *delivery, tg_status status) {
  unsigned most =
      delivery->order->retries < 0 ? delivery->rules->retries : (unsigned)delivery->order->retries;
  uint64_t deadline = delivery->order->deadline;
  if (delivery->order->once || delivery->tries > most || delivery->tried_count >= TG_DELIVERY_TRIES)
    return false;
  if (!worth_another(status) || !may_send_again(delivery)) return false;
  if (deadline && tg_loop_time(delivery->loop) >= deadline) return false;
  return tg_group_take_retry(delivery->order->group);
}

/* ---- events of the call ---- */

static void go_on(struct tg_delivery *delivery, tg_status failure) {
  if (may_retry(delivery, failure))
    try_next(delivery);
  else
    fail(delivery, failure);
}

static struct tg_delivery *of_call(struct tg_call *call) {
  return TG_CONTAINER(call, struct tg_delivery, first);
}

static void take_head(struct tg_delivery *delivery) {
  delivery->replied = true;
  tg_wheel_clear(&delivery->timer);
  tg_timer_stop(&delivery->loop->timers, &delivery->hedge_timer);
  delivery->events->head(delivery);
}

static void on_interim(struct tg_call *call, const struct tg_reply *reply) {
  struct tg_delivery *delivery = of_call(call);
  if (delivery->events->interim) delivery->events->interim(delivery, reply);
}

static void on_head(struct tg_call *call) {
  struct tg_delivery *delivery = of_call(call);
  drop_hedge(delivery);
  take_head(delivery);
}

/* What is tried next begins when the call has ended. */
static void on_failed(struct tg_call *call, tg_status status) {
  struct tg_delivery *delivery = of_call(call);
  delivery->failure = status;
  delivery->stage = call->stage;
  delivery->detail = call->detail;
}

/* The reply is over. The call may be the hedge's, whose memory is looked at until the event ends.
 */
static void end_reply(struct tg_delivery *delivery) {
  struct tg_hedge *hedge = delivery->hedge;
  delivery->hedge = NULL;
  delivery->calling = false;
  tg_status status = delivery->call->body_status;
  if (status) {
    delivery->stage = TG_CALL_BODY;
    tg_delivery_trace_fail(delivery, status);
    tell_failure(delivery, status);
  } else {
    tell_success(delivery);
  }
  let_go(delivery);
  delivery->events->ended(delivery);
  free(hedge);
}

static void on_ended(struct tg_call *call) {
  struct tg_delivery *delivery = of_call(call);
  tg_status failure = delivery->failure;
  if (!failure) {
    end_reply(delivery);
    return;
  }
  delivery->calling = false;
  tg_peer_hold(delivery->peer);
  delivery->tried[delivery->tried_count++] = delivery->peer;
  tell_failure(delivery, failure);
  if (!delivery->hedge) go_on(delivery, failure); /* else that may still answer */
}

static const struct tg_call_events call_events = {
    .interim = on_interim, .head = on_head, .failed = on_failed, .ended = on_ended};

/* ---- hedging ---- */

static uint64_t either(uint64_t own, uint64_t general) {
  return own ? own : general;
}

static struct tg_call_limits limits_of(const struct tg_delivery *delivery) {
  const struct tg_delivery_order *order = delivery->order;
  const struct tg_rules_timeouts *rules = &delivery->rules->timeouts;
  return (struct tg_call_limits){
      .connect = either(order->timeouts.connect, rules->connect),
      .first_byte = either(order->timeouts.first_byte, rules->first_byte),
      .idle = either(order->timeouts.idle, rules->idle),
      .total = either(order->timeouts.total, rules->total)};
}

static struct tg_hedge *of_hedge(struct tg_call *call) {
  return TG_CONTAINER(call, struct tg_hedge, call);
}

/* It was quicker: the delivery is its call's from now on, which frees the hedge at its end. */
static void on_hedge_head(struct tg_call *call) {
  struct tg_hedge *hedge = of_hedge(call);
  struct tg_delivery *delivery = hedge->delivery;
  if (delivery->calling) tg_call_cancel(&delivery->first);
  end_pick(delivery, NULL);
  delivery->call = call;
  delivery->failure = TG_OK;
  delivery->peer = hedge->peer;
  delivery->pick.turn = hedge->turn;
  delivery->picked = delivery->calling = true;
  take_head(delivery);
}

static void on_hedge_failed(struct tg_call *call, tg_status status) {
  of_hedge(call)->failure = status;
}

static void on_hedge_ended(struct tg_call *call) {
  struct tg_hedge *hedge = of_hedge(call);
  struct tg_delivery *delivery = hedge->delivery;
  tg_status failure = hedge->failure;
  if (!failure) {
    end_reply(delivery);
    return;
  }
  struct tg_peer_outcome outcome = {.failed = true, .turn = hedge->turn};
  outcome.given_up = !peer_failed(failure);
  tg_peer_hold(hedge->peer);
  delivery->tried[delivery->tried_count++] = hedge->peer;
  tg_peer_end(hedge->peer, &outcome);
  delivery->hedge = NULL;
  free(hedge);
  if (!delivery->calling) go_on(delivery, delivery->failure); /* the first has failed before */
}

static const struct tg_call_events hedge_events = {
    .head = on_hedge_head, .failed = on_hedge_failed, .ended = on_hedge_ended};

static tg_status pick_other(struct tg_delivery *delivery, struct tg_hedge *hedge) {
  struct tg_peer *tried[TG_DELIVERY_TRIES + 1];
  struct tg_pick pick = delivery->pick;
  memcpy(tried, delivery->tried, delivery->tried_count * sizeof(struct tg_peer *));
  tried[delivery->tried_count] = delivery->peer;
  pick.tried = tried;
  pick.tried_count = delivery->tried_count + 1;
  tg_status status = tg_group_pick(delivery->order->group, &pick, &hedge->peer);
  hedge->turn = pick.turn;
  if (status || hedge->peer != delivery->peer) return status;
  tg_peer_end(hedge->peer, &(struct tg_peer_outcome){.given_up = true, .turn = pick.turn});
  return TG_ENO_PEER;
}

static tg_status start_hedge(struct tg_delivery *delivery, struct tg_hedge *hedge) {
  struct tg_call_limits limits = limits_of(delivery);
  hedge->delivery = delivery;
  hedge->request = delivery->request;
  if (!delivery->order->call.authority.len) hedge->request.authority = hedge->peer->authority;
  return tg_call_start(&hedge->call, delivery->loop, &hedge->peer->origin, &hedge->request, &limits,
                       &hedge_events);
}

/* Where there is nobody else, or no budget, the first call goes on alone. */
static void on_hedge_due(struct tg_timer *timer) {
  struct tg_delivery *delivery = TG_CONTAINER(timer, struct tg_delivery, hedge_timer);
  if (!delivery->calling || delivery->replied || delivery->tried_count + 1 >= TG_DELIVERY_TRIES)
    return;
  struct tg_hedge *hedge = calloc(1, sizeof *hedge);
  if (!hedge) return;
  if (!tg_group_take_retry(delivery->order->group) || pick_other(delivery, hedge)) {
    free(hedge);
    return;
  }
  if (start_hedge(delivery, hedge) == TG_OK) {
    delivery->hedge = hedge;
    return;
  }
  tg_peer_end(hedge->peer, &(struct tg_peer_outcome){.given_up = true, .turn = hedge->turn});
  free(hedge);
}

static void arm_hedge(struct tg_delivery *delivery) {
  const struct tg_call_request *request = &delivery->order->call;
  uint64_t after = delivery->rules->hedge;
  if (!after || delivery->order->once || !request->idempotent || request->source ||
      request->upgrade)
    return;
  /* without memory for the timer there is no second call */
  (void)!tg_timer_start(&delivery->loop->timers, &delivery->hedge_timer,
                        tg_loop_time(delivery->loop) + after, on_hedge_due);
}

/* ---- one try ---- */

static tg_status begin_call(struct tg_delivery *delivery) {
  struct tg_call_limits limits = limits_of(delivery);
  delivery->call = &delivery->first;
  delivery->request = delivery->order->call;
  if (!delivery->request.authority.len) delivery->request.authority = delivery->peer->authority;
  delivery->failure = TG_OK;
  delivery->replied = false;
  delivery->first.connect_ns = delivery->first.first_byte_ns = 0;
  delivery->first.sent_bytes = delivery->first.received_bytes = 0;
  delivery->tries++;
  tg_status status = tg_call_start(&delivery->first, delivery->loop, &delivery->peer->origin,
                                   &delivery->request, &limits, &call_events);
  delivery->calling = status == TG_OK;
  if (status) end_pick(delivery, NULL);
  if (status == TG_OK && delivery->tries == 1) arm_hedge(delivery);
  return status;
}

static const char *refusal_of(const struct tg_pick *pick, tg_status status) {
  if (status != TG_EOVERLOAD) return "no peer is usable";
  return pick->full ? "each peer has as many requests as it may" : "the circuit breaker is open";
}

static tg_status begin_try(struct tg_delivery *delivery) {
  struct tg_pick *pick = &delivery->pick;
  pick->tried = delivery->tried;
  pick->tried_count = delivery->tried_count;
  tg_status status = tg_group_pick(delivery->order->group, pick, &delivery->peer);
  if (status) {
    delivery->peer = NULL;
    delivery->retry_after = pick->retry_after;
    delivery->detail = refusal_of(pick, status);
    return status;
  }
  delivery->picked = true;
  return begin_call(delivery);
}

static void try_next(struct tg_delivery *delivery) {
  tg_status failure = delivery->failure;
  const char *detail = delivery->detail;
  tg_status status = begin_try(delivery);
  if (status == TG_OK) return;
  /* nobody else is there: what has failed is the reason, not that */
  delivery->detail = detail;
  delivery->peer = delivery->tried_count ? delivery->tried[delivery->tried_count - 1] : NULL;
  fail(delivery, status == TG_ENOMEM ? status : failure);
}

/* ---- the gate and the deadline ---- */

static void on_ready(struct tg_gate_wait *wait, tg_status status) {
  struct tg_delivery *delivery = TG_CONTAINER(wait, struct tg_delivery, wait);
  delivery->inside = status == TG_OK;
  if (status == TG_OK) status = begin_try(delivery);
  if (status == TG_OK) return;
  if (!delivery->inside) {
    delivery->detail = "no place became free in time";
    delivery->retry_after = 1;
    status = TG_EOVERLOAD;
  }
  fail(delivery, status);
}

static void on_deadline(struct tg_wheel_node *timer) {
  struct tg_delivery *delivery = TG_CONTAINER(timer, struct tg_delivery, timer);
  tg_gate_cancel(&delivery->wait);
  if (delivery->calling) {
    delivery->stage = delivery->first.stage;
    tg_call_cancel(&delivery->first);
    delivery->calling = false;
    delivery->failure = TG_ETIMEOUT;
    tell_failure(delivery, TG_ETIMEOUT);
  }
  delivery->detail = "the route's time for the head of an answer is over";
  fail(delivery, TG_ETIMEOUT);
}

static tg_status enter(struct tg_delivery *delivery) {
  uint64_t wait = delivery->rules->queue_wait;
  uint64_t until = wait ? tg_loop_time(delivery->loop) + wait : 0;
  struct tg_gate *gate = tg_group_gate(delivery->order->group);
  delivery->wait.ready = on_ready;
  tg_status status = delivery->order->once
                         ? tg_gate_try(gate)
                         : tg_gate_enter(gate, delivery->loop, &delivery->wait, until);
  if (status == TG_EOVERLOAD) {
    delivery->detail = "too many requests are under way and wait";
    delivery->retry_after = 1;
  }
  delivery->inside = status == TG_OK;
  return status;
}

tg_status tg_delivery_start(struct tg_delivery *delivery, struct tg_loop *loop,
                            const struct tg_delivery_order *order,
                            const struct tg_delivery_events *events) {
  memset(delivery, 0, offsetof(struct tg_delivery, first));
  delivery->call = &delivery->first;
  delivery->order = order;
  delivery->events = events;
  delivery->loop = loop;
  delivery->rules = tg_group_hold_rules(order->group);
  tg_delivery_trace_start(delivery);
  if (order->request)
    tg_affinity_read(delivery->rules, order->request, order->client, &delivery->pick);
  else if (order->bound)
    delivery->pick = *order->bound;
  tg_wheel_node_init(&delivery->timer, on_deadline);
  if (order->deadline)
    tg_wheel_set(&loop->wheel, &delivery->timer, uv_now(&loop->uv) * TG_MILLISECOND,
                 order->deadline);
  tg_status status = enter(delivery);
  if (status == TG_OK) status = begin_try(delivery);
  if (status == TG_OK || status == TG_EAGAIN) return TG_OK;
  tg_delivery_trace_fail(delivery, status);
  let_go(delivery);
  return status;
}

void tg_delivery_cancel(struct tg_delivery *delivery) {
  if (!delivery->rules) return; /* it has ended */
  tg_gate_cancel(&delivery->wait);
  struct tg_hedge *answers =
      delivery->replied && delivery->call != &delivery->first ? delivery->hedge : NULL;
  if (answers) delivery->hedge = NULL;
  if (delivery->calling) tg_call_cancel(delivery->call);
  if (delivery->calling && delivery->replied) tell_success(delivery);
  delivery->calling = false;
  let_go(delivery);
  free(answers);
}
