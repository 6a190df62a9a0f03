/* Reading the request's body: the next piece (req:chunks), or all that is left (req:text).
 *
 * The source gives bytes that are valid inside its callback only, so the op keeps a copy; `all`
 * makes it ask again until the end. */
#include <lauxlib.h>
#include <stdlib.h>

#include "base/check.h"
#include "script/error.h"
#include "script/module.h"
#include "script/task.h"
#include "server/exchange.h"

/// The next bytes of the body, or nil at its end; with `all`, everything that is left.
TG_AWAITABLE(body_read)

struct body_op {
  struct tg_op op;
  struct tg_source *source;
  struct tg_buffer bytes;
  tg_status status;
  bool all;
  bool ended;
  bool inside; /* a read is being asked for: its answer may come at once */
  bool again;
};

static void on_bytes(void *owner, tg_status status, struct tg_slice bytes);

/* A source may answer inside the call; asking again from its callback would nest without a bound.
 */
static void ask(struct body_op *body) {
  body->inside = true;
  do {
    body->again = false;
    body->source->read(body->source, on_bytes, body);
  } while (body->again);
  body->inside = false;
}

static void on_bytes(void *owner, tg_status status, struct tg_slice bytes) {
  struct body_op *body = owner;
  if (status == TG_OK && bytes.len) status = tg_buffer_append(&body->bytes, bytes.ptr, bytes.len);
  body->status = status;
  body->ended = status == TG_OK && bytes.len == 0;
  if (status == TG_OK && body->all && !body->ended) {
    body->again = true;
    if (!body->inside) ask(body);
    return;
  }
  tg_op_complete(&body->op);
}

static void cancel(struct tg_op *op) {
  struct body_op *body = TG_CONTAINER(op, struct body_op, op);
  body->source->cancel(body->source);
  tg_op_complete(op);
}

static int l_push_bytes(lua_State *L) {
  struct body_op *body = lua_touserdata(L, 1);
  struct tg_slice bytes = tg_buffer_slice(&body->bytes);
  lua_pushlstring(L, bytes.ptr ? bytes.ptr : "", bytes.len);
  return 1;
}

static void discard(struct body_op *body) {
  tg_buffer_deinit(&body->bytes);
  free(body);
}

static int finish(struct tg_op *op, lua_State *L) {
  struct body_op *body = TG_CONTAINER(op, struct body_op, op);
  if (!L) {
    discard(body);
    return 0;
  }
  tg_status status = body->status;
  bool cancelled = op->cancelled && !body->ended && !body->bytes.len;
  bool nothing = body->ended && !body->bytes.len && !body->all;
  int rc = 0;
  if (!cancelled && status == TG_OK && !nothing) {
    /* the copy may fail for want of memory: protected, so that the op is freed first */
    lua_pushcfunction(L, l_push_bytes);
    lua_pushlightuserdata(L, body);
    rc = lua_pcall(L, 1, 1, 0);
  }
  discard(body);
  if (cancelled) tg_op_throw_cancelled(L);
  if (status) {
    tg_error_push_status(L, status, "reading the request's body");
    return lua_error(L);
  }
  if (rc) return lua_error(L);
  if (nothing) lua_pushnil(L);
  return 1;
}

static const struct tg_op_kind kind = {.name = "req:chunks", .cancel = cancel, .finish = finish};

int tg_await_body_read(lua_State *L) {
  struct tg_exchange_ref *ref = luaL_checkudata(L, 1, TG_REQUEST_OBJECT);
  bool all = lua_toboolean(L, 2);
  struct tg_exchange *exchange = tg_exchange_of(ref);
  if (!exchange)
    tg_error_throw(L, "request_over", "the body cannot be read: this request has been answered");
  if (exchange->body_done)
    tg_error_throw(L, "busy", "another task of this request reads the body right now");
  tg_op_begin(L);
  struct body_op *body = calloc(1, sizeof *body);
  if (!body) tg_error_throw(L, "out_of_memory", "reading the request's body: no memory");
  tg_op_init(&body->op, &kind);
  body->source = &exchange->body;
  body->all = all;
  ask(body);
  return tg_op_suspend(L, &body->op);
}
