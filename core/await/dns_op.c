/* See dns_op.h. The answer is borrowed from the resolver and copied, because the task that reads it
 * runs later. */
#include "await/dns_op.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "script/error.h"
#include "script/task.h"

struct dns_op {
  struct tg_op op;
  struct tg_dns_query query;
  struct tg_dns_answer answer; /* its message is ours */
  const char *what, *type_name;
  uint16_t type;
  bool answered;
  void (*push)(lua_State *L, const struct tg_dns_answer *answer, uint16_t type);
  char name[TG_DNS_NAME_LEN + 1];
};

struct tg_resolver *tg_dns_op_resolver(lua_State *L) {
  struct tg_vm *vm = tg_vm_of(L);
  struct tg_resolver *resolver = tg_resolver_of(vm->loop, vm->settings, vm->generation);
  if (!resolver) tg_error_throw(L, "out_of_memory", "tg.dns: no memory");
  return resolver;
}

void tg_dns_op_throw(lua_State *L, tg_status status, const char *what, const char *name,
                     const char *type_name) {
  const char *code = tg_status_name(status);
  switch (status) {
    case TG_ENO_NAME:
      tg_error_push(L, code, "%s: '%s' does not exist (NXDOMAIN)", what, name);
      break;
    case TG_ENO_DATA:
      tg_error_push(L, code, "%s: '%s' has no %s record (NODATA)", what, name, type_name);
      break;
    case TG_EDNS_UNREACHABLE:
      tg_error_push(L, code,
                    "%s: no name server can be reached for '%s'; see dns.servers in tidegate.lua",
                    what, name);
      break;
    case TG_ETIMEOUT:
      tg_error_push(L, code, "%s: no name server has answered in time for '%s'", what, name);
      break;
    default: tg_error_push(L, code, "%s: %s ('%s')", what, tg_status_text(status), name);
  }  // .. object
  lua_pushinteger(L, tg_status_http(status));
  lua_setfield(L, -2, "status");
  tg_error_push_place(L, 0);
  lua_setfield(L, -2, "place");
  lua_error(L);
  __builtin_unreachable();
}

static void take(struct dns_op *dns, const struct tg_dns_answer *answer) {
  dns->answered = true;
  dns->answer = *answer;
  dns->answer.message = tg_slice(NULL, 0);
  if (answer->status) return;
  char *copy = malloc(answer->message.len);
  if (copy) {
    memcpy(copy, answer->message.ptr, answer->message.len);
    dns->answer.message = tg_slice(copy, answer->message.len);
  } else {
    dns->answer.status = TG_ENOMEM;
  }
}

static void on_answer(struct tg_dns_query *query, const struct tg_dns_answer *answer) {
  struct dns_op *dns = TG_CONTAINER(query, struct dns_op, query);
  take(dns, answer);
  tg_op_complete(&dns->op);
}

static void cancel(struct tg_op *op) {
  struct dns_op *dns = TG_CONTAINER(op, struct dns_op, op);
  if (dns->answered) return; /* it is on its way */
  tg_dns_query_cancel(&dns->query);
  tg_op_complete(op);
}

static int l_push(lua_State *L) {
  struct dns_op *dns = lua_touserdata(L, 1);
  dns->push(L, &dns->answer, dns->type);
  return 1;
}

static int finish(struct tg_op *op, lua_State *L) {
  struct dns_op *dns = TG_CONTAINER(op, struct dns_op, op), copy;
  bool cancelled = op->cancelled && !dns->answered;
  int rc = 0;
  if (L && !cancelled && dns->answer.status == TG_OK) {
    lua_pushcfunction(L, l_push);
    lua_pushlightuserdata(L, dns);
    rc = lua_pcall(L, 1, 1, 0);  // value | error
  }
  copy = *dns;
  free((char *)dns->answer.message.ptr);
  free(dns);
  if (!L) return 0;
  if (cancelled) tg_op_throw_cancelled(L);
  if (rc) return lua_error(L);
  if (copy.answer.status)
    tg_dns_op_throw(L, copy.answer.status, copy.what, copy.name, copy.type_name);
  return 1;
}

static const struct tg_op_kind kind = {.name = "tg.dns", .cancel = cancel, .finish = finish};

int tg_dns_op_run(lua_State *L, const char *what, const char *name, uint16_t type,
                  const char *type_name,
                  void (*push)(lua_State *L, const struct tg_dns_answer *answer, uint16_t type)) {
  struct tg_resolver *resolver = tg_dns_op_resolver(L);
  tg_op_begin(L);
  struct dns_op *dns = calloc(1, sizeof *dns);
  if (!dns) tg_error_throw(L, "out_of_memory", "%s: no memory", what);
  tg_op_init(&dns->op, &kind);
  dns->what = what;
  dns->type = type;
  dns->type_name = type_name;
  dns->push = push;
  snprintf(dns->name, sizeof dns->name, "%s", name);
  dns->query.done = on_answer;
  struct tg_dns_answer answer = {0};
  tg_status status = tg_resolver_query(resolver, &dns->query, dns->name, type, &answer);
  if (status == TG_EAGAIN) return tg_op_suspend(L, &dns->op);
  answer.status = status ? status : answer.status;
  take(dns, &answer);
  return finish(&dns->op, L);
}
