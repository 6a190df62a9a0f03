/* Opening files, closing them, and whose they are; see fs_file.h. */
#include "await/fs_file.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "await/fs_job.h"
#include "base/check.h"
#include "script/error.h"
#include "script/module.h"

/// Opens a regular file, or a character device: returns the file, and the size of a regular one.
TG_AWAITABLE(fs_open)
/// Closes a file, and says whether all that was written has arrived.
TG_AWAITABLE(fs_close)
/// Raises when a file is closed or in use, or when the task is cancelled; does not suspend.
TG_AWAITABLE(fs_ready)
/// Gives a file to the application: it stays open when the request ends.
TG_AWAITABLE(fs_detach)

/* ---- the descriptor ---- */

struct tg_fd *tg_fd_new(int fd) {
  struct tg_fd *made = calloc(1, sizeof *made);
  if (!made) return NULL;
  atomic_init(&made->refs, 1);
  pthread_mutex_init(&made->lock, NULL);
  made->fd = fd;
  return made;
}

struct tg_fd *tg_fd_hold(struct tg_fd *fd) {
  atomic_fetch_add(&fd->refs, 1);
  return fd;
}

void tg_fd_release(struct tg_fd *fd) {
  if (atomic_fetch_sub(&fd->refs, 1) != 1) return;
  if (fd->fd >= 0) close(fd->fd);
  pthread_mutex_destroy(&fd->lock);
  free(fd);
}

static tg_status run_close(struct tg_fs_job *job) {
  struct tg_fd *fd = job->fd;
  pthread_mutex_lock(&fd->lock);
  int rc = fd->fd >= 0 ? close(fd->fd) : 0;
  tg_status status = rc ? -errno : TG_OK;
  fd->fd = -1;
  pthread_mutex_unlock(&fd->lock);
  return status;
}

static const struct tg_fs_kind close_kind = {
    .op = TG_FS_OP("file:close"), .size = sizeof(struct tg_fs_job), .run = run_close};

/* Closing may wait for the disk: a deleted file gives its blocks back. */
static void close_soon(struct tg_file *file) {
  struct tg_fd *fd = file->fd;
  file->fd = NULL;
  tg_owned_release(&file->owned);
  if (!fd) return;
  struct tg_fs_job *job = calloc(1, sizeof *job);
  if (!job) {
    tg_fd_release(fd);
    return;
  }
  job->kind = &close_kind;
  job->fd = fd;
  tg_fs_job_start_alone(file->vm->loop, job);
}

/* ---- the file ---- */

static void release(struct tg_file *file) {
  if (--file->refs) return;
  close_soon(file);
  free(file);
}

void tg_file_begin_use(struct tg_file *file) {
  file->busy = true;
  file->refs++;
}

void tg_file_end_use(struct tg_file *file) {
  file->busy = false;
  release(file);
}

static void on_scope_end(struct tg_owned *owned) {
  close_soon(TG_CONTAINER(owned, struct tg_file, owned));
}

static int l_gc(lua_State *L) {
  struct tg_file **box = lua_touserdata(L, 1);
  struct tg_file *file = *box;
  *box = NULL;
  if (file) release(file);
  return 0;
}

