/* A process that a task has started and holds in its hands (tg.process.spawn).
 *
 * It belongs to the request, job or script of the task, which ends it with its own end, unless
 * p:detach() has given it to the application. The userdata is only a handle: a process goes on when
 * nobody holds one any more. */
#ifndef TG_AWAIT_PROCESS_OBJECT_H
#define TG_AWAIT_PROCESS_OBJECT_H

#include <lua.h>

#include "loop/program.h"
#include "script/task.h"

#define TG_PROCESS_OBJECT "tg.process"

struct tg_process_handle {
  struct tg_owned owned;
  struct tg_program *program; /* NULL: it has ended, or was let go of */
  struct tg_list waiters;     /* struct tg_process_waiter */
  uint64_t grace;             /* nanoseconds between SIGTERM and SIGKILL */
  pid_t pid;
  bool has_object;            /* Lua has the userdata */
  bool ended;                 /* the two below hold */
  int exit_code, exit_signal; /* as in struct tg_program */
};

/* A task that waits for the end. */
struct tg_process_waiter {
  struct tg_op op;
  struct tg_list link;
  bool ended; /* else its owner has let go of the process */
  int exit_code, exit_signal;
};

/* Pushes the userdata, and takes the running program over, whatever happens. Returns 0, or an error
 * value's lua_error code with the error on top and the program being ended. Throws nothing. */
TG_MUST_CHECK int tg_process_push(lua_State *L, struct tg_program *program, uint64_t grace);

/* The handle at a stack index; throws when it is none. */
struct tg_process_handle *tg_process_check(lua_State *L, int index);

/* Pushes how it ended: the exit status or nil, the signal's name or nil. */
int tg_process_push_end(lua_State *L, int exit_code, int exit_signal);

#endif
