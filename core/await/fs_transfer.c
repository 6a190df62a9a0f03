/* What is done with an open file: reading and writing at a position, and its size. The position
 * itself is the caller's, and moves only when a call has come back: so bytes that were read for a
 * task that was cancelled are read again. */
#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "await/fs_file.h"
#include "await/fs_job.h"
#include "base/check.h"
#include "script/error.h"
#include "script/module.h"

/// Reads at most `count` bytes at a position of an open file; nil at its end.
TG_AWAITABLE(fs_read)
/// Writes bytes at a position of an open file; returns the position after them.
TG_AWAITABLE(fs_write)
/// Has the disk take an open file ("sync"), or asks for or sets its size ("size", "truncate").
TG_AWAITABLE(fs_manage)

#define COUNT_MAX ((size_t)16 * 1024 * 1024)
#define PIECE     ((size_t)1024 * 1024) /* between two looks at whether anybody waits */
#define PLACE_MAX 9007199254740992.0

struct transfer_job {
  struct tg_fs_job job;
  char *bytes;
  size_t count; /* wanted, then done */
  off_t at;
  bool append;
};

/* The file at index 2, and a job that uses it. */
static void *new_job(lua_State *L, const struct tg_fs_kind *kind, struct tg_file **file) {
  *file = tg_file_check(L, 2, luaL_checkstring(L, 1));
  struct tg_fs_job *job = tg_fs_job_new(L, kind);
  job->fd = tg_fd_hold((*file)->fd);
  return job;
}

static off_t check_place(lua_State *L, int index) {
  lua_Number at = luaL_checknumber(L, index);
  luaL_argcheck(L, at >= 0 && at <= PLACE_MAX, index, "a position in the file expected");
  return (off_t)at;
}

static void drop_bytes(struct tg_fs_job *job) {
  struct transfer_job *transfer = TG_CONTAINER(job, struct transfer_job, job);
  free(transfer->bytes);
  transfer->bytes = NULL;
}

/* ---- reading ---- */

static tg_status run_read(struct tg_fs_job *job) {
  struct transfer_job *read_ = TG_CONTAINER(job, struct transfer_job, job);
  ssize_t n;
  read_->bytes = malloc(read_->count);
  if (!read_->bytes) return TG_ENOMEM;
  pthread_mutex_lock(&job->fd->lock);
  do {
    n = pread(job->fd->fd, read_->bytes, read_->count, read_->at);
  } while (n < 0 && errno == EINTR && !tg_fs_job_dropped(job));
  tg_status status = n < 0 ? -errno : TG_OK;
  pthread_mutex_unlock(&job->fd->lock);
  read_->count = n > 0 ? (size_t)n : 0;
  return status;
}

static int push_read(lua_State *L, struct tg_fs_job *job) {
  const struct transfer_job *read_ = TG_CONTAINER(job, struct transfer_job, job);
  if (!read_->count) return 0;
  lua_pushlstring(L, read_->bytes, read_->count);
  return 1;
}

static const struct tg_fs_kind read_kind = {.op = TG_FS_OP("file:read"),
                                            .size = sizeof(struct transfer_job),
                                            .run = run_read,
                                            .push = push_read,
                                            .drop = drop_bytes};

/* fs_read(what, file, position, count) */
int tg_await_fs_read(lua_State *L) {
  off_t at = check_place(L, 3);
  lua_Number count = luaL_checknumber(L, 4);
  luaL_argcheck(L, count >= 1 && count <= (lua_Number)COUNT_MAX, 4, "1 to 16 MiB expected");
  struct tg_file *file;
  struct transfer_job *read_ = new_job(L, &read_kind, &file);
  read_->at = at;
  read_->count = (size_t)count;
  return tg_fs_job_start(L, &read_->job, file);
}

/* ---- writing ---- */

