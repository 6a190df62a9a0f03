/* tg.net.connect: a connection to one of several addresses that are known (net/connector.h), and
 * its TLS where that is asked for. */
#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "await/duplex.h"
#include "await/tls_settings.h"
#include "base/check.h"
#include "net/connector.h"
#include "net/tls_context.h"
#include "script/error.h"
#include "script/module.h"

/// For net.lua: connect(label, addresses, port, timeout, bind, nodelay, keepalive, tls, name, alpn) -> stream.
TG_AWAITABLE(net_connect)

#define TARGETS_MAX 16

struct dial {
  struct tg_op op;
  struct tg_loop *loop;
  struct tg_timer deadline;
  struct tg_connector connector;
  struct tg_duplex *duplex;   /* connected, and secured where that is asked for; NULL: not yet */
  struct tg_tls_context *tls; /* held; NULL: plain */
  tg_status status;           /* why there is none */
  bool nodelay;
  unsigned keepalive; /* seconds; 0: none */
  struct tg_address own;
  char label[160];
  char name[256], alpn[256];
  char why[TG_TLS_WHY]; /* of a failure of TLS */
  unsigned count;
  struct tg_address targets[TARGETS_MAX];
};

/* With what there is, or without a connection. */
static void end(struct dial *dial, tg_status status) {
  dial->status = status;
  tg_timer_stop(&dial->loop->timers, &dial->deadline);
  tg_connector_cancel(&dial->connector);
  if (status && dial->duplex) {
    const struct tg_tls *tls = dial->duplex->tls;
    snprintf(dial->why, sizeof dial->why, "%s", tls ? tg_tls_complain(tls) : "");
    tg_duplex_close(dial->duplex);
    dial->duplex = NULL;
  }
  tg_op_complete(&dial->op);
}

static void on_secured(struct tg_duplex *duplex, tg_status status, void *owner) {
  (void)duplex;
  end(owner, status);
}

static void set_up(const struct dial *dial, struct tg_duplex *duplex) {
  if (duplex->uv.handle.type != UV_TCP) return;
  (void)uv_tcp_nodelay(&duplex->uv.tcp, dial->nodelay);
  if (dial->keepalive) (void)uv_tcp_keepalive(&duplex->uv.tcp, 1, dial->keepalive);
}

static void secure(struct dial *dial) {
  struct tg_tls *tls =
      tg_tls_client_new(dial->tls, tg_slice_cstr(dial->name), tg_slice_cstr(dial->alpn));
  if (tls)
    tg_duplex_secure(dial->duplex, tls, on_secured, dial);
  else
    end(dial, TG_ENOMEM);
}

static void on_connected(struct tg_connector *connector, tg_status status, int fd) {
  struct dial *dial = TG_CONTAINER(connector, struct dial, connector);
  if (status) {
    end(dial, status);
    return;
  }
  bool is_unix = tg_address_is_unix(&dial->targets[0]);
  dial->duplex = tg_duplex_new(dial->loop, is_unix ? TG_DUPLEX_PIPE : TG_DUPLEX_TCP);
  if (!dial->duplex) close(fd);
  status = dial->duplex ? tg_duplex_attach(dial->duplex, fd) : TG_ENOMEM;
  if (status == TG_OK) set_up(dial, dial->duplex);
  if (status == TG_OK && dial->tls)
    secure(dial);
  else
    end(dial, status);
}

static void on_deadline(struct tg_timer *timer) {
  end(TG_CONTAINER(timer, struct dial, deadline), UV_ETIMEDOUT);
}

static void cancel(struct tg_op *op) {
  end(TG_CONTAINER(op, struct dial, op), TG_ECANCELLED);
}

__attribute__((noreturn)) static void fail(lua_State *L, tg_status status, const char *label,
                                           const char *why) {
  /* EAGAIN: a unix socket whose queue of clients is full */
  if (status == UV_EAGAIN) status = TG_EOVERLOAD;
  if (*why)
    tg_error_push(L, tg_status_name(status), "%s: %s", label, why);
  else
    tg_error_push_status(L, status, label);
  lua_pushinteger(L, status == -ENOENT ? 502 : tg_status_http(status));
  lua_setfield(L, -2, "status");
  tg_error_push_place(L, 0);
  lua_setfield(L, -2, "place");
  lua_error(L);
  __builtin_unreachable();
}

