/* Addresses of a host, in the order in which they are to be tried: see loop/lookup.h. */
#include <lauxlib.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "await/dns_op.h"
#include "base/check.h"
#include "loop/lookup.h"
#include "script/error.h"
#include "script/module.h"
#include "script/task.h"

/// Addresses of a name, as a list of strings; `family` is 4, 6, or nil for both.
TG_AWAITABLE(dns_lookup)

static const char WHAT[] = "tg.dns.lookup";

struct lookup_op {
  struct tg_op op;
  struct tg_lookup lookup;
  tg_status status; /* TG_EAGAIN while it waits */
  char name[TG_DNS_NAME_LEN + 2];
};

static void on_done(struct tg_lookup *lookup, tg_status status) {
  struct lookup_op *look = TG_CONTAINER(lookup, struct lookup_op, lookup);
  look->status = status;
  tg_op_complete(&look->op);
}

static void cancel(struct tg_op *op) {
  struct lookup_op *look = TG_CONTAINER(op, struct lookup_op, op);
  if (look->status != TG_EAGAIN) return; /* it is on its way */
  tg_lookup_cancel(&look->lookup);
  tg_op_complete(op);
}

static int l_push(lua_State *L) {
  const struct tg_lookup *lookup = lua_touserdata(L, 1);
  char text[TG_DNS_ADDRESS_TEXT];
  lua_createtable(L, (int)lookup->count, 0);  // list
  for (size_t i = 0; i < lookup->count; i++) {
    lua_pushlstring(L, text, tg_dns_address_write(&lookup->addresses[i], text));
    lua_rawseti(L, -2, (int)i + 1);
  }
  return 1;
}

static int finish(struct tg_op *op, lua_State *L) {
  struct lookup_op *look = TG_CONTAINER(op, struct lookup_op, op);
  tg_status status = look->status;
  int family = look->lookup.family, rc = 0;
  char name[TG_DNS_NAME_LEN + 2];
  if (L && status == TG_OK) {
    lua_pushcfunction(L, l_push);
    lua_pushlightuserdata(L, &look->lookup);
    rc = lua_pcall(L, 1, 1, 0);  // list | error
  }
  snprintf(name, sizeof name, "%s", look->name);
  free(look);
  if (!L) return 0;
  if (status == TG_EAGAIN) tg_op_throw_cancelled(L);
  if (rc) return lua_error(L);
  if (status)
    tg_dns_op_throw(L, status, WHAT, name,
                    family == 0         ? "A or AAAA"
                    : family == AF_INET ? "A"
                                        : "AAAA");
  return 1;
}

static const struct tg_op_kind kind = {.name = WHAT, .cancel = cancel, .finish = finish};

int tg_await_dns_lookup(lua_State *L) {
  size_t len = 0;
  if (lua_type(L, 1) != LUA_TSTRING)
    tg_error_misuse(L, "%s: a name expected, got %s", WHAT, luaL_typename(L, 1));
  const char *text = lua_tolstring(L, 1, &len);
  const char *why = tg_lookup_complain(tg_slice(text, len));
  if (why) tg_error_misuse(L, "%s: '%.80s' is no name: %s", WHAT, text, why);
  lua_Integer family = lua_tointeger(L, 2);
  struct tg_resolver *resolver = tg_dns_op_resolver(L);
  tg_op_begin(L);
  struct lookup_op *look = calloc(1, sizeof *look);
  if (!look) tg_error_throw(L, "out_of_memory", "%s: no memory", WHAT);
  tg_op_init(&look->op, &kind);
  snprintf(look->name, sizeof look->name, "%s", text);
  look->status = tg_lookup_start(&look->lookup, resolver, tg_slice(text, len),
                                 family == 4   ? AF_INET
                                 : family == 6 ? AF_INET6
                                               : 0,
                                 on_done);
  if (look->status == TG_EAGAIN) return tg_op_suspend(L, &look->op);
  return finish(&look->op, L);
}
