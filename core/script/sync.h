/* What channels, mutexes and their kin have in common: objects at which tasks wait in line.
 *
 * An object is a userdata of one Lua state; its C structure begins with a tg_sync. Whoever has to
 * wait is an op, a tg_wait, with a place in one queue, or in one of several objects (tg.select).
 * Queues are first in, first out, and whoever is first is handed what it waits for: nobody who
 * comes later can take it away before the task runs. A wait that is cancelled, or was served
 * elsewhere, leaves its queues at once and takes nothing along.
 *
 * An object may be collected while tasks wait for it, since nobody is left who could wake them:
 * they wait on until they are cancelled. */
#ifndef TG_SCRIPT_SYNC_H
#define TG_SCRIPT_SYNC_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "loop/timer.h"
#include "script/op.h"

struct tg_sync;
struct tg_vm;

/* The two things that one can wait for at an object; all but channels know only the first. */
enum tg_sync_side { TG_SYNC_TAKE, TG_SYNC_GIVE };

struct tg_sync_type {
  const char *name; /* "channel" */
  bool alone;       /* no case of tg.select */
  /* Would `take` succeed now, without waiting? */
  bool (*ready)(const struct tg_sync *sync, enum tg_sync_side side);
  /* Does it; only when it is ready. The object lies at stack index `object`, what is given at
   * `value`. Pushes the results and returns their number, or throws, and has done nothing then. */
  int (*take)(lua_State *L, struct tg_sync *sync, enum tg_sync_side side, int object, int value);
};

struct tg_sync {
  const void *magic; /* tells our userdata from others */
  const struct tg_sync_type *type;
  struct tg_vm *vm;
  struct tg_list queues[2]; /* of tg_waiter, by side */
  unsigned waiting;         /* in both */
  uint32_t dice;            /* for tg.select's choice */
};

/* A place in a queue. */
struct tg_waiter {
  struct tg_list link;
  struct tg_sync *on; /* NULL: in no queue any more */
  struct tg_wait *wait;
  int number; /* of tg.select's case, from 1; else 0 */
};

enum tg_sync_outcome {
  TG_SYNC_PENDING,
  TG_SYNC_SERVED,
  TG_SYNC_ENDED,   /* closed: nothing will come any more */
  TG_SYNC_REFUSED, /* closed: what is given is not taken */
  TG_SYNC_TIMEOUT,
};

struct tg_wait {
  struct tg_op op;
  struct tg_vm *vm;
  struct tg_timer timer; /* tg.select's timeout */
  enum tg_sync_outcome outcome;
  int number; /* of the case that was served */
  int place;  /* at a barrier, from 1 */
  int value;  /* reference of what is given, or of a table of it by case numbers; or LUA_NOREF */
  bool unnotified; /* of a condition: gave up waiting, but for the mutex */
  unsigned count;
  struct tg_waiter waiters[];
};

/* Makes an object of `size` bytes, zeroed behind its tg_sync, and pushes it. The metatable lies at
 * stack index `meta`. */
struct tg_sync *tg_sync_push(lua_State *L, const struct tg_sync_type *type, size_t size, int meta);

/* The object at a stack index, of whatever type; NULL when it is none. Any thread's state. */
struct tg_sync *tg_sync_find(lua_State *L, int index);

/* The object of that type at stack index 1; raises misuse of `method` ("ch:send") when it is none.
 */
struct tg_sync *tg_sync_check(lua_State *L, const struct tg_sync_type *type, const char *method);

/* For __gc: lets go of those who wait. */
void tg_sync_deinit(struct tg_sync *sync);

/* The body of an awaitable: takes at once where the object, at stack index 1, is ready, else waits
 * for it. What is given lies at index 2. */
int tg_sync_await(lua_State *L, struct tg_sync *sync, enum tg_sync_side side,
                  const struct tg_op_kind *kind);

/* A wait with room for `count` waiters. It owns the reference `value`, which may be LUA_NOREF. NULL
 * when memory is gone; the reference is gone then, too. */
struct tg_wait *tg_wait_new(struct tg_vm *vm, const struct tg_op_kind *kind, unsigned count,
                            int value);

/* Frees one that no task waits for yet. */
void tg_wait_discard(struct tg_wait *wait);

/* Puts the next waiter of `wait` at the end of a queue. */
void tg_wait_join(struct tg_wait *wait, struct tg_sync *sync, enum tg_sync_side side, int number);

/* The first in a queue, or NULL. */
struct tg_waiter *tg_sync_first(const struct tg_sync *sync, enum tg_sync_side side);

/* Pushes what a waiter on the giving side gives. */
void tg_waiter_push_value(lua_State *L, const struct tg_waiter *waiter);

/* Serves a waiter: takes its wait out of all queues, and its task is ready. */
void tg_waiter_serve(struct tg_waiter *waiter, enum tg_sync_outcome outcome);

/* The same, and the value on top of L, which is popped, is the result of the task's call. False,
 * with nothing done, when there is no memory for that. */
TG_MUST_CHECK bool tg_waiter_serve_value(struct tg_waiter *waiter, lua_State *L);

/* Takes one waiter out of its queue; harmless when it is in none. */
void tg_waiter_leave(struct tg_waiter *waiter);

/* Ends a wait that was not served, by its timer. */
void tg_wait_time_out(struct tg_wait *wait);

/* For the kinds of ops that are a tg_wait and nothing more. */
void tg_wait_cancel(struct tg_op *op);
int tg_wait_finish(struct tg_op *op, lua_State *L);

#endif
