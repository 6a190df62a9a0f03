/* ws:send and ws:send_binary: a message goes out whole, or not at all.
 *
 * Where the client has too much to read, a copy of it waits in line; a wait that is cancelled takes
 * it out again, and one that was sent meanwhile counts as sent. */
#include <lauxlib.h>
#include <stdlib.h>

#include "await/websocket.h"
#include "base/check.h"
#include "base/utf8.h"
#include "script/error.h"
#include "script/module.h"
#include "script/task.h"

/// For _core/websocket.lua: send(ws, bytes, is_binary)
TG_AWAITABLE(websocket_send)

struct send_op {
  struct tg_op op;
  struct tg_ws_write write;
  struct tg_websocket *ws;
  tg_status status;
  bool done;
  bool binary;
  char bytes[];
};

static const char *method_of(bool binary) {
  return binary ? "send_binary" : "send";
}

static void on_done(struct tg_ws_write *write, tg_status status) {
  struct send_op *waits = TG_CONTAINER(write, struct send_op, write);
  waits->status = status;
  waits->done = true;
  tg_op_complete(&waits->op);
}

static void cancel(struct tg_op *op) {
  tg_list_remove(&TG_CONTAINER(op, struct send_op, op)->write.link);
  tg_op_complete(op);
}

static int finish(struct tg_op *op, lua_State *L) {
  struct send_op *waited = TG_CONTAINER(op, struct send_op, op);
  struct tg_websocket *ws = waited->ws;
  tg_status status = waited->status;
  bool done = waited->done, binary = waited->binary;
  free(waited);
  tg_websocket_release(ws);
  if (!L) return 0;
  if (!done) tg_op_throw_cancelled(L);
  if (status) tg_websocket_throw_closed(L, ws, method_of(binary));
  return 0;
}

static const struct tg_op_kind kind = {.name = "ws:send", .cancel = cancel, .finish = finish};

static int wait_for_room(lua_State *L, struct tg_websocket *ws, struct tg_slice bytes,
                         bool binary) {
  struct send_op *waits = malloc(sizeof *waits + bytes.len);
  if (!waits) tg_error_throw(L, "out_of_memory", "ws:%s: no memory", method_of(binary));
  *waits = (struct send_op){.ws = ws, .binary = binary};
  tg_op_init(&waits->op, &kind);
  if (bytes.len) memcpy(waits->bytes, bytes.ptr, bytes.len);
  waits->write = (struct tg_ws_write){.opcode = binary ? TG_WS_BINARY : TG_WS_TEXT,
                                      .bytes = tg_slice(waits->bytes, bytes.len),
                                      .done = on_done};
  tg_list_init(&waits->write.link);
  tg_websocket_hold(ws);
  tg_websocket_send_later(ws, &waits->write);
  return tg_op_suspend(L, &waits->op);
}

int tg_await_websocket_send(lua_State *L) {
  struct tg_websocket *ws = tg_websocket_check(L, 1);
  bool binary = lua_toboolean(L, 3);
  struct tg_slice bytes;
  if (!lua_isstring(L, 2))
    tg_error_misuse(L, "ws:%s: a string expected, got %s", method_of(binary), luaL_typename(L, 2));
  bytes.ptr = lua_tolstring(L, 2, &bytes.len);
  if (!binary && tg_utf8_check(bytes.ptr, bytes.len) != bytes.len)
    tg_error_misuse(L, "ws:send: the text is not UTF-8; use ws:send_binary for bytes");
  tg_op_begin(L);
  tg_status status = tg_websocket_send(ws, binary ? TG_WS_BINARY : TG_WS_TEXT, bytes);
  if (status == TG_ECLOSED) tg_websocket_throw_closed(L, ws, method_of(binary));
  return status == TG_EAGAIN ? wait_for_room(L, ws, bytes, binary) : 0;
}
