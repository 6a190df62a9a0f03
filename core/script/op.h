/* Ops: one suspended call each. The contract of every awaitable.
 *
 * An awaitable's C function is called by its Lua wrapper as `take(await(...))`:
 *
 *   1. tg_op_begin: may this task suspend here, and is it not cancelled? Else it throws, before
 *      anything was started. Arguments are checked next, still before anything is held.
 *   2. Where the answer is known at once: push the results and return their number.
 *   3. Else: malloc an op, start the work, `return tg_op_suspend(L, &op->op)`.
 *   4. The event calls tg_op_complete exactly once. The task is put on the ready list.
 *   5. The task resumes inside `take`, which calls kind->finish: it pushes the results (or throws,
 *      after freeing), and frees the op: there and nowhere else.
 *
 * Cancellation calls kind->cancel, at most once, which must make the completion come soon (it may
 * call tg_op_complete itself); an op that can no longer be stopped just lets it come. A value that
 * is there beats the cancellation; finish decides which by what it has. Ops never live in an arena.
 */
#ifndef TG_SCRIPT_OP_H
#define TG_SCRIPT_OP_H

#include <lua.h>
#include <stdbool.h>

#include "base/status.h"

struct tg_op;
struct tg_task;

struct tg_op_kind {
  const char *name; /* as the user calls it: "tg.sleep" */
  void (*cancel)(struct tg_op *op);
  /* Pushes results and returns their number, or throws; frees the op in any case. L is NULL when
   * the task has ended without it: then it only frees. */
  int (*finish)(struct tg_op *op, lua_State *L);
};

struct tg_op {
  const struct tg_op_kind *kind;
  struct tg_task *task; /* there while cancel runs; gone later, when it was abandoned */
  bool complete;
  bool cancelled; /* cancel was called */
  bool abandoned; /* no task waits for it any more */
};

/* The task that may suspend at this place. Throws c_boundary (with the C function's name),
 * no_task (outside of any task), yield_in_atomic or cancelled. */
struct tg_task *tg_op_begin(lua_State *L);

/* Suspends the running task on `op`; `return` its value from the C function. The kind must be set.
 */
int tg_op_suspend(lua_State *L, struct tg_op *op);

/* The event has come: exactly once an op. Never runs Lua code itself. */
void tg_op_complete(struct tg_op *op);

/* Prepares the part that all ops share. */
static inline void tg_op_init(struct tg_op *op, const struct tg_op_kind *kind) {
  *op = (struct tg_op){.kind = kind};
}

/* Suspends the running task for one round of the ready list; `return` its value. */
int tg_op_yield(lua_State *L);

/* For finish, after it has freed: throws `cancelled` (or `timeout`, whatever the scope's reason
 * is). */
__attribute__((noreturn)) void tg_op_throw_cancelled(lua_State *L);

/* The running task will not suspend after all (it could not reach the scheduler): the op that it
 * waits for, if there is one, is cancelled and freed at its completion. */
void tg_op_abandon(struct tg_task *task);

/* The Lua C function `take(...)`; see above. */
int tg_op_take(lua_State *L);

#endif
