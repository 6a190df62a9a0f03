/* out:write: appends to a streamed answer, and suspends while the client has too much to read.
 *
 * Several tasks of a request may write to one stream. A sink tells one of them that there is room:
 * the others stand behind that one, in a ring, and are told by it. */
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
  struct tg_exchange *exchange;
  struct tg_list link; /* the ring of those that wait */
  tg_status status;
};

static void tell(struct write_op *write, tg_status status) {
  write->status = status;
  tg_op_complete(&write->op);
}

static void on_drained(void *owner, tg_status status) {
  struct write_op *first = owner;
  struct tg_list others, *link;
  tg_list_init(&others);
  tg_list_move(&others, &first->link);
  tell(first, status);
  while ((link = tg_list_take_first(&others)))
    tell(TG_CONTAINER(link, struct write_op, link), status);
}

static void wait_for_room(struct write_op *write) {
  struct tg_exchange *exchange = write->exchange;
  if (exchange->drained) {
    struct write_op *first = exchange->drained_owner;
    tg_list_append(&first->link, &write->link);
  } else {
    exchange->sink.drained(&exchange->sink, on_drained, write);
  }
}

static void cancel(struct tg_op *op) {
  struct write_op *write = TG_CONTAINER(op, struct write_op, op);
  struct tg_exchange *exchange = write->exchange;
  struct tg_list *next = write->link.next;
  bool others = next != &write->link;
  bool first = exchange->drained && exchange->drained_owner == write;
  tg_list_remove(&write->link);
  if (first) exchange->sink.cancel(&exchange->sink);
  if (first && others)
    exchange->sink.drained(&exchange->sink, on_drained, TG_CONTAINER(next, struct write_op, link));
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
  if (exchange->sends_file) tg_error_throw(L, "busy", "out:write: a file is being sent");
  tg_status status = exchange->sink.write(&exchange->sink, bytes);
  if (status == TG_OK) return 0;
  if (status != TG_EAGAIN) return fail(L, status);
  struct write_op *write = calloc(1, sizeof *write);
  if (!write) tg_error_throw(L, "out_of_memory", "out:write: no memory");
  tg_op_init(&write->op, &kind);
  write->exchange = exchange;
  tg_list_init(&write->link);
  wait_for_room(write);
  return tg_op_suspend(L, &write->op);
}
