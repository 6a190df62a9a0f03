/* Tasks and scopes: who runs, in what order, and who waits for whom.
 *
 * A task is one Lua coroutine under the scheduler. It is owned by a scope, which anchors it; a
 * scope ends when all of its tasks have. Cancelling a scope raises `cancelled` in each of its tasks
 * at every suspension, and in those of the scopes inside it, until the scope ends. tasks are
 * resumed by one function of one file, from the loop's ready list, first in, first out. */
#ifndef TG_SCRIPT_TASK_H
#define TG_SCRIPT_TASK_H

#include <lua.h>
#include <stdbool.h>

#include "base/list.h"
#include "loop/loop.h"
#include "script/op.h"
#include "script/vm.h"

/* Something that ends with a scope: a socket, a file, a process. Embedded in what it is about. */
struct tg_owned {
  struct tg_list link;
  /* The scope has ended, its tasks before it: let go of everything, soon. No Lua, no failure; it
   * may free the memory around `owned`, which is in no list any more. */
  void (*close)(struct tg_owned *owned);
};

struct tg_scope {
  struct tg_vm *vm;
  struct tg_scope *parent;
  struct tg_list tasks; /* owned by it */
  struct tg_list inner; /* scopes opened inside it */
  struct tg_list owned; /* what ends with it, the latest last */
  struct tg_list link;  /* in parent->inner */
  struct tg_scope *top; /* the request's or the application's scope around it */
  unsigned alive;       /* tasks of this scope that have not ended */
  unsigned total;       /* of the top scope: tasks alive in it and in all inside */
  bool cancelled;       /* itself or one around it */
  bool timed_out;       /* its own deadline did it */
  char reason[48]; /* code of the cancellation: "cancelled", "timeout", "disconnect", "shutdown" */
  struct tg_timer timer; /* its deadline */
  /* Called when `alive` falls to 0, and on a top scope when `total` does; may be NULL. */
  void (*emptied)(struct tg_scope *scope);
  void *owner;    /* whoever opened it */
  void *exchange; /* bind's structure of the request it belongs to; inherited inward */
};

enum tg_task_state { TG_TASK_IDLE, TG_TASK_READY, TG_TASK_RUNNING, TG_TASK_WAITING, TG_TASK_ENDED };

struct tg_task {
  struct tg_loop_job job;
  struct tg_list link; /* in its scope's tasks, or the vm's idle list */
  struct tg_vm *vm;
  lua_State *co;
  int co_ref;
  enum tg_task_state state;
  struct tg_scope *home;  /* owns it */
  struct tg_scope *scope; /* innermost scope that its code has entered */
  struct tg_op *op;       /* what it waits for; the one thing to cancel */
  struct tg_op *finished; /* completed, not yet taken */
  int nargs;              /* values on co to resume with, for the first step */
  int defers_ref;         /* list of tg.defer's functions, or LUA_NOREF */
  int depth;              /* nesting of user coroutines */
  uint64_t cpu_budget;    /* nanoseconds between two suspensions */
  uint64_t sequence;      /* number of the task, for messages */
  /* Called once when it has ended: status TG_OK with `nresults` values on top of co, or an error
   * (TG_ESCRIPT, TG_ECANCELLED) with the error value on top of co. Afterwards the task is gone. */
  void (*ended)(struct tg_task *task, tg_status status, int nresults);
  void *owner;
};

/* Opens a scope inside `parent` (NULL for a root). Nothing can fail. */
void tg_scope_init(struct tg_scope *scope, struct tg_vm *vm, struct tg_scope *parent);

/* Takes it out of its parent, and closes what it owns, the latest first. Its tasks and inner scopes
 * must have ended. */
void tg_scope_deinit(struct tg_scope *scope);

/* The scope that owns what the running code opens: its request, job or script, not the innermost
 * scope, because a socket that a child of gather opened is for the one who gathered. The
 * application's where no task runs. */
struct tg_scope *tg_scope_owner(struct tg_vm *vm);

/* From now on `owned`, whose `close` is set and whose link is a list head, ends with `scope`; it
 * may belong to another one before. */
void tg_scope_own(struct tg_scope *scope, struct tg_owned *owned);

/* Closes what it owns now, the latest first; on the thread of its loop. */
void tg_scope_close_owned(struct tg_scope *scope);

/* It has ended by itself, or its user has closed it. */
static inline void tg_owned_release(struct tg_owned *owned) {
  tg_list_remove(&owned->link);
}

/* Cancels it with everything inside. `reason` is a code. Tasks notice at their next suspension,
 * those that wait have their op cancelled now. Idempotent. */
void tg_scope_cancel(struct tg_scope *scope, const char *reason);

/* Sets its deadline (monotonic nanoseconds; 0 takes it away): then it is cancelled with "timeout".
 */
TG_MUST_CHECK tg_status tg_scope_deadline(struct tg_scope *scope, uint64_t due);

/* A task, owned by `scope`, whose coroutine waits for a function and arguments to be pushed on
 * task->co. NULL when memory is gone or the request has too many tasks. Protected; never throws. */
struct tg_task *tg_task_new(struct tg_vm *vm, struct tg_scope *scope);

/* The function and `nargs` arguments lie on task->co: run it when its turn comes (FIFO). */
void tg_task_start(struct tg_task *task, int nargs);

/* The same, at once, to its first suspension; only outside of any other task's step, or where the
 * running one is saved (gather). */
void tg_task_run_now(struct tg_task *task, int nargs);

/* Puts a task that waits on the ready list; for op.c. */
void tg_task_wake(struct tg_task *task);

/* Is the scope that the task runs in cancelled? */
static inline bool tg_task_cancelled(const struct tg_task *task) {
  return task->scope->cancelled;
}

/* Frees the idle coroutines of a vm. */
void tg_task_free_idle(struct tg_vm *vm);

/* Unique address: what a suspension yields. User code cannot make it. */
extern const char tg_task_mark;

#endif
