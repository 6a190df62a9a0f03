/* tg.proxy: sends the request of the running task to a peer of an upstream, and waits for the head
 * of the reply. */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "await/forward_rule.h"
#include "await/proxy_reply.h"
#include "base/check.h"
#include "script/error.h"
#include "script/module.h"
#include "script/task.h"
#include "server/server.h"
#include "upstream/groups.h"

/// For _core/proxy.lua: (request, rule) gives the reply; the rule is a table of _pure/proxy_spec.lua's shape, with
/// `method` and `body` besides.
TG_AWAITABLE(proxy_call)

struct call_op {
  struct tg_op op;
  struct tg_proxy_reply *reply;
};

/* ---- events ---- */

static struct tg_proxy_reply *of_delivery(struct tg_delivery *delivery) {
  return TG_CONTAINER(delivery, struct tg_proxy_reply, delivery);
}

static void complete(struct tg_proxy_reply *reply, tg_status status) {
  struct tg_op *op = reply->op;
  reply->op = NULL;
  reply->status = status;
  if (op) tg_op_complete(op);
}

static void on_interim(struct tg_delivery *delivery, const struct tg_reply *head) {
  struct tg_proxy_reply *reply = of_delivery(delivery);
  struct tg_exchange *exchange = reply->exchange;
  struct tg_forward_fields fields;
  if (!exchange->port->interim || head->status == 100) return;
  if (tg_forward_reply(&reply->arena, head->fields, head->field_count, &reply->rule.reply, false,
                       &fields))
    return;
  struct tg_answer answer = {
      .status = head->status, .fields = fields.list, .field_count = fields.count};
  exchange->port->interim(exchange, &answer);
}

static void on_head(struct tg_delivery *delivery) {
  complete(of_delivery(delivery), TG_OK);
}

/* The peer is told of by the log now, because nothing is known of it later. */
static void on_failed(struct tg_delivery *delivery, tg_status status) {
  struct tg_proxy_reply *reply = of_delivery(delivery);
  const struct tg_exchange *exchange = reply->exchange;
  char id[40];
  reply->over = true;
  tg_forward_log(reply->rule.forwarder, delivery, status, exchange->route->name,
                 tg_slice(id, tg_exchange_id(exchange, id)));
  complete(reply, status);
}

static void on_ended(struct tg_delivery *delivery) {
  of_delivery(delivery)->over = true;
}

static const struct tg_delivery_events events = {
    .interim = on_interim, .head = on_head, .failed = on_failed, .ended = on_ended};

/* ---- the end of the wait ---- */

static void cancel(struct tg_op *op) {
  struct call_op *call = TG_CONTAINER(op, struct call_op, op);
  struct tg_proxy_reply *reply = call->reply;
  reply->op = NULL;
  reply->status = TG_ECANCELLED;
  if (!reply->over) tg_delivery_cancel(&reply->delivery);
  reply->over = true;
  tg_op_complete(op);
}

/* `to` is a NUL-terminated copy (tg_arena_copy's memory is not): so it is formatted by its length.
 */
static void push_failure(lua_State *L, struct tg_slice to, struct tg_forward_fault fault,
                         tg_status status, const char *detail, uint32_t retry_after) {
  tg_error_push(L, tg_status_name(status), "tg.proxy: upstream '%.*s': %s (%s)", (int)to.len,
                to.ptr, fault.text, detail);
  lua_pushinteger(L, fault.status), lua_setfield(L, -2, "status");
  lua_pushstring(L, fault.text), lua_setfield(L, -2, "detail");
  if (fault.status == 503) {
    lua_createtable(L, 0, 1);
    lua_pushfstring(L, "%d", (int)(retry_after ? retry_after : 1));
    lua_setfield(L, -2, "retry-after");
    lua_setfield(L, -2, "headers");
  }
  tg_error_push_place(L, 0);
  lua_setfield(L, -2, "place");
}

/* What the error says is copied before the reply goes. */
static int fail(lua_State *L, struct tg_proxy_reply *reply, tg_status status) {
  char to[128];
  int len =
      snprintf(to, sizeof to, "%.*s", (int)(reply->rule.to.len > 100 ? 100 : reply->rule.to.len),
               reply->rule.to.ptr);
  struct tg_forward_fault fault = tg_forward_fault_of(&reply->delivery, status);
  char detail[256]; /* what there is may lie in the reply */
  const char *why = reply->delivery.detail;
  snprintf(detail, sizeof detail, "%s", why ? why : tg_status_text(status));
  uint32_t retry_after = reply->delivery.retry_after;
  tg_proxy_reply_free(reply);
  push_failure(L, tg_slice(to, len < 0 ? 0 : (size_t)len), fault, status, detail, retry_after);
  return lua_error(L);
}

static int finish(struct tg_op *op, lua_State *L) {
  struct call_op *call = TG_CONTAINER(op, struct call_op, op);
  struct tg_proxy_reply *reply = call->reply;
  tg_status status = reply->status;
  bool cancelled = op->cancelled && status;
  free(call);
  if (!L || cancelled) {
    reply->op = NULL;
    tg_proxy_reply_free(reply);
    if (L) tg_op_throw_cancelled(L);
    return 0;
  }
  if (status) return fail(L, reply, status);
  return tg_proxy_reply_push(L, reply) ? lua_error(L) : 1;
}

static const struct tg_op_kind kind = {.name = "tg.proxy", .cancel = cancel, .finish = finish};

/* ---- the start ---- */

