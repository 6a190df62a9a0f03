/* One Lua state and its C side.
 *
 * A vm belongs to one generation and to one thread: it may be built on the builder's thread, and is
 * then given to the loop or worker that runs it. All of its memory is counted against a limit: an
 * allocation past it fails inside Lua with "not enough memory" and the state stays usable. Every C
 * function that Lua calls finds its vm by tg_vm_of. */
#ifndef TG_SCRIPT_VM_H
#define TG_SCRIPT_VM_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/list.h"
#include "base/log.h"
#include "base/settings.h"
#include "base/status.h"
#include "loop/loop.h"
#include "script/heap.h"

struct tg_gates;
struct tg_shared_registry;
struct tg_tls_clients;
struct tg_forwarder;
struct tg_groups;
struct tg_task;
struct tg_scope;
struct tg_nursery;
struct tg_watch;
struct tg_job;
struct tg_vm;

enum tg_role { TG_ROLE_LOOP, TG_ROLE_WORKER, TG_ROLE_BUILDER };

/* What the process lends to its states; outlives them all. */
struct tg_host {
  const struct tg_settings *settings;
  struct tg_log *log;  /* may be NULL */
  const char *app_dir; /* absolute */
  struct tg_shared_registry *shared;
  struct tg_tls_clients *tls_clients; /* net/tls_clients.h; NULL: no TLS for clients */
  struct tg_gates *gates; /* limits of outbound calls (upstream/gates.h); NULL: there are none */
  const struct tg_forwarder *forwarder; /* upstream/forward_order.h; NULL: nothing is forwarded */
  struct tg_groups *groups;             /* upstreams (upstream/groups.h); NULL: there are none */
  const char
      *lua_dir;  /* load the standard library from here instead of from the binary; NULL: no */
  bool dev;      /* `tidegate dev` */
  bool trace;    /* --trace: requests are drawn on stderr */
  void *process; /* app's own structure, opaque below app/ */
  /* May the state have this signal (bind/signal.h)? TG_EEXISTS: it has a meaning already;
   * TG_EUNSUPPORTED: no signal comes to such a state. NULL: to none. */
  tg_status (*watch_signal)(struct tg_vm *vm, int number);
  /* Gives a job of a task of `vm` to a worker (script/job.h). TG_EOVERLOAD: none is free and too
   * many wait; TG_EUNSUPPORTED: this state does not serve. NULL: there are no workers. */
  tg_status (*run_job)(struct tg_vm *vm, struct tg_job *job);
  /* The way back: gives a job of a task of `vm`, a worker's, to the loop that its request or job
   * came from. TG_EUNSUPPORTED: it came from none. NULL: there are no loops. */
  tg_status (*run_on_loop)(struct tg_vm *vm, struct tg_job *job);
  /* A worker's state, in the middle of a step: cancels what it runs where nobody waits for that any
   * more. NULL: nobody ever waits. */
  void (*look)(struct tg_vm *vm);
  /* `dev`: why the newest save does not load, malloc'ed, or NULL, and how many did not. Any thread.
   * NULL: nobody knows. */
  char *(*load_errors)(const struct tg_host *host, uint64_t *failures);
};

