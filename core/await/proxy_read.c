/* The body of a reply, piece by piece, for Lua that looks at it. */
#include <lauxlib.h>
#include <stdlib.h>

#include "await/proxy_reply.h"
#include "base/check.h"
#include "script/error.h"
#include "script/module.h"
#include "script/task.h"

/// For _core/proxy.lua: the next bytes of a reply's body; nil at its end.
TG_AWAITABLE(proxy_read)

struct read_op {
  struct tg_op op;
  struct tg_proxy_reply *reply;
  struct tg_buffer bytes;
  tg_status status;
  bool ended;
};

static void on_bytes(void *owner, tg_status status, struct tg_slice bytes) {
  struct read_op *read = owner;
  if (status == TG_OK && bytes.len) status = tg_buffer_append(&read->bytes, bytes.ptr, bytes.len);
  read->status = status;
  read->ended = status == TG_OK && !bytes.len;
  read->reply->taken = false;
  tg_op_complete(&read->op);
}

static void cancel(struct tg_op *op) {
  struct read_op *read = TG_CONTAINER(op, struct read_op, op);
  struct tg_source *body = &read->reply->delivery.call->body;
  read->reply->taken = false;
  body->cancel(body);
  tg_op_complete(op);
}

static int l_push_bytes(lua_State *L) {
  struct read_op *read = lua_touserdata(L, 1);
  struct tg_slice bytes = tg_buffer_slice(&read->bytes);
  lua_pushlstring(L, bytes.ptr, bytes.len);
  return 1;
}

static int finish(struct tg_op *op, lua_State *L) {
  struct read_op *read = TG_CONTAINER(op, struct read_op, op);
  struct tg_proxy_reply *reply = read->reply;
  tg_status status = read->status;
  bool some = tg_buffer_size(&read->bytes) != 0, ended = read->ended;
  bool cancelled = op->cancelled && !some && !ended;
  int rc = 0;
  if (L && some) {
    lua_pushcfunction(L, l_push_bytes);
    lua_pushlightuserdata(L, read);
    rc = lua_pcall(L, 1, 1, 0);
  }
  tg_buffer_deinit(&read->bytes);
  free(read);
  if (!L) return 0;
  if (cancelled) tg_op_throw_cancelled(L);
  if (status) tg_proxy_reply_throw(L, reply, status);
  if (rc) return lua_error(L);
  if (!some) lua_pushnil(L);
  return 1;
}

static const struct tg_op_kind kind = {.name = "res:chunks", .cancel = cancel, .finish = finish};

int tg_await_proxy_read(lua_State *L) {
  struct tg_proxy_reply *reply = tg_proxy_reply_check(L, 1);
  tg_op_begin(L);
  if (reply->taken) tg_error_throw(L, "busy", "tg.proxy: another task reads this answer");
  if (reply->over) return lua_pushnil(L), 1;
  struct read_op *read = calloc(1, sizeof *read);
  if (!read) tg_error_throw(L, "out_of_memory", "tg.proxy: no memory");
  struct tg_source *body = &reply->delivery.call->body;
  tg_op_init(&read->op, &kind);
  read->reply = reply;
  reply->taken = true;
  body->read(body, on_bytes, read);
  return tg_op_suspend(L, &read->op);
}
