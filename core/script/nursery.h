/* Nurseries: scopes on the heap, in which tasks are spawned and waited for.
 *
 * A nursery is one of three: the scope that tg.scope, tg.timeout and their kin enter, owned by a
 * userdata; the nest of a task, owned by it; or one of the application's, which frees itself when
 * it is empty. One that was dropped while tasks were alive in it is cancelled, and frees itself. */
#ifndef TG_SCRIPT_NURSERY_H
#define TG_SCRIPT_NURSERY_H

#include <lua.h>

#include "script/scope.h"

#define TG_NURSERY_OBJECT "tg.scope"

struct tg_op;

struct tg_nursery {
  struct tg_scope scope;
  struct tg_op *waiter; /* a task waits for it to be empty */
  struct tg_task *task; /* whose nest it is; else NULL */
  bool is_background;   /* of the application: the state counts those */
  bool dropped;         /* frees itself when it is empty */
  bool given_up;        /* its code was cut short: nobody can start tasks in it any more */
  bool called_off;      /* scope:cancel was called: its end is no error */
  bool fails_fast;      /* a child of scope:spawn that fails cancels the others */
  bool is_periodic;     /* tg.every: ends with its generation, is not drained */
};

/* One inside `parent`; NULL without memory. */
struct tg_nursery *tg_nursery_new(struct tg_vm *vm, struct tg_scope *parent);

/* The nest of `task` is empty and goes; what failed in it unseen is its home's. */
void tg_nursery_end(struct tg_nursery *nursery, struct tg_task *task);

/* It frees itself as soon as it is empty; now, when it is. */
void tg_nursery_drop(struct tg_nursery *nursery);

/* The code that has entered it will not leave it: it is cancelled, and nobody's. */
void tg_nursery_give_up(struct tg_nursery *nursery);

/* The nursery at a stack index, NULL when its scope was left; throws when it is none. */
struct tg_nursery *tg_nursery_check(lua_State *L, int index);

/* Adds the functions scope_enter, scope_leave, scope_cancel, scope_nest, deadline and defers to
 * the table on top. */
void tg_nursery_open(lua_State *L);

#endif
