/* Reading the body of a reply: the next piece, or all that is left up to a limit, its content
 * coding taken off. A piece is bounded by what there is room for, whatever it unpacks to. */
#include <lauxlib.h>
#include <stdlib.h>

#include "await/http_call.h"
#include "base/check.h"
#include "script/error.h"
#include "script/module.h"

/// For http.lua: http_read(call, all, most) -> bytes or nil at the end, trailers where there are some.
TG_AWAITABLE(http_read)

#define ROOM ((size_t)32 * 1024)

struct read_op {
  struct tg_op op;
  struct tg_http_object *object;
  struct tg_buffer bytes;
  tg_status status;
  uint64_t most;
  bool all;
  bool ended;
  bool asking; /* its answer may come at once */
  bool again;
};

static struct tg_http_call *call_of(const struct read_op *reads) {
  return reads->object->http;
}

/* ---- the coding ---- */

/* Takes what the decoder makes of the bytes that are there: for a piece, one room full. */
static tg_status unpack(struct read_op *reads) {
  struct tg_http_call *http = call_of(reads);
  do {
    tg_status status = tg_buffer_reserve(&reads->bytes, ROOM);
    if (status) return status;
    size_t len = ROOM;
    struct tg_slice packed = tg_buffer_slice(&http->packed);
    if (!packed.ptr) packed = tg_slice("", 0);
    size_t before = packed.len;
    status = tg_decoder_run(http->decoder, &packed, tg_buffer_tail(&reads->bytes), &len);
    tg_buffer_wrote(&reads->bytes, len);
    tg_buffer_consume(&http->packed, before - packed.len);
    http->filled = len == ROOM;
    if (status) return status == TG_ESYNTAX ? TG_EBAD_REPLY : status;
    if (reads->all && tg_buffer_size(&reads->bytes) > reads->most) return TG_ETOO_LARGE;
  } while (http->filled && reads->all);
  return TG_OK;
}

static tg_status take(struct read_op *reads, struct tg_slice bytes) {
  struct tg_http_call *http = call_of(reads);
  if (!http->decoder) {
    if (reads->all && tg_buffer_size(&reads->bytes) + bytes.len > reads->most) return TG_ETOO_LARGE;
    return tg_buffer_append(&reads->bytes, bytes.ptr, bytes.len);
  }
  tg_status status = tg_buffer_append(&http->packed, bytes.ptr, bytes.len);
  return status ? status : unpack(reads);
}

static const char coding_cut[] = "the compressed body ends before its end";
static const char coding_bad[] = "the body is not what its Content-Encoding says";

/* ---- asking ---- */

static void on_bytes(void *owner, tg_status status, struct tg_slice bytes);

static void ask(struct read_op *reads) {
  struct tg_source *source = &call_of(reads)->call.body;
  reads->asking = true;
  do {
    reads->again = false;
    source->read(source, on_bytes, reads);
  } while (reads->again);
  reads->asking = false;
}

static void complete(struct read_op *reads) {
  call_of(reads)->waiter = NULL;
  tg_op_complete(&reads->op);
}

static void on_bytes(void *owner, tg_status status, struct tg_slice bytes) {
  struct read_op *reads = owner;
  struct tg_http_call *http = call_of(reads);
  bool failed = status != TG_OK;
  if (status == TG_OK && bytes.len) status = take(reads, bytes);
  reads->ended = !failed && bytes.len == 0;
  if (reads->ended && http->decoder && !tg_decoder_whole(http->decoder)) {
    status = TG_ECUT;
    http->call.detail = coding_cut;
  } else if (status == TG_EBAD_REPLY && !failed) {
    http->call.detail = coding_bad;
  }
  reads->status = status;
  bool enough = !reads->all && tg_buffer_size(&reads->bytes) > 0;
  if (status || reads->ended || enough) {
    complete(reads);
    return;
  }
  reads->again = true;
  if (!reads->asking) ask(reads);
}

/* What was collected for a text is lost, and with it the place where it stands. */
static void cancel(struct tg_op *op) {
  struct read_op *reads = TG_CONTAINER(op, struct read_op, op);
  struct tg_source *source = &call_of(reads)->call.body;
  source->cancel(source);
  if (reads->all)
    tg_http_release(reads->object); /* wakes the waiter, which is this one */
  else
    complete(reads);
}

/* ---- the answer ---- */

