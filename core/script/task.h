/* Tasks: who runs, and in what order.
 *
 * A task is one Lua coroutine under the scheduler. It is owned by a scope, which anchors it, and is
 * resumed by one function of one file, from the loop's ready list, first in, first out. It ends in
 * three steps, and only then do others hear of it: its function returns or fails, the tasks that it
 * has spawned end (a failure cancels them), and what it deferred runs. */
#ifndef TG_SCRIPT_TASK_H
#define TG_SCRIPT_TASK_H

#include <lua.h>
#include <stdbool.h>

#include "base/list.h"
#include "loop/loop.h"
#include "script/op.h"
#include "script/scope.h"
#include "script/vm.h"

struct tg_nursery;

enum tg_task_state {
  TG_TASK_IDLE,
  TG_TASK_READY,
  TG_TASK_RUNNING,
  TG_TASK_WAITING,
  TG_TASK_ENDING, /* its function has ended; what it started has not */
  TG_TASK_ENDED
};

struct tg_task {
  struct tg_loop_job job;
  struct tg_list link; /* in its scope's tasks, or the vm's idle list */
  struct tg_vm *vm;
  lua_State *co;
  struct tg_scope *home;   /* owns it */
  struct tg_scope *scope;  /* innermost scope that its code has entered */
  struct tg_nursery *nest; /* scope of the tasks that it has spawned; NULL until then */
  struct tg_task *runner;  /* runs what it has deferred; else NULL */
  struct tg_op *op;        /* what it waits for; the one thing to cancel */
  struct tg_op *finished;  /* completed, not yet taken */
  int co_ref;
  int nargs;      /* values on co to resume with, for the first step */
  int defers_ref; /* list of tg.defer's functions, or LUA_NOREF */
  unsigned tag;   /* the owner's */
  uint8_t state;  /* enum tg_task_state */
  bool failed;
  int16_t depth;       /* nesting of user coroutines */
  int16_t atomic;      /* nesting of tg.atomic */
  char *cancelled;     /* it alone was cancelled: the reason, owned; NULL: it was not */
  uint64_t cpu_budget; /* nanoseconds between two suspensions */
  /* Called once when it has ended: status TG_OK with `nresults` values on top of co, or an error
   * (TG_ESCRIPT) with the error value on top of co. Afterwards the task is gone. */
  void (*ended)(struct tg_task *task, tg_status status, int nresults);
  /* Called once when its function has returned, inside of its step, before its end begins: may use
   * what lies on co up and return TG_TASK_OVER, or leave a function there with its arguments, which
   * runs then as if the first one had called it last, and return their number. Must not throw; may
   * be NULL. */
  int (*returned)(struct tg_task *task);
  void *owner;
};

#define TG_TASK_OVER (-1)

/* A task, owned by `scope`, whose coroutine waits for a function and arguments to be pushed on
 * task->co, with room for `nargs` of them. NULL when memory is gone or the request has too many
 * tasks. Protected; never throws. */
struct tg_task *tg_task_new(struct tg_vm *vm, struct tg_scope *scope, int nargs);

/* The function and `nargs` arguments lie on task->co: run it when its turn comes (FIFO). */
void tg_task_start(struct tg_task *task, int nargs);

/* The same, at once, to its first suspension; only outside of any other task's step, or where the
 * running one is saved (gather). When its turn comes where too many run inside of each other. */
void tg_task_run_now(struct tg_task *task, int nargs);

/* A task that was never started goes again; `ended` is not called. */
void tg_task_discard(struct tg_task *task);

/* Puts a task that waits on the ready list; for op.c. */
void tg_task_wake(struct tg_task *task);

/* The running task goes on although it was put there. */
void tg_task_stay(struct tg_task *task);

/* Cancels this task and what it has started. `reason` is a code. Idempotent. */
void tg_task_cancel(struct tg_task *task, const char *reason);

/* Cancels the op that it waits for, when what it is in was cancelled; for scope.c. */
void tg_task_interrupt(struct tg_task *task);

/* Is what the task is in cancelled, or itself? */
static inline bool tg_task_cancelled(const struct tg_task *task) {
  return task->scope->cancelled || (task->cancelled && task->scope == task->home);
}

/* Why; "cancelled" where nothing is. Valid while that scope is. */
const char *tg_task_reason(const struct tg_task *task);

/* The nursery in which the running task spawns: the innermost scope that it has entered, else its
 * nest, which is made now. NULL without memory. */
struct tg_nursery *tg_task_nursery(struct tg_task *task);

/* The innermost scope that its code has entered; its home, where there is none. */
struct tg_scope *tg_task_entered(const struct tg_task *task);

/* It is in `base`, of tg_task_entered, again: the scopes that its code has entered since, and will
 * never leave, are cancelled. False where there are none; `base` may be gone then. */
bool tg_task_unwind(struct tg_task *task, const struct tg_scope *base);

/* The last of the tasks in its nest has ended; for nursery.c. */
void tg_task_nest_emptied(struct tg_task *task);

/* Frees the idle coroutines of a vm. */
void tg_task_free_idle(struct tg_vm *vm);

/* Unique address: what a suspension yields. User code cannot make it. */
extern const char tg_task_mark;

#endif