void tg_file_push(lua_State *L, struct tg_fd *fd, bool append) {
  struct tg_vm *vm = tg_vm_of(L);
  struct tg_file **box = lua_newuserdata(L, sizeof(struct tg_file *));  // .. box
  *box = NULL;
  if (luaL_newmetatable(L, TG_FILE_OBJECT)) {  // .. box meta
    lua_pushcfunction(L, l_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushliteral(L, "tg.file");
    lua_setfield(L, -2, "__metatable");
  }
  lua_setmetatable(L, -2);
  struct tg_file *file = calloc(1, sizeof *file);
  if (!file) tg_error_throw(L, "out_of_memory", "no memory for a file");
  *file = (struct tg_file){
      .vm = vm, .fd = fd, .refs = 1, .append = append, .owned.close = on_scope_end};
  tg_list_init(&file->owned.link);
  tg_scope_own(tg_scope_owner(vm), &file->owned);
  *box = file;
}

static struct tg_file *file_at(lua_State *L, int index) {
  struct tg_file **box = luaL_checkudata(L, index, TG_FILE_OBJECT);
  return *box;
}

struct tg_file *tg_file_check(lua_State *L, int index, const char *what) {
  struct tg_file *file = file_at(L, index);
  if (!file || !file->fd) tg_error_throw(L, "closed", "%s: the file is closed", what);
  if (file->busy) tg_error_throw(L, "busy", "%s: another task uses this file right now", what);
  return file;
}

int tg_await_fs_ready(lua_State *L) {
  const struct tg_file *file = file_at(L, 2);
  if (!file || !file->fd || file->busy) tg_file_check(L, 2, luaL_checkstring(L, 1));
  tg_op_begin(L);
  return 0;
}

int tg_await_fs_close(lua_State *L) {
  struct tg_file *file = tg_file_check(L, 2, luaL_checkstring(L, 1));
  struct tg_vm *vm = tg_vm_of(L);
  /* What was cancelled closes its files all the same, and needs no word about it. */
  if (vm->running && tg_task_cancelled(vm->running)) {
    close_soon(file);
    return 0;
  }
  struct tg_fs_job *job = tg_fs_job_new(L, &close_kind);
  job->fd = file->fd;
  file->fd = NULL;
  tg_owned_release(&file->owned);
  return tg_fs_job_start(L, job, NULL);
}

int tg_await_fs_detach(lua_State *L) {
  struct tg_file *file = tg_file_check(L, 2, luaL_checkstring(L, 1));
  tg_scope_own(file->vm->root, &file->owned);
  return 0;
}

/* ---- opening ---- */

struct open_job {
  struct tg_fs_job job;
  int flags;
  mode_t mode;
  int fd;
  off_t size; /* -1 where it is none */
};

/* O_NONBLOCK: opening a FIFO must not keep a thread of the pool until somebody writes to it. */
static tg_status run_open(struct tg_fs_job *job) {
  struct open_job *open_ = TG_CONTAINER(job, struct open_job, job);
  struct stat st;
  int flags = open_->flags & ~O_TRUNC;
  if (flags & O_CREAT && !tg_fs_job_commit(job)) return TG_ECANCELLED;
  open_->fd = open(job->path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, open_->mode);
  if (open_->fd < 0) return errno == ENXIO ? TG_FS_NOT_REGULAR : -errno;
  if (fstat(open_->fd, &st)) return -errno;
  if (S_ISDIR(st.st_mode)) return -EISDIR;
  if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode)) return TG_FS_NOT_REGULAR;
  open_->size = S_ISREG(st.st_mode) ? st.st_size : -1;
  if (!(open_->flags & O_TRUNC) || open_->size <= 0) return TG_OK;
  open_->size = 0;
  return ftruncate(open_->fd, 0) ? -errno : TG_OK;
}

static int push_open(lua_State *L, struct tg_fs_job *job) {
  struct open_job *open_ = TG_CONTAINER(job, struct open_job, job);
  job->fd = tg_fd_new(open_->fd);
  if (!job->fd) tg_error_throw(L, "out_of_memory", "%s: no memory", job->what);
  open_->fd = -1;
  tg_file_push(L, job->fd, open_->flags & O_APPEND);  // .. file
  job->fd = NULL;
  if (open_->size < 0) return 1;
  lua_pushnumber(L, (lua_Number)open_->size);
  return 2;
}

static void drop_open(struct tg_fs_job *job) {
  struct open_job *open_ = TG_CONTAINER(job, struct open_job, job);
  if (open_->fd >= 0) close(open_->fd);
  open_->fd = -1;
}

static const struct tg_fs_kind open_kind = {.op = TG_FS_OP("tg.fs.open"),
                                            .size = sizeof(struct open_job),
                                            .run = run_open,
                                            .push = push_open,
                                            .drop = drop_open};

static int flags_of(const char *mode) {
  static const struct {
    const char *mode;
    int flags;
  } modes[] = {{"r", O_RDONLY},
               {"r+", O_RDWR},
               {"w", O_WRONLY | O_CREAT | O_TRUNC},
               {"w+", O_RDWR | O_CREAT | O_TRUNC},
               {"a", O_WRONLY | O_CREAT | O_APPEND},
               {"a+", O_RDWR | O_CREAT | O_APPEND},
               {"x", O_WRONLY | O_CREAT | O_EXCL},
               {"x+", O_RDWR | O_CREAT | O_EXCL}};
  for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
    if (strcmp(modes[i].mode, mode) == 0) return modes[i].flags;
  return -1;
}

/* fs_open(what, path, mode, permissions) */
int tg_await_fs_open(lua_State *L) {
  luaL_checkstring(L, 2);
  int flags = flags_of(luaL_checkstring(L, 3));
  mode_t mode = (mode_t)luaL_optinteger(L, 4, 0666);
  if (flags < 0) return luaL_argerror(L, 3, "a mode such as \"r\", \"w\" or \"a\" expected");
  struct open_job *open_ = tg_fs_job_new(L, &open_kind);
  open_->fd = -1;
  open_->flags = flags;
  open_->mode = mode;
  tg_fs_job_take_path(L, &open_->job, 2);
  return tg_fs_job_start(L, &open_->job, NULL);
}
