/* What the server knows of the application: a route tree, a row a route, and whom to call.
 *
 * Immutable once it is in use; one for each generation, shared by all loops. */
#ifndef TG_SERVER_ROUTING_H
#define TG_SERVER_ROUTING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "http/route_tree.h"

struct tg_exchange;
struct tg_forward_rule;

struct tg_route {
  struct tg_slice name;    /* "GET /users/{id:int}", for logs and tables */
  struct tg_slice pattern; /* "/users/{id:int}" */
  struct tg_slice place;   /* "routes/users.lua:7" */
  uint32_t methods;        /* TG_METHOD_BIT set */
  uint64_t max_body;       /* bytes */
  uint64_t timeout;        /* nanoseconds until the head of the answer must be decided */
  uint64_t cpu;            /* nanoseconds of CPU between two suspensions */
  int status;              /* of an answer that says none; 0: 200, or 204 without a body */
  bool stream_body;        /* a blocking route gets its body as it comes, not collected */
  char on_disconnect;      /* 'c' cancel, 'f' finish, 0 by method */
  const struct tg_forward_rule
      *forward; /* a backend answers, without Lua; NULL: the handler does */
  int pool;     /* index of the worker pool; -1: runs on the loop */
  uint32_t param_count;
  struct tg_route_param params[TG_ROUTE_PARAMS_MAX];
};

struct tg_routing {
  const struct tg_route_tree *tree;
  const struct tg_route *routes; /* by the id that the tree gives */
  uint32_t count;
  bool has_fallback; /* routes[count] takes what no route matches; else it is answered here */
  /* Begins the handling of an exchange whose route was found. Exactly one answer is made, and
   * port->finish called, now or later. */
  void (*handle)(struct tg_exchange *exchange);
  /* Is asked before any route, with the head complete; true: it has answered. NULL but in `dev`. */
  bool (*first)(struct tg_exchange *exchange);
  void *owner; /* app's generation */
};

#endif