/* The caller's method and body instead of the request's; both lie in the reply. */
static void read_own(lua_State *L, struct tg_proxy_reply *reply, int rule) {
  struct tg_slice text;
  lua_getfield(L, rule, "method");  // .. method
  if (lua_isstring(L, -1)) {
    text.ptr = lua_tolstring(L, -1, &text.len);
    reply->order.call.method = tg_arena_copy(&reply->arena, text);
    reply->order.call.idempotent = tg_forward_idempotent(tg_method_find(text));
    reply->order.call.upgrade = false;
  }
  lua_getfield(L, rule, "body");  // .. method body
  if (lua_isstring(L, -1)) {
    text.ptr = lua_tolstring(L, -1, &text.len);
    if (tg_buffer_append(&reply->bytes, text.ptr, text.len))
      tg_error_misuse(L, "not enough memory");
    reply->order.call.bytes = tg_buffer_slice(&reply->bytes);
  } else if (!lua_toboolean(L, -1) && !lua_isnil(L, -1)) {
    (void)0; /* false: none */
  } else if (reply->exchange->request->has_body) {
    tg_forward_stream(reply->exchange->request, &reply->exchange->body, &reply->rule.request,
                      &reply->order.call);
  }
  lua_pop(L, 2);
}

static void find_groups(struct tg_vm *vm, struct tg_forward_rule *rule) {
  rule->group = tg_groups_find(vm->host->groups, rule->to, vm->generation);
  if (rule->mirror.to.len)
    rule->mirror.group = tg_groups_find(vm->host->groups, rule->mirror.to, vm->generation);
}

/* fill(reply, rule) -> nothing, or status and text of what is wrong with the request */
static int l_fill(lua_State *L) {
  struct tg_proxy_reply *reply = lua_touserdata(L, 1);
  struct tg_exchange *exchange = reply->exchange;
  struct tg_vm *vm = tg_vm_of(L);
  struct tg_forward_fault fault;
  struct tg_forward_from from = {.request = exchange->request,
                                 .params = exchange->match.params,
                                 .client = tg_exchange_peer(exchange),
                                 .secure = exchange->secured,
                                 .started = tg_loop_time(vm->loop)};
  tg_forward_rule_read(L, 2, exchange->route->params, exchange->route->param_count, &reply->arena,
                       &reply->rule);
  reply->rule.forwarder = vm->host->forwarder;
  reply->rule.trusted = tg_slice_cstr(vm->settings->trusted_proxies);
  if (vm->host->groups && vm->host->forwarder) find_groups(vm, &reply->rule);
  if (!tg_forward_order(&from, &reply->rule, &reply->arena, &reply->order, &fault)) {
    /* Of 204 _core/proxy.lua has made an answer, but where the field came twice. */
    lua_pushinteger(L, fault.status == 204 ? 400 : fault.status);
    lua_pushstring(L, fault.text);
    return 2;
  }
  read_own(L, reply, 2);
  return 0;
}

static struct tg_proxy_reply *prepare(lua_State *L, struct tg_exchange *exchange) {
  struct tg_proxy_reply *reply = calloc(1, sizeof *reply);
  if (!reply) tg_error_throw(L, "out_of_memory", "tg.proxy: no memory");
  reply->exchange = exchange;
  reply->over = true;
  tg_arena_init(&reply->arena, reply->memory, sizeof reply->memory);
  int top = lua_gettop(L);
  lua_pushcfunction(L, l_fill);
  lua_pushlightuserdata(L, reply);
  lua_pushvalue(L, 2);
  int rc = lua_pcall(L, 2, LUA_MULTRET, 0);
  if (rc == 0 && lua_gettop(L) == top) return reply;
  tg_proxy_reply_free(reply);
  if (rc) lua_error(L);  // .. status text
  tg_error_push(L, "http", "tg.proxy: %s", lua_tostring(L, -1));
  lua_pushvalue(L, -3), lua_setfield(L, -2, "status");
  lua_pushvalue(L, -2), lua_setfield(L, -2, "detail");
  lua_error(L);
  __builtin_unreachable();
}

static tg_status start(struct tg_proxy_reply *reply, struct tg_loop *loop) {
  const struct tg_forward_rule *rule = &reply->rule;
  if (rule->mirror.group)
    reply->mirror = tg_mirror_begin(loop, &rule->mirror, &reply->order, rule->forwarder->log);
  if (reply->exchange->conn &&
      reply->exchange->server->log) /* a worker's line is written elsewhere */
    reply->order.trace = reply->exchange->upstream = tg_delivery_trace_new(&reply->exchange->arena);
  return tg_delivery_start(&reply->delivery, loop, &reply->order, &events);
}

int tg_await_proxy_call(lua_State *L) {
  struct tg_exchange_ref *ref = luaL_checkudata(L, 1, TG_REQUEST_OBJECT);
  luaL_checktype(L, 2, LUA_TTABLE);
  tg_op_begin(L);
  struct tg_exchange *exchange = tg_exchange_of(ref);
  if (!exchange)
    tg_error_throw(L, "request_over", "tg.proxy: this request has been answered already");
  struct tg_proxy_reply *reply = prepare(L, exchange);
  struct call_op *call = calloc(1, sizeof *call);
  tg_status status = TG_ENOMEM;
  if (call) status = start(reply, tg_vm_of(L)->loop);
  if (status) {
    free(call);
    char id[40];
    if (call)
      tg_forward_log(reply->rule.forwarder, &reply->delivery, status, exchange->route->name,
                     tg_slice(id, tg_exchange_id(exchange, id)));
    return fail(L, reply, status);
  }
  reply->over = false;
  tg_op_init(&call->op, &kind);
  call->reply = reply;
  reply->op = &call->op;
  return tg_op_suspend(L, &call->op);
}
