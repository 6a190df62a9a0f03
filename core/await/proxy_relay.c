/* The body of a reply to the client, in C; and after a 101 both directions of the tunnel. */
#include <lauxlib.h>
#include <stdlib.h>

#include "await/proxy_reply.h"
#include "base/check.h"
#include "script/error.h"
#include "script/module.h"
#include "script/task.h"
#include "upstream/relay.h"

/// For _core/proxy.lua: (reply, out) sends the rest of a reply's body to the client, after a 101 also what comes from
/// there; until the end of both.
TG_AWAITABLE(proxy_relay)

struct relay_op {
  struct tg_op op;
  struct tg_proxy_reply *reply;
  struct tg_relay down, up;
  tg_status status;
  bool sink_failed;
  bool ended;
};

static void end(struct relay_op *relay, tg_status status, bool sink_failed) {
  if (relay->ended) return;
  relay->ended = true;
  relay->status = status;
  relay->sink_failed = sink_failed;
  relay->reply->taken = false;
  tg_relay_cancel(&relay->down);
  tg_relay_cancel(&relay->up);
  tg_op_complete(&relay->op);
}

static void add_trailers(struct tg_proxy_reply *reply) {
  const struct tg_reply *head = reply->delivery.call->reply;
  struct tg_exchange *exchange = reply->exchange;
  if (!head->trailer_count) return;
  struct tg_response_field *fields;
  size_t found = tg_forward_trailers(&exchange->arena, head->trailers, head->trailer_count,
                                     &reply->rule.reply, &fields);
  size_t count = 0;
  for (size_t i = 0; i < found; i++) { /* the reply may go before the answer is out */
    struct tg_slice name = tg_arena_copy(&exchange->arena, fields[i].name);
    struct tg_slice value = tg_arena_copy(&exchange->arena, fields[i].value);
    if (name.ptr) fields[count++] = (struct tg_response_field){name, value};
  }
  exchange->trailers = fields;
  exchange->trailer_count = count;
}

static void on_down(struct tg_relay *down, tg_status status) {
  struct relay_op *relay = TG_CONTAINER(down, struct relay_op, down);
  if (status == TG_OK && relay->reply->delivery.call->reply->status != 101)
    add_trailers(relay->reply);
  end(relay, status, down->sink_failed);
}

/* The client has ended its side; the backend may still have something to say. */
static void on_up(struct tg_relay *up, tg_status status) {
  struct relay_op *relay = TG_CONTAINER(up, struct relay_op, up);
  if (status == TG_OK)
    tg_call_shut(relay->reply->delivery.call);
  else
    end(relay, TG_OK, false);
}

static void cancel(struct tg_op *op) {
  end(TG_CONTAINER(op, struct relay_op, op), TG_ECANCELLED, false);
}

static int finish(struct tg_op *op, lua_State *L) {
  struct relay_op *relay = TG_CONTAINER(op, struct relay_op, op);
  struct tg_proxy_reply *reply = relay->reply;
  tg_status status = relay->status;
  bool cancelled = status == TG_ECANCELLED && op->cancelled, sink_failed = relay->sink_failed;
  free(relay);
  if (!L) return 0;
  if (cancelled) tg_op_throw_cancelled(L);
  if (status && sink_failed) {
    tg_error_push(L, "closed", "tg.proxy: the client is gone");
    return lua_error(L);
  }
  if (status) tg_proxy_reply_throw(L, reply, status);
  return 0;
}

static const struct tg_op_kind kind = {.name = "tg.proxy", .cancel = cancel, .finish = finish};

int tg_await_proxy_relay(lua_State *L) {
  struct tg_proxy_reply *reply = tg_proxy_reply_check(L, 1);
  struct tg_exchange_ref *ref = luaL_checkudata(L, 2, TG_OUT_OBJECT);
  tg_op_begin(L);
  struct tg_exchange *exchange = tg_exchange_of(ref);
  if (!exchange) tg_error_throw(L, "closed", "tg.proxy: the stream has ended");
  if (reply->taken) tg_error_throw(L, "busy", "tg.proxy: another task reads this answer");
  if (reply->over) return 0;
  struct relay_op *relay = calloc(1, sizeof *relay);
  if (!relay) tg_error_throw(L, "out_of_memory", "tg.proxy: no memory");
  struct tg_call *call = reply->delivery.call;
  tg_op_init(&relay->op, &kind);
  relay->reply = reply;
  reply->taken = true;
  if (call->reply->status == 101) tg_relay_start(&relay->up, &exchange->body, &call->sink, on_up);
  if (!relay->ended) tg_relay_start(&relay->down, &call->body, &exchange->sink, on_down);
  return tg_op_suspend(L, &relay->op);
}
