/* Every way of reading a byte stream: what is there is given at once, else the task waits.
 *
 * The bytes stay in the stream's buffer until the answer is pushed, so that a read which is
 * cancelled or fails has taken nothing. */
#include <lauxlib.h>
#include <stdlib.h>

#include "await/duplex.h"
#include "base/check.h"
#include "script/error.h"
#include "script/module.h"

/// For _core/duplex.lua: read(stream, want, count, delimiter) -> bytes, or nil at the end.
TG_AWAITABLE(duplex_read)

static const char *const methods[] = {"read", "read_exactly", "read_until", "read_line",
                                      "read_all"};

struct read_op {
  struct tg_op op;
  struct tg_duplex_read read;
  const char *noun;
  char delimiter[];
};

static void on_ready(struct tg_duplex_read *read) {
  tg_op_complete(&TG_CONTAINER(read, struct read_op, read)->op);
}

static void cancel(struct tg_op *op) {
  tg_duplex_unwait(&TG_CONTAINER(op, struct read_op, op)->read);
  tg_op_complete(op);
}

/* The other side is to blame, hence the status. */
__attribute__((noreturn)) static void throw_eof(lua_State *L, size_t buffered, const char *noun,
                                                const struct tg_duplex_read *read) {
  const char *method = methods[read->want];
  if (read->want == TG_WANT_EXACTLY)
    tg_error_push(L, "eof", "%s:%s: the stream ended after %zu of %zu bytes; read() gives them",
                  noun, method, buffered, read->count);
  else
    tg_error_push(L, "eof", "%s:%s: the stream ended before the delimiter; read() gives the rest",
                  noun, method);
  lua_pushinteger(L, 502);
  lua_setfield(L, -2, "status");
  tg_error_push_place(L, 0);
  lua_setfield(L, -2, "place");
  lua_error(L);
  __builtin_unreachable();
}

__attribute__((noreturn)) static void fail(lua_State *L, tg_status status, size_t buffered,
                                           const char *noun, const struct tg_duplex_read *read) {
  const char *method = methods[read->want];
  char what[64];
  if (status == UV_EOF) throw_eof(L, buffered, noun, read);
  if (status == TG_ETOO_LARGE)
    tg_error_throw(L, "too_large", "%s:%s: more than %zu bytes; they can still be read in parts",
                   noun, method, read->count);
  if (status == TG_ECLOSED) tg_duplex_throw_closed(L, noun, method);
  snprintf(what, sizeof what, "%s:%s", noun, method);
  tg_error_throw_status(L, status, what);
}

/* The status is any but TG_EAGAIN. */
static int answer(lua_State *L, struct tg_duplex *duplex, tg_status status, const char *noun,
                  struct tg_duplex_read *read) {
  size_t buffered = tg_duplex_buffered(duplex);
  if (status == TG_OK) {
    lua_pushlstring(L, read->bytes.ptr ? read->bytes.ptr : "", read->bytes.len);
    tg_duplex_take(duplex, read);
    return 1;
  }
  if (status != UV_EOF || buffered) fail(L, status, buffered, noun, read);
  lua_pushnil(L);
  return 1;
}

static int finish(struct tg_op *op, lua_State *L) {
  struct read_op *waited = TG_CONTAINER(op, struct read_op, op);
  struct tg_duplex_read read = waited->read;
  struct tg_duplex *duplex = read.duplex;
  const char *noun = waited->noun;
  bool cancelled = op->cancelled;
  /* looked at while the delimiter is still there */
  tg_status status = duplex && L && !cancelled ? tg_duplex_look(duplex, &read) : TG_ECLOSED;
  tg_duplex_unwait(&waited->read);
  free(waited);
  if (!L) return 0;
  if (cancelled) tg_op_throw_cancelled(L);
  if (!duplex) fail(L, TG_ECLOSED, 0, noun, &read);
  TG_CHECK(status != TG_EAGAIN);
  return answer(L, duplex, status, noun, &read);
}

static const struct tg_op_kind kind = {.name = "read", .cancel = cancel, .finish = finish};

static int wait_for(lua_State *L, struct tg_duplex_object *object, struct tg_duplex_read *read) {
  size_t len = read->delimiter.len;
  struct read_op *waits = malloc(sizeof *waits + len);
  if (!waits)
    tg_error_throw(L, "out_of_memory", "%s:%s: no memory", object->noun, methods[read->want]);
  tg_op_init(&waits->op, &kind);
  waits->noun = object->noun;
  waits->read = *read;
  waits->read.ready = on_ready;
  if (len) memcpy(waits->delimiter, read->delimiter.ptr, len);
  waits->read.delimiter = tg_slice(waits->delimiter, len);
  tg_duplex_wait(object->duplex, &waits->read);
  return tg_op_suspend(L, &waits->op);
}

int tg_await_duplex_read(lua_State *L) {
  struct tg_duplex_object *object = tg_duplex_check(L, 1);
  lua_Integer want = luaL_checkinteger(L, 2);
  lua_Number count = luaL_checknumber(L, 3);
  struct tg_duplex_read read;
  luaL_argcheck(L, want >= TG_WANT_SOME && want <= TG_WANT_ALL, 2, "no such read");
  luaL_argcheck(L, count >= 0 && count <= 1e12, 3, "a number of bytes expected");
  tg_duplex_read_init(&read, (enum tg_duplex_want)want, (size_t)count);
  if (want == TG_WANT_UNTIL) read.delimiter.ptr = luaL_checklstring(L, 4, &read.delimiter.len);
  tg_op_begin(L);
  struct tg_duplex *duplex = object->duplex;
  if (!duplex) tg_duplex_throw_closed(L, object->noun, methods[want]);
  if (tg_duplex_reader_busy(duplex))
    tg_error_throw(L, "busy", "%s:%s: another task reads from this %s right now", object->noun,
                   methods[want], object->noun);
  tg_status status = tg_duplex_look(duplex, &read);
  if (status == TG_EAGAIN) return wait_for(L, object, &read);
  return answer(L, duplex, status, object->noun, &read);
}
