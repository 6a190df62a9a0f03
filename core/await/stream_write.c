/* out:write: appends to a streamed answer, and suspends while the client has too much to read. */
#include <lauxlib.h>
#include <stdlib.h>

#include "base/check.h"
#include "script/error.h"
#include "script/module.h"
#include "script/task.h"
#include "server/exchange.h"

/// Sends bytes of a stream; suspends under back-pressure; raises `closed` when the client is gone.
TG_AWAITABLE(stream_write)

struct write_op {
  struct tg_op op;
  struct tg_sink *sink;
  tg_status status;
};

static void on_drained(void *owner, tg_status status) {
  struct write_op *write = owner;
  write->status = status;
  tg_op_complete(&write->op);
}

static void cancel(struct tg_op *op) {
  struct write_op *write = TG_CONTAINER(op, struct write_op, op);
  write->sink->cancel(write->sink);
  tg_op_complete(op);
}

static int fail(lua_State *L, tg_status status) {
  if (status == TG_ECLOSED) {
    tg_error_push(L, "closed", "out:write: the client is gone");
  } else {
    tg_error_push_status(L, status, "out:write");
  }
  return lua_error(L);
}

static int finish(struct tg_op *op, lua_State *L) {
  struct write_op *write = TG_CONTAINER(op, struct write_op, op);
  tg_status status = write->status;
  bool cancelled = op->cancelled;
  free(write);
  if (!L) return 0;
  if (cancelled) tg_op_throw_cancelled(L);
  return status ? fail(L, status) : 0;
}

static const struct tg_op_kind kind = {.name = "out:write", .cancel = cancel, .finish = finish};

int tg_await_stream_write(lua_State *L) {
  struct tg_exchange_ref *ref = luaL_checkudata(L, 1, TG_OUT_OBJECT);
  struct tg_slice bytes;
  if (!lua_isstring(L, 2))
    tg_error_misuse(L, "out:write: a string expected, got %s", luaL_typename(L, 2));
  bytes.ptr = lua_tolstring(L, 2, &bytes.len);
  tg_op_begin(L);
  struct tg_exchange *exchange = tg_exchange_of(ref);
  if (!exchange) tg_error_throw(L, "closed", "out:write: the stream has ended");
  tg_status status = exchange->sink.write(&exchange->sink, bytes);
  if (status == TG_OK) return 0;
  if (status != TG_EAGAIN) return fail(L, status);
  struct write_op *write = calloc(1, sizeof *write);
  if (!write) tg_error_throw(L, "out_of_memory", "out:write: no memory");
  tg_op_init(&write->op, &kind);
  write->sink = &exchange->sink;
  write->sink->drained(write->sink, on_drained, write);
  return tg_op_suspend(L, &write->op);
}
