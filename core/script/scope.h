/* Scopes: which tasks belong together, and how they are told to end.
 *
 * Scopes are a tree. A scope owns tasks and things (sockets, files); it ends when all of its tasks
 * have. Cancelling it raises `cancelled` in its tasks at every suspension, and in those of the
 * scopes inside it, until it ends; a shielded scope inside is spared for a while. What failed in
 * it and was seen by nobody is kept until somebody takes it, else logged at its end. */
#ifndef TG_SCRIPT_SCOPE_H
#define TG_SCRIPT_SCOPE_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/status.h"
#include "loop/timer.h"

struct tg_vm;
struct tg_task;

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
  struct tg_list tasks;  /* owned by it */
  struct tg_list inner;  /* scopes opened inside it */
  struct tg_list owned;  /* what ends with it, the latest last */
  struct tg_list failed; /* failures that nobody has seen (script/child.c) */
  struct tg_list link;   /* in parent->inner */
  struct tg_task *guest; /* entered it, and runs inside it though owned elsewhere; may be NULL */
  struct tg_scope *top;  /* the request's or the application's scope around it */
  unsigned alive;        /* tasks of this scope that have not ended */
  unsigned total;        /* of the top scope: tasks alive in it and in all inside */
  bool cancelled;        /* itself or one around it */
  bool timed_out;        /* its own deadline did it */
  bool is_nursery;       /* it lies in a struct tg_nursery */
  char reason[40]; /* code of the cancellation: "cancelled", "timeout", "disconnect", "shutdown" */
  uint64_t due;    /* its deadline, monotonic nanoseconds of the loop's clock; 0: none */
  uint64_t grace;  /* a shield: nanoseconds that it holds a cancellation off; 0: it is none */
  struct tg_timer timer; /* its deadline, or the end of its grace */
  uint64_t cpu_budget;   /* of a top scope: of its tasks, see task.h; 0: limits.cpu */
  /* Called when `alive` falls to 0, and on a top scope when `total` does; may be NULL. */
  void (*emptied)(struct tg_scope *scope);
  /* Tests: told of what it comes to own, from the running task; else NULL. */
  void (*owns)(struct tg_scope *scope, struct tg_owned *owned);
  struct tg_trace *trace; /* of a top scope: what its tasks do is recorded there; NULL: nowhere */
  void *owner;            /* whoever opened it */
  void *exchange;         /* bind's structure of the request it belongs to; inherited inward */
};

/* Opens a scope inside `parent` (NULL for a root). Nothing can fail. */
void tg_scope_init(struct tg_scope *scope, struct tg_vm *vm, struct tg_scope *parent);

/* Takes it out of its parent, and closes what it owns, the latest first. Its tasks must have ended;
 * inner scopes that code which was cut short has left behind are the parent's then. Where there is
 * none, all in them must have ended, too. */
void tg_scope_deinit(struct tg_scope *scope);

/* Cancels it with everything inside. `reason` is a code. Tasks notice at their next suspension,
 * those that wait have their op cancelled now. Idempotent. */
void tg_scope_cancel(struct tg_scope *scope, const char *reason);

/* The same as what is around it was cancelled: a shield holds it off. */
void tg_scope_cancel_around(struct tg_scope *scope, const char *reason);

/* Sets its deadline (nanoseconds of tg_loop_time; 0 takes it away): then it is cancelled with
 * "timeout". */
TG_MUST_CHECK tg_status tg_scope_deadline(struct tg_scope *scope, uint64_t due);

/* Makes it a shield: a cancellation from outside reaches it `grace` nanoseconds late. Right after
 * tg_scope_init. */
void tg_scope_shield(struct tg_scope *scope, uint64_t grace);

/* The earliest deadline of it and the scopes around it, as far as they can cancel it; 0: none. */
uint64_t tg_scope_due(const struct tg_scope *scope);

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

/* The scopes inside it are the parent's from now on. */
void tg_scope_hand_over(struct tg_scope *scope);

/* The running task enters a scope that was just opened inside the one it is in, and leaves it. */
void tg_scope_enter(struct tg_scope *scope, struct tg_task *task);
void tg_scope_leave(struct tg_scope *scope, struct tg_task *task);

#endif
