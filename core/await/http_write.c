/* Writing the body of a request, for a call that streams it: a piece is taken when the other side
 * has room for it, so that nothing piles up here. */
#include <lauxlib.h>
#include <stdlib.h>

#include "await/http_call.h"
#include "script/error.h"
#include "script/module.h"

/// For http.lua: http_write(call, bytes) -> was it taken? False: the reply is there, or the call failed.
TG_AWAITABLE(http_write)

struct write_op {
  struct tg_op op;
  struct tg_http_object *object; /* while its call is there */
  bool taken;
};

/* ---- the source that the call reads ---- */

void tg_http_feed_wake(struct tg_http_feed *feed) {
  struct tg_op *writer = feed->writer;
  feed->writer = NULL;
  if (writer) tg_op_complete(writer);
}

static void on_read(struct tg_source *source, tg_source_cb done, void *owner) {
  struct tg_http_feed *feed = TG_CONTAINER(source, struct tg_http_feed, source);
  struct tg_op *writer = feed->writer;
  if (!writer && !feed->ended) {
    feed->done = done;
    feed->owner = owner;
    return;
  }
  if (!writer) {
    done(owner, TG_OK, tg_slice("", 0));
    return;
  }
  struct tg_buffer piece = feed->piece;
  tg_buffer_init(&feed->piece);
  feed->writer = NULL;
  TG_CONTAINER(writer, struct write_op, op)->taken = true;
  tg_op_complete(writer);
  done(owner, TG_OK, tg_buffer_slice(&piece)); /* may ask again, at once */
  tg_buffer_deinit(&piece);
}

static void on_cancel(struct tg_source *source) {
  TG_CONTAINER(source, struct tg_http_feed, source)->done = NULL;
}

void tg_http_feed_init(struct tg_http_feed *feed) {
  *feed = (struct tg_http_feed){.source = {.read = on_read, .cancel = on_cancel}};
}

/* ---- the writer ---- */

static void cancel(struct tg_op *op) {
  struct write_op *waits = TG_CONTAINER(op, struct write_op, op);
  struct tg_http_call *http = waits->object->http;
  tg_buffer_clear(&http->feed.piece);
  http->feed.writer = NULL;
  tg_op_complete(op);
}

static int finish(struct tg_op *op, lua_State *L) {
  struct write_op *waits = TG_CONTAINER(op, struct write_op, op);
  bool cancelled = op->cancelled, taken = waits->taken;
  free(waits);
  if (!L) return 0;
  if (cancelled && !taken) tg_op_throw_cancelled(L);
  lua_pushboolean(L, taken);
  return 1;
}

static const struct tg_op_kind kind = {.name = "tg.http", .cancel = cancel, .finish = finish};

int tg_await_http_write(lua_State *L) {
  struct tg_http_object *object = tg_http_check(L, 1);
  struct tg_slice bytes;
  bytes.ptr = luaL_checklstring(L, 2, &bytes.len);
  tg_op_begin(L);
  struct tg_http_call *http = object->http;
  if (!http || !tg_http_pending(http) || http->feed.ended) return lua_pushboolean(L, false), 1;
  struct tg_http_feed *feed = &http->feed;
  if (feed->writer) tg_error_throw(L, "busy", "tg.http: another task writes this body right now");
  tg_source_cb done = feed->done;
  if (done) {
    feed->done = NULL;
    done(feed->owner, TG_OK, bytes);
    return lua_pushboolean(L, true), 1;
  }
  struct write_op *waits = calloc(1, sizeof *waits);
  if (!waits || tg_buffer_append(&feed->piece, bytes.ptr, bytes.len)) {
    free(waits);
    tg_error_throw(L, "out_of_memory", "tg.http: no memory");
  }
  tg_op_init(&waits->op, &kind);
  waits->object = object;
  feed->writer = &waits->op;
  return tg_op_suspend(L, &waits->op);
}