static void push_trailers(lua_State *L, const struct tg_reply *reply) {
  if (!reply->trailer_count) {
    lua_pushnil(L);
    return;
  }
  lua_newtable(L);  // .. list
  for (uint32_t i = 0; i < reply->trailer_count; i++) {
    const struct tg_field *field = &reply->trailers[i];
    lua_pushlstring(L, field->name.ptr, field->name.len);
    lua_rawseti(L, -2, (int)(2 * i + 1));
    lua_pushlstring(L, field->value.ptr ? field->value.ptr : "", field->value.len);
    lua_rawseti(L, -2, (int)(2 * i + 2));
  }
}

/* bytes or nil, trailers or nil; protected, because memory may be gone while the op is held */
static int l_push(lua_State *L) {
  struct read_op *reads = lua_touserdata(L, 1);
  struct tg_slice bytes = tg_buffer_slice(&reads->bytes);
  if (reads->ended && !bytes.len && !reads->all)
    lua_pushnil(L);
  else
    lua_pushlstring(L, bytes.ptr ? bytes.ptr : "", bytes.len);
  if (reads->ended)
    push_trailers(L, call_of(reads)->call.reply);
  else
    lua_pushnil(L);
  return 2;
}

static void discard(struct read_op *reads) {
  tg_buffer_deinit(&reads->bytes);
  free(reads);
}

__attribute__((noreturn)) static void fail(lua_State *L, struct tg_http_object *object,
                                           tg_status status, uint64_t most) {
  if (status != TG_ETOO_LARGE) tg_http_throw(L, object, status);
  char label[sizeof object->http->label];
  memcpy(label, object->http->label, sizeof label);
  tg_http_release(object);
  tg_error_push(L, "too_large",
                "%s: the body has more than %llu bytes; see max_body, or read it in chunks", label,
                (unsigned long long)most);
  lua_pushinteger(L, 502);
  lua_setfield(L, -2, "status");
  tg_error_push_place(L, 0);
  lua_setfield(L, -2, "place");
  lua_error(L);
  __builtin_unreachable();
}

static int finish(struct tg_op *op, lua_State *L) {
  struct read_op *reads = TG_CONTAINER(op, struct read_op, op);
  struct tg_http_object *object = reads->object;
  if (!L) {
    discard(reads);
    return 0;
  }
  bool over = !object->http, ended = reads->ended;
  bool cancelled = op->cancelled && (over || (!ended && !tg_buffer_size(&reads->bytes)));
  tg_status status = reads->status;
  uint64_t most = reads->most;
  int rc = 0;
  if (!over && !cancelled && !status) {
    lua_pushcfunction(L, l_push);
    lua_pushlightuserdata(L, reads);
    rc = lua_pcall(L, 1, 2, 0);
  }
  discard(reads);
  if (cancelled) tg_op_throw_cancelled(L);
  if (over) tg_http_throw_over(L);
  if (status) fail(L, object, status, most);
  if (ended || rc) tg_http_release(object);
  return rc ? lua_error(L) : 2;
}

static const struct tg_op_kind kind = {.name = "res:chunks", .cancel = cancel, .finish = finish};

/* What the decoder has in hand comes without asking the source. */
static void begin(struct read_op *reads) {
  struct tg_http_call *http = call_of(reads);
  if (http->filled) reads->status = unpack(reads);
  if (reads->status == TG_EBAD_REPLY) http->call.detail = coding_bad;
  if (reads->status || (!reads->all && tg_buffer_size(&reads->bytes))) {
    tg_op_complete(&reads->op);
    return;
  }
  http->waiter = &reads->op;
  ask(reads);
}

int tg_await_http_read(lua_State *L) {
  struct tg_http_object *object = tg_http_check(L, 1);
  bool all = lua_toboolean(L, 2);
  lua_Number most = luaL_optnumber(L, 3, 0);
  tg_op_begin(L);
  struct tg_http_call *http = object->http;
  if (!http || http->state != TG_HTTP_REPLIED) tg_http_throw_over(L);
  if (http->waiter)
    tg_error_throw(L, "busy", "tg.http: another task reads this response right now");
  struct read_op *reads = calloc(1, sizeof *reads);
  if (!reads) tg_error_throw(L, "out_of_memory", "tg.http: no memory");
  tg_op_init(&reads->op, &kind);
  reads->object = object;
  reads->all = all;
  reads->most = (uint64_t)most;
  begin(reads);
  return tg_op_suspend(L, &reads->op);
}
