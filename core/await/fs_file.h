/* An open file, in three parts that end at different times.
 *
 * `tg_fd` is the descriptor, shared with the jobs that use it on the pool: the last one closes it.
 * `tg_file` is what a scope owns and what knows whether a task uses it. The userdata is what Lua
 * holds. When the scope ends, when the userdata is collected, or on close, the file lets go of its
 * descriptor; the closing itself is done on the pool, too. */
#ifndef TG_AWAIT_FS_FILE_H
#define TG_AWAIT_FS_FILE_H

#include <lua.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/status.h"
#include "script/task.h"

#define TG_FILE_OBJECT "tg.file"

struct tg_fd {
  atomic_uint refs;
  pthread_mutex_t lock; /* held by the job that uses it: jobs that were dropped come to their end */
  int fd;               /* -1: closed */
};

struct tg_file {
  struct tg_owned owned;
  struct tg_vm *vm;
  struct tg_fd *fd; /* NULL: closed */
  unsigned refs;    /* the userdata, and the op that uses it */
  bool busy;
  bool append; /* every write goes to the end */
};

/* Takes over `fd`. NULL when memory is gone; then `fd` is still the caller's. */
struct tg_fd *tg_fd_new(int fd);

/* One more holder; returns its argument. */
struct tg_fd *tg_fd_hold(struct tg_fd *fd);

/* One less; the last one closes. Any thread. */
void tg_fd_release(struct tg_fd *fd);

/* Pushes an open file, owned by the scope of the running task, and takes the descriptor over. May
 * throw; then `fd` is still the caller's. */
void tg_file_push(lua_State *L, struct tg_fd *fd, bool append);

/* The open file at a stack index; throws when it is none, closed, or in use by another task. */
struct tg_file *tg_file_check(lua_State *L, int index, const char *what);

/* Between these two no other task may use it. */
void tg_file_begin_use(struct tg_file *file);
void tg_file_end_use(struct tg_file *file);

#endif
