/* The application on one loop and without a port, for tests: requests and jobs reach its states as
 * they do in a process that serves.
 *
 * There is one state of a loop, in which tests run, and one of a worker for each blocking route or
 * job under way, on the same thread. A request is bytes in and bytes out: the parser, the routes,
 * the limits and the writer of heads are those of the server; what is missing is the socket. A
 * client that goes away is a call that was cancelled. */
#ifndef TG_APP_REHEARSAL_H
#define TG_APP_REHEARSAL_H

#include <lua.h>

#include "app/offline.h"
#include "base/list.h"
#include "script/scope.h"
#include "server/routing.h"

#define TG_REHEARSAL_WORKERS 8

struct tg_rehearsal {
  struct tg_offline *offline;
  struct tg_vm *vm; /* the loop's */
  struct tg_routing routing;
  struct tg_loop_job keeper; /* holds the clock while something waits for a worker */
  struct tg_list waiting;    /* guests without a worker */
  struct tg_rehearsal_worker {
    struct tg_vm *vm;                 /* NULL until it is needed */
    struct tg_rehearsal_guest *guest; /* what it runs; NULL: free */
    struct tg_scope *root;            /* the state's own: what on_start has begun */
    struct tg_scope guests;           /* the application's scope for its guests */
  } workers[TG_REHEARSAL_WORKERS];
  uint64_t requests; /* for their numbers */
};

/* Something that takes a worker for itself; embedded in what it is about. */
struct tg_rehearsal_guest {
  struct tg_list link;
  struct tg_rehearsal *rehearsal;
  /* Begins, between two turns of the loop; `vm` is NULL where `why` says that there is no state. */
  void (*begin)(struct tg_rehearsal_guest *guest, struct tg_vm *vm, const char *why);
};

/* Makes the loop's state; the application was loaded, or there is none. Returns an exit status; the
 * errors of loading were shown. */
int tg_rehearsal_open(struct tg_rehearsal *rehearsal, struct tg_offline *offline);

/* Runs on_stop in all states and frees them. */
void tg_rehearsal_close(struct tg_rehearsal *rehearsal);

/* One turn of the loop, and what can only be done between two: making states. */
void tg_rehearsal_turn(struct tg_rehearsal *rehearsal);

/* Has the loop nothing to do, and nothing to wait for? */
bool tg_rehearsal_idle(struct tg_rehearsal *rehearsal);

/* Does a worker run something, or does something wait for one? */
bool tg_rehearsal_busy(const struct tg_rehearsal *rehearsal);

/* Ends a worker that has no guest, and whatever its guests have left; the next one gets another. */
void tg_rehearsal_dismiss(struct tg_rehearsal *rehearsal, struct tg_rehearsal_worker *worker);

/* A guest waits for a worker of its own; `begin` is called when it has one. */
void tg_rehearsal_admit(struct tg_rehearsal *rehearsal, struct tg_rehearsal_guest *guest);

/* It has ended, or wants no worker any more. */
void tg_rehearsal_leave(struct tg_rehearsal_guest *guest);

/* What is behind tg.test, as functions of Lua; the upvalue is the rehearsal, as a light userdata.
 *   begin(bytes, in_parts) -> handle   makes a request; the handle ends with its scope
 *   all(handle) -> head, body, whole   waits until it is over. ⏸ Cancelled: the client is gone
 *   head(handle) -> head               waits for the head of the answer. ⏸ Cancelled: the same
 *   piece(handle) -> bytes             waits for the next piece; nil, whole at the end. ⏸
 *   close_answer(handle)               the client goes away */
int tg_rehearsal_begin(lua_State *L);
int tg_rehearsal_all(lua_State *L);
int tg_rehearsal_head(lua_State *L);
int tg_rehearsal_piece(lua_State *L);
int tg_rehearsal_close_answer(lua_State *L);

#endif
