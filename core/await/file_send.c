/* Sending a file that was found: the sender of server/file_body.h as an op. */
#include <lauxlib.h>
#include <stdlib.h>

#include "await/file_object.h"
#include "base/check.h"
#include "script/error.h"
#include "script/module.h"
#include "server/exchange.h"

/// Sends the file of an answer as its body; raises `closed` when the client is gone, `file_shrank`.
TG_AWAITABLE(file_send)

struct send_op {
  struct tg_op op;
  struct tg_file_sender sender;
  struct tg_exchange *exchange;
  struct tg_file_object *object; /* anchored by the stream's function, which waits */
  tg_status status;
};

static void end(struct send_op *send) {
  send->exchange->sends_file = false;
  send->object->busy = false;
}

static void on_done(struct tg_file_sender *sender, tg_status status) {
  struct send_op *send = TG_CONTAINER(sender, struct send_op, sender);
  send->status = status;
  end(send);
  tg_op_complete(&send->op);
}

static void cancel(struct tg_op *op) {
  struct send_op *send = TG_CONTAINER(op, struct send_op, op);
  tg_file_sender_cancel(&send->sender);
  end(send);
  tg_op_complete(op);
}

static int outcome(lua_State *L, tg_status status) {
  if (status == TG_OK) return 0;
  if (status == TG_ECLOSED) tg_error_throw(L, "closed", "the client is gone");
  if (status == TG_EIO)
    tg_error_throw(L, "file_shrank", "the file became shorter while it was sent");
  tg_error_push_status(L, status, "sending a file");
  return lua_error(L);
}

static int finish(struct tg_op *op, lua_State *L) {
  struct send_op *send = TG_CONTAINER(op, struct send_op, op);
  tg_status status = send->status;
  bool cancelled = op->cancelled;
  free(send);
  if (!L) return 0;
  if (cancelled) tg_op_throw_cancelled(L);
  return outcome(L, status);
}

static const struct tg_op_kind kind = {.name = "tg.file", .cancel = cancel, .finish = finish};

/* file_send(out, file) */
int tg_await_file_send(lua_State *L) {
  struct tg_exchange_ref *ref = luaL_checkudata(L, 1, TG_OUT_OBJECT);
  struct tg_file_object *object = tg_file_object_check(L, 2);
  tg_op_begin(L);
  struct tg_exchange *exchange = tg_exchange_of(ref);
  if (!exchange) tg_error_throw(L, "closed", "tg.file: the stream has ended");
  if (exchange->drained || exchange->sends_file)
    tg_error_throw(L, "busy", "tg.file: another task writes to this stream");
  struct send_op *send = malloc(sizeof *send);
  if (!send) tg_error_throw(L, "out_of_memory", "tg.file: no memory");
  send->exchange = exchange;
  send->object = object;
  send->sender.done = on_done;
  tg_status status =
      tg_file_sender_start(&send->sender, tg_vm_of(L)->loop, &object->body, &exchange->sink);
  if (status != TG_EAGAIN) {
    free(send);
    return outcome(L, status);
  }
  tg_op_init(&send->op, &kind);
  exchange->sends_file = object->busy = true;
  return tg_op_suspend(L, &send->op);
}
