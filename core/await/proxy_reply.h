/* A reply as tg.proxy holds it: a delivery whose head has come. What its awaitables share.
 *
 * It is the operation's until the head is there, the userdata's after that, and ends with the scope
 * of the request: a reply that nobody has read is given up. */
#ifndef TG_AWAIT_PROXY_REPLY_H
#define TG_AWAIT_PROXY_REPLY_H

#include <lua.h>

#include "base/buffer.h"
#include "script/scope.h"
#include "server/exchange.h"
#include "upstream/forward_order.h"

#define TG_PROXY_REPLY "tg.proxy_reply"

struct tg_proxy_reply {
  struct tg_exchange *exchange; /* lives longer: it is the request's */
  struct tg_forward_rule rule;
  struct tg_delivery_order order;
  struct tg_arena arena;
  struct tg_buffer bytes;   /* a body of the caller's */
  struct tg_mirror *mirror; /* the body of the request goes by it; else NULL */
  struct tg_op *op;         /* waits for the head; else NULL */
  tg_status status;         /* why there is none */
  bool over;                /* the delivery has ended, or never began */
  bool taken;               /* its body is read, by whatever way */
  char memory[2048];        /* of the arena */
  struct tg_delivery delivery;
};

struct tg_proxy_reply_object {
  struct tg_owned owned;
  struct tg_proxy_reply *reply; /* NULL: it is over */
};

/* The reply at a stack index; raises where it is none, or over. */
struct tg_proxy_reply *tg_proxy_reply_check(lua_State *L, int index);

/* Raises what has happened to a body on its way. */
__attribute__((noreturn)) void tg_proxy_reply_throw(lua_State *L,
                                                    const struct tg_proxy_reply *reply,
                                                    tg_status status);

/* Gives it up, and frees it. */
void tg_proxy_reply_free(struct tg_proxy_reply *reply);

/* The object of a reply whose head is there; protected: not 0 is an error on top, and the reply is
 * freed. */
int tg_proxy_reply_push(lua_State *L, struct tg_proxy_reply *reply);

#endif
