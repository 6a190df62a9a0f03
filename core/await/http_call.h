/* An outbound call as Lua holds it (tg.http): the userdata, its life, and what its parts share.
 *
 * The userdata is owned by the request, job or script that has made the call: with its end, with
 * the collector, and when the task that waits for the head is cancelled, the call is given up, and
 * its link drained or closed. A call that is over in order lets go of everything by itself, so that
 * what Lua keeps of it is an empty shell, whose methods raise. Headers, redirects, retries and all
 * else that is not bytes are Lua's (lua/tidegate/http.lua). */
#ifndef TG_AWAIT_HTTP_CALL_H
#define TG_AWAIT_HTTP_CALL_H

#include <lua.h>

#include "await/http_turn.h"
#include "base/buffer.h"
#include "http/decoder.h"
#include "script/task.h"
#include "upstream/call.h"

#define TG_HTTP_CALL_OBJECT "tg.http_call"

/* The body of a request that Lua code writes piece by piece: one piece is on its way at a time. */
struct tg_http_feed {
  struct tg_source source;
  tg_source_cb done; /* the call asks for bytes; NULL: it does not */
  void *owner;
  struct tg_buffer piece; /* of a writer that waits until it is asked for */
  struct tg_op *writer;   /* that one; NULL: none */
  bool ended;             /* all was written */
};

enum tg_http_state {
  TG_HTTP_NEW,     /* not begun */
  TG_HTTP_QUEUED,  /* its turn has not come */
  TG_HTTP_REFUSED, /* and never will */
  TG_HTTP_ASKED,
  TG_HTTP_REPLIED, /* the head is there */
  TG_HTTP_FAILED
};

struct tg_http_call {
  struct tg_call call;
  struct tg_origin origin;
  struct tg_call_request request;
  struct tg_call_limits limits;
  struct tg_arena arena;
  struct tg_http_turn turn;
  struct tg_tls_context *tls; /* held; NULL: none */
  struct tg_loop *loop;
  enum tg_http_state state;
  tg_status failure;
  struct tg_op *waiter; /* a task that waits for the head or for bytes */
  void (*wake)(struct tg_op *op);
  struct tg_http_feed feed;
  struct tg_decoder *decoder; /* takes the content coding off; NULL: there is none */
  struct tg_buffer packed;    /* bytes of the body that it has not taken yet */
  bool filled;                /* it may have more without them */
  char label[200];            /* "GET http://host/path", for messages */
};

struct tg_http_object {
  struct tg_owned owned;
  struct tg_http_call *http; /* NULL: over */
};

/* Is neither a head nor a failure there? */
static inline bool tg_http_pending(const struct tg_http_call *http) {
  return http->state == TG_HTTP_QUEUED || http->state == TG_HTTP_ASKED;
}

/* The object at a stack index; throws where it is none. Its call may be over. */
struct tg_http_object *tg_http_check(lua_State *L, int index);

/* Gives the call up and frees it; a task that waits for it is woken. Idempotent. */
void tg_http_release(struct tg_http_object *object);

/* Throws for a call that has failed; `object` is released before. */
__attribute__((noreturn)) void tg_http_throw(lua_State *L, struct tg_http_object *object,
                                             tg_status status);

/* Throws `closed` for a call that is over. */
__attribute__((noreturn)) void tg_http_throw_over(lua_State *L);

/* A piece was taken, or none will be any more: the writer goes on (http_write.c). */
void tg_http_feed_wake(struct tg_http_feed *feed);

/* Prepares the source that the call reads. */
void tg_http_feed_init(struct tg_http_feed *feed);

#endif