static tg_status write_all(struct transfer_job *write_) {
  int fd = write_->job.fd->fd;
  for (size_t done = 0; done < write_->count;) {
    size_t len = write_->count - done < PIECE ? write_->count - done : PIECE;
    if (tg_fs_job_dropped(&write_->job)) return TG_ECANCELLED;
    ssize_t n = pwrite(fd, write_->bytes + done, len, write_->at + (off_t)done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -errno;
    done += (size_t)n;
  }
  struct stat st;
  write_->at += (off_t)write_->count;
  if (!write_->append) return TG_OK;
  if (fstat(fd, &st)) return -errno;
  write_->at = st.st_size;
  return TG_OK;
}

static tg_status run_write(struct tg_fs_job *job) {
  pthread_mutex_lock(&job->fd->lock);
  tg_status status = write_all(TG_CONTAINER(job, struct transfer_job, job));
  pthread_mutex_unlock(&job->fd->lock);
  return status;
}

static int push_place(lua_State *L, struct tg_fs_job *job) {
  lua_pushnumber(L, (lua_Number)TG_CONTAINER(job, struct transfer_job, job)->at);
  return 1;
}

static const struct tg_fs_kind write_kind = {.op = TG_FS_OP("file:write"),
                                             .size = sizeof(struct transfer_job),
                                             .run = run_write,
                                             .push = push_place,
                                             .drop = drop_bytes};

/* fs_write(what, file, position, bytes) */
int tg_await_fs_write(lua_State *L) {
  off_t at = check_place(L, 3);
  size_t len;
  const char *bytes = luaL_checklstring(L, 4, &len);
  struct tg_file *file;
  struct transfer_job *write_ = new_job(L, &write_kind, &file);
  write_->bytes = malloc(len + 1);
  if (!write_->bytes) {
    tg_fs_job_free(&write_->job);
    tg_error_throw(L, "out_of_memory", "%s: no memory", lua_tostring(L, 1));
  }
  memcpy(write_->bytes, bytes, len);
  write_->count = len;
  write_->at = at;
  write_->append = file->append;
  return tg_fs_job_start(L, &write_->job, file);
}

/* ---- the rest ---- */

enum { SYNC, SIZE, TRUNCATE };

struct manage_job {
  struct tg_fs_job job;
  int verb;
  off_t size;
};

static tg_status manage(struct manage_job *manage_) {
  int fd = manage_->job.fd->fd;
  struct stat st;
  if (tg_fs_job_dropped(&manage_->job)) return TG_ECANCELLED;
  if (manage_->verb == SYNC) return fsync(fd) ? -errno : TG_OK;
  if (manage_->verb == TRUNCATE) {
    if (!tg_fs_job_commit(&manage_->job)) return TG_ECANCELLED;
    return ftruncate(fd, manage_->size) ? -errno : TG_OK;
  }
  if (fstat(fd, &st)) return -errno;
  manage_->size = st.st_size;
  return TG_OK;
}

static tg_status run_manage(struct tg_fs_job *job) {
  pthread_mutex_lock(&job->fd->lock);
  tg_status status = manage(TG_CONTAINER(job, struct manage_job, job));
  pthread_mutex_unlock(&job->fd->lock);
  return status;
}

static int push_size(lua_State *L, struct tg_fs_job *job) {
  lua_pushnumber(L, (lua_Number)TG_CONTAINER(job, struct manage_job, job)->size);
  return 1;
}

#define MANAGE_KIND(call) \
  { .op = TG_FS_OP(call), .size = sizeof(struct manage_job), .run = run_manage, .push = push_size }

static const struct tg_fs_kind manage_kinds[] = {MANAGE_KIND("file:sync"), MANAGE_KIND("file:size"),
                                                 MANAGE_KIND("file:truncate")};

/* fs_manage(what, file, "sync"|"size"|"truncate", size) */
int tg_await_fs_manage(lua_State *L) {
  static const char *const verbs[] = {"sync", "size", "truncate", NULL};
  int verb = luaL_checkoption(L, 3, NULL, verbs);
  off_t size = verb == TRUNCATE ? check_place(L, 4) : 0;
  struct tg_file *file;
  struct manage_job *manage_ = new_job(L, &manage_kinds[verb], &file);
  manage_->verb = verb;
  manage_->size = size;
  return tg_fs_job_start(L, &manage_->job, file);
}
