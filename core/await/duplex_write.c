/* Writing to a byte stream: the kernel is tried at once, and a task that has queued much waits.
 *
 * A write that suspends has been queued as a whole before: cancelling it ends the waiting, never
 * the message in its middle. */
#include <lauxlib.h>
#include <stdlib.h>

#include "await/duplex.h"
#include "base/check.h"
#include "script/error.h"
#include "script/module.h"

/// For _core/duplex.lua: write(stream, ...) sends strings and numbers; suspends under back-pressure.
TG_AWAITABLE(duplex_write)

struct write_op {
  struct tg_op op;
  struct tg_duplex_room room;
  const char *noun;
};

static void on_ready(struct tg_duplex_room *room) {
  tg_op_complete(&TG_CONTAINER(room, struct write_op, room)->op);
}

static void cancel(struct tg_op *op) {
  tg_duplex_room_end(&TG_CONTAINER(op, struct write_op, op)->room);
  tg_op_complete(op);
}

__attribute__((noreturn)) static void fail(lua_State *L, tg_status status, const char *noun) {
  char what[64];
  if (status == TG_ECLOSED)
    tg_error_throw(L, "closed", "%s:write: our side of the %s has ended", noun, noun);
  snprintf(what, sizeof what, "%s:write", noun);
  tg_error_throw_status(L, status, what);
}

static int finish(struct tg_op *op, lua_State *L) {
  struct write_op *waited = TG_CONTAINER(op, struct write_op, op);
  struct tg_duplex *duplex = waited->room.duplex;
  const char *noun = waited->noun;
  bool cancelled = op->cancelled;
  tg_duplex_room_end(&waited->room);
  free(waited);
  if (!L) return 0;
  if (cancelled) tg_op_throw_cancelled(L);
  if (!duplex) tg_duplex_throw_closed(L, noun, "write");
  if (duplex->broken) fail(L, duplex->broken, noun);
  return 0;
}

static const struct tg_op_kind kind = {.name = "write", .cancel = cancel, .finish = finish};

/* Sends the arguments from the second on, in as few system calls as there are. */
static tg_status send_all(lua_State *L, struct tg_duplex *duplex) {
  struct tg_slice parts[TG_DUPLEX_PARTS];
  unsigned count = 0;
  tg_status status = TG_OK;
  int top = lua_gettop(L);
  for (int i = 2; i <= top && (status == TG_OK || status == TG_EAGAIN); i++) {
    parts[count].ptr = lua_tolstring(L, i, &parts[count].len);
    if (++count < TG_DUPLEX_PARTS && i < top) continue;
    status = tg_duplex_write(duplex, parts, count);
    count = 0;
  }
  return status;
}

int tg_await_duplex_write(lua_State *L) {
  struct tg_duplex_object *object = tg_duplex_check(L, 1);
  for (int i = 2; i <= lua_gettop(L); i++)
    if (!lua_isstring(L, i))
      tg_error_misuse(L, "%s:write: strings expected, got %s", object->noun, luaL_typename(L, i));
  tg_op_begin(L);
  struct tg_duplex *duplex = object->duplex;
  if (!duplex) tg_duplex_throw_closed(L, object->noun, "write");
  if (tg_duplex_writer_busy(duplex))
    tg_error_throw(L, "busy", "%s:write: another task writes to this %s right now", object->noun,
                   object->noun);
  tg_status status = send_all(L, duplex);
  if (status == TG_OK) return 0;
  if (status != TG_EAGAIN) fail(L, status, object->noun);
  struct write_op *waits = calloc(1, sizeof *waits);
  if (!waits) return 0; /* it is queued, and there is nothing to wait with */
  tg_op_init(&waits->op, &kind);
  waits->noun = object->noun;
  waits->room.level = TG_DUPLEX_LOW;
  waits->room.ready = on_ready;
  tg_duplex_room_wait(duplex, &waits->room);
  return tg_op_suspend(L, &waits->op);
}
