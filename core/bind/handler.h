/* Joins an exchange to a Lua handler: one task in one scope, from the request object to the answer.
 *
 * The same code runs on loops and on workers; it reaches the client only through exchange->port,
 * ->body and ->sink. A handling lives in the exchange's arena and ends before port->finish. */
#ifndef TG_BIND_HANDLER_H
#define TG_BIND_HANDLER_H

#include <stdbool.h>

#include "script/error.h"
#include "script/task.h"
#include "server/exchange.h"

struct tg_handling {
  struct tg_exchange *exchange;
  struct tg_vm *vm;
  struct tg_task *task;              /* the handler's own; NULL when it has ended */
  struct tg_exchange_ticket *ticket; /* what req and out find the exchange by; NULL before */
  struct tg_failure *failure;        /* what is to be answered instead; else NULL */
  bool settled;                      /* what the handler began or deferred was dealt with */
  bool streaming;                    /* the head of a stream was decided */
  bool *concluded;                   /* told to tg_handler_start while that runs; else NULL */
  struct tg_websocket *websocket;    /* HTTP was left for it; else NULL */
  int after_ref;                     /* list of req:after functions, or LUA_NOREF */
  struct tg_scope scope;             /* the last: all before it begins cleared */
};

/* Begins the handling: `run_ref` is the registry reference of what _core/entry.lua has prepared of
 * the route's function in `vm`, whose thread this is. Makes exactly one answer and calls
 * port->finish, now or later. */
void tg_handler_start(struct tg_vm *vm, struct tg_exchange *exchange, int run_ref);

/* The handling whose task runs in this state now; NULL outside of a request. */
struct tg_handling *tg_handler_current(struct tg_vm *vm);

/* Request id of the running task, or an empty slice; valid until the next call. */
struct tg_slice tg_handler_request_id(struct tg_vm *vm);

/* Has the handler spawned tasks, or deferred work? */
bool tg_handler_unfinished(const struct tg_handling *handling);

/* Fills the reference of an object that is made for this handling. May throw (memory). */
void tg_handler_refer(lua_State *L, struct tg_handling *handling, struct tg_exchange_ref *ref);

/* bind/request.c: core functions for _core/entry.lua and _core/request.lua. */
int tg_request_new(lua_State *L);          /* (handling) -> req */
int tg_request_query_lists(lua_State *L);  /* (req) -> {name = string | strings} */
int tg_request_content_type(lua_State *L); /* (req) -> string, or nothing */
void tg_request_open(lua_State *L);        /* metatable */

/* bind/response.c: respond(handling, ...) -> nothing; fn, out for a stream;
 * or true, once, when there is work to be settled before the answer. */
int tg_response_respond(lua_State *L);

/* Sends what lies on `co`, a handler's return values, where that is a plain one of the forms: a
 * table, a string, nothing, or a status and one of these. False: nothing was sent, and it is to be
 * given to `respond`, which says what is wrong with it. Never throws. */
bool tg_response_plain(lua_State *co, struct tg_handling *handling);
void tg_response_open(lua_State *L);

/* bind/websocket.c: answers with a WebSocket, by the answer object at `object`. Pushes its function
 * and the socket, or raises what the handshake is refused with. */
int tg_websocket_begin(lua_State *L, struct tg_handling *handling, int object,
                       const struct tg_response_field *fields, size_t count);

/* The handling is over: closes the socket, and forgets the failure where that is only that the
 * client has closed it before. */
void tg_websocket_conclude(struct tg_handling *handling);

#endif
