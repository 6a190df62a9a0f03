/* Work with files, done on libuv's pool: no loop ever waits for a disk.
 *
 * A job is one call of tg.fs: it runs as a whole on a thread of the pool, in plain blocking system
 * calls, because every way to the pool and back costs more than most of them. The op and the job
 * are two. What is in a system call cannot be stopped, and a network file system may keep it for
 * ever, so a task that is cancelled drops its job and goes on at once; the job looks at `state`
 * between its steps, leaves nothing behind, and frees itself when it is done. A job that changes
 * names asks tg_fs_job_commit before the one step that counts: from there on its op waits for the
 * end, so that "cancelled" means that it did not happen.
 *
 * Workers have loops of their own and share the pool with all others, but never fill it: their
 * blocking code runs on their own threads. */
#ifndef TG_AWAIT_FS_JOB_H
#define TG_AWAIT_FS_JOB_H

#include <lua.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "base/status.h"
#include "script/op.h"

/* A FIFO, a socket, a device: not for a helper that reads or writes a whole file. */
#define TG_FS_NOT_REGULAR (-6200)

struct tg_file;
struct tg_fd;
struct tg_fs_job;
struct tg_loop;

struct tg_fs_kind {
  struct tg_op_kind
      op;      /* TG_FS_OP(name as the user calls it); for what no task waits for, nothing */
  size_t size; /* of the structure around the job */
  /* On the pool: all of the work; returns the status. */
  tg_status (*run)(struct tg_fs_job *job);
  /* Pushes the results of a job that went well and returns their number; may throw. NULL: none. */
  int (*push)(lua_State *L, struct tg_fs_job *job);
  /* Lets go of what the job still holds; any thread, maybe twice. NULL: nothing. */
  void (*drop)(struct tg_fs_job *job);
  /* On the loop's thread, before it is freed: lets go of what is not for other threads. Or NULL. */
  void (*free)(struct tg_fs_job *job);
  /* On the loop's thread, when one that nobody waits for is done; then it is freed. Or NULL. */
  void (*back)(struct tg_fs_job *job);
};

#define TG_FS_OP(call) \
  { .name = (call), .cancel = tg_fs_op_cancel, .finish = tg_fs_op_finish }

struct tg_fs_op;

struct tg_fs_job {
  uv_work_t work;
  const struct tg_fs_kind *kind;
  struct tg_fs_op *op; /* who waits; NULL: nobody */
  atomic_int state;
  tg_status status;
  char *what;       /* "tg.fs.read: a.txt", for messages */
  char *path;       /* absolute; NULL where there is none */
  struct tg_fd *fd; /* of the open file that it works on, a reference; or NULL */
};

/* For a call that may suspend, whose arguments are checked: `what` is the string at index 1. The
 * rest of the structure is zero. Throws what tg_op_begin throws, and out_of_memory. */
void *tg_fs_job_new(lua_State *L, const struct tg_fs_kind *kind);

/* Sets job->path to a copy of the string at `index`; frees the job and throws when memory is gone.
 */
void tg_fs_job_take_path(lua_State *L, struct tg_fs_job *job, int index);

/* Starts it and suspends; `return` its value. `file` is busy until the task goes on; or NULL. */
int tg_fs_job_start(lua_State *L, struct tg_fs_job *job, struct tg_file *file);

/* Runs one that nobody waits for, made by calloc with its kind set. On the loop's thread. */
void tg_fs_job_start_alone(struct tg_loop *loop, struct tg_fs_job *job);

/* Frees a job that was not started. */
void tg_fs_job_free(struct tg_fs_job *job);

/* On the pool: has its task been cancelled? Then leave. */
bool tg_fs_job_dropped(const struct tg_fs_job *job);

/* On the pool, before the step that counts: false when the task has been cancelled, and it must
 * not be done. */
bool tg_fs_job_commit(struct tg_fs_job *job);

/* For TG_FS_OP alone. */
void tg_fs_op_cancel(struct tg_op *op);
int tg_fs_op_finish(struct tg_op *op, lua_State *L);

/* Raises the error of a status, as a failed job does; `what` begins its message. */
__attribute__((noreturn)) void tg_fs_throw(lua_State *L, tg_status status, const char *what);

#endif