struct tg_vm {
  lua_State *L;
  lua_State *side; /* a coroutine that never runs: where values are laid down meanwhile */
  struct tg_host *host;
  const struct tg_settings *settings; /* of its generation; the host's where it has none */
  struct tg_loop *loop;               /* whose thread runs it */
  enum tg_role role;
  unsigned index;      /* number of its loop or worker */
  uint64_t generation; /* number of its generation, for logs */
  bool traced;         /* requests are recorded (script/trace.h) */
  /* memory */
  struct tg_heap heap;    /* small objects */
  lua_State *lender;      /* an empty state, whose allocator has the larger ones */
  lua_Alloc lender_alloc; /* that one */
  void *lender_owner;
  size_t memory_used, memory_max;
  size_t memory_tidy; /* from here on a collection at the end of a task pays */
  bool memory_tight;  /* an allocation failed since the last collection */
  /* tasks (script/task.c) */
  struct tg_task *running; /* whose code is on the C stack; NULL between tasks */
  struct tg_list idle_tasks;
  struct tg_list unserved; /* the application's tasks (by their jobs), until the state serves */
  struct tg_list held;     /* mutexes that are locked (script/mutex.c) */
  bool serving;            /* it is with the thread that will always run it */
  unsigned idle_count;
  unsigned background_count; /* nurseries of the application that are alive */
  unsigned task_count;       /* alive, idle ones not counted */
  unsigned holds;            /* requests and the like that run on it */
  bool retired; /* a newer generation serves: it ends when nothing runs on it any more */
  void (*idle)(struct tg_vm *vm); /* called once then, from its own thread */
  struct tg_loop_job idle_job;
  struct tg_scope *root;  /* application scope: background tasks and req:after */
  struct tg_watch *watch; /* the thread's place in the watchdog's view; may be NULL */
  struct tg_job *job;     /* a worker's: what it runs for a task elsewhere; else NULL */
  /* places in the registry (luaL_ref) */
  int ref_tg;               /* the module table that `require "tidegate"` returns */
  int ref_env;              /* the globals of route and library files */
  int ref_run_defers;       /* _core/tasks.lua's run_defers, once that is loaded */
  int ref_unseen_error;     /* the same, of failures that nobody has joined */
  int ref_prepare;          /* _core/entry.lua: what the task of a route's request calls */
  int ref_finish;           /* the same: an answer that bind/response.c does not send alone */
  int ref_boot;             /* what _core/boot.lua returned: load_app, freeze ... */
  int ref_errors;           /* metatable of error objects */
  int16_t depth;            /* nesting of coroutines outside of tasks */
  int16_t nested;           /* steps of tasks inside of each other */
  struct tg_buffer scratch; /* for encoders, between two suspensions */
  void *owner;              /* app's structure for this state (its generation), opaque below app/ */
  void *bind[8];            /* what bind/ keeps for a state; each file there names its places */
};

/* Makes a state with the standard library opened and the sandbox in place; no application code yet.
 * NULL when memory is gone, or when the embedded library fails to load (then *error, if given, gets
 * a malloc'ed line). */
struct tg_vm *tg_vm_new(struct tg_host *host, struct tg_loop *loop, enum tg_role role,
                        unsigned index, char **error);

/* Closes the state. No task may be alive. Any thread, as long as nobody else uses the vm. */
void tg_vm_free(struct tg_vm *vm);

/* The vm of a Lua state or of any coroutine in it. */
struct tg_vm *tg_vm_of(lua_State *L);

/* Something begins, or ends, that needs the state alive. */
static inline void tg_vm_hold(struct tg_vm *vm) {
  vm->holds++;
}
void tg_vm_release(struct tg_vm *vm);

/* The last task may have ended; for task.c. */
void tg_vm_check_idle(struct tg_vm *vm);

/* No new request will come: calls `idle` once nothing runs on it any more, soon. Own thread. */
void tg_vm_retire(struct tg_vm *vm, void (*idle)(struct tg_vm *vm));

/* The state is retired: what repeats itself ends now; what was begun in the background, before or
 * now, has the time of a drain. */
void tg_vm_end_background(struct tg_vm *vm, struct tg_nursery *nursery);

/* Starts a task of the application, prepared with its arguments; now, or when the state serves:
 * it may be on the builder's loop still. */
void tg_vm_start_serving(struct tg_vm *vm, struct tg_task *task);

/* The state has come to the thread that runs it from now on; called there. */
void tg_vm_serve(struct tg_vm *vm);

/* The sandbox's way out of memory trouble: collects everything when an allocation has failed.
 * Between tasks. */
void tg_vm_relieve(struct tg_vm *vm);

/* While an application is loaded, most of what is allocated stays: the collector begins late. At
 * the end it is as it was, and counts from what the state has then. */
void tg_vm_begin_load(struct tg_vm *vm);
void tg_vm_end_load(struct tg_vm *vm);

/* The most memory that the state may have from now on, in bytes; collects where garbage of its load
 * takes much of that. Between tasks. */
void tg_vm_limit_memory(struct tg_vm *vm, size_t most);

#endif