static int finish(struct tg_op *op, lua_State *L) {
  struct dial *dial = TG_CONTAINER(op, struct dial, op);
  struct tg_duplex *duplex = dial->duplex;
  tg_status status = dial->status;
  bool cancelled = op->cancelled;
  char label[sizeof dial->label], why[sizeof dial->why];
  snprintf(label, sizeof label, "%s", dial->label);
  snprintf(why, sizeof why, "%s", dial->why);
  if (dial->tls) tg_tls_context_release(dial->tls);
  free(dial);
  if (duplex && !L) tg_duplex_close(duplex);
  if (!L) return 0;
  if (duplex) return tg_duplex_push(L, duplex, "socket") ? lua_error(L) : 1;
  if (cancelled) tg_op_throw_cancelled(L);
  fail(L, status, label, status == TG_ETLS ? why : "");
}

static const struct tg_op_kind kind = {
    .name = "tg.net.connect", .cancel = cancel, .finish = finish};

/* ---- arguments: net.lua has looked at them ---- */

static void read_text(lua_State *L, int index, char *out, size_t size) {
  snprintf(out, size, "%s", luaL_optstring(L, index, ""));
}

/* Reads the list of addresses at index 2; an error throws before anything is held. */
static void read_targets(lua_State *L, int port, struct dial *dial) {
  luaL_checktype(L, 2, LUA_TTABLE);
  for (int i = 1; dial->count < TARGETS_MAX; i++, lua_pop(L, 1)) {
    struct tg_slice text;
    lua_rawgeti(L, 2, i);  // .. text
    if (lua_isnil(L, -1)) break;
    text.ptr = luaL_checklstring(L, -1, &text.len);
    if (tg_address_literal(&dial->targets[dial->count], text, port) == TG_OK) dial->count++;
  }
  if (!dial->count) tg_error_throw(L, "invalid", "%s: no address", dial->label);
}

static void read_options(lua_State *L, struct dial *dial) {
  struct tg_slice own;
  own.ptr = luaL_optlstring(L, 5, "", &own.len);
  if (own.len && tg_address_literal(&dial->own, own, 0))
    tg_error_throw(L, "invalid", "%s: `bind` is no numeric address", dial->label);
  dial->nodelay = lua_isnil(L, 6) || lua_toboolean(L, 6);
  dial->keepalive = (unsigned)luaL_optinteger(L, 7, 0);
  dial->tls = tg_tls_settings_at(L, 8);
  read_text(L, 9, dial->name, sizeof dial->name);
  read_text(L, 10, dial->alpn, sizeof dial->alpn);
}

int tg_await_net_connect(lua_State *L) {
  struct dial options = {0};
  lua_settop(L, 10);
  lua_Number timeout = luaL_checknumber(L, 4);
  snprintf(options.label, sizeof options.label, "%s", luaL_checkstring(L, 1));
  read_targets(L, (int)luaL_optinteger(L, 3, 0), &options);
  read_options(L, &options);
  tg_op_begin(L);
  struct dial *dial = malloc(sizeof *dial);
  if (!dial) tg_error_throw(L, "out_of_memory", "tg.net.connect: no memory");
  *dial = options;
  tg_op_init(&dial->op, &kind);
  dial->loop = tg_vm_of(L)->loop;
  uint64_t due = tg_loop_time(dial->loop) + (uint64_t)(timeout * (lua_Number)TG_SECOND);
  if (tg_timer_start(&dial->loop->timers, &dial->deadline, due, on_deadline)) {
    free(dial);
    tg_error_throw(L, "out_of_memory", "tg.net.connect: no memory");
  }
  if (dial->tls) (void)tg_tls_context_hold(dial->tls);
  tg_connector_start(&dial->connector, dial->loop, dial->targets, dial->count,
                     dial->own.len ? &dial->own : NULL, on_connected);
  return tg_op_suspend(L, &dial->op);
}
