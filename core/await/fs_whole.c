/* Whole files in one call: reading, writing, adding to the end, copying. Each is one job, and opens
 * nothing but regular files: a FIFO or a device may have no end. */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "await/fs_draft.h"
#include "await/fs_job.h"
#include "base/buffer.h"
#include "base/check.h"
#include "script/error.h"
#include "script/module.h"

/// Reads a whole regular file of at most `max` bytes.
TG_AWAITABLE(fs_load)
/// Writes a whole regular file: by replacing it, in place, or at its end.
TG_AWAITABLE(fs_save)
/// Copies a regular file over another, in one step.
TG_AWAITABLE(fs_copy)

#define PIECE ((size_t)1024 * 1024) /* between two looks at whether anybody waits */

/* The descriptor of a regular file, or a status. */
static int open_regular(const char *path, int flags, mode_t mode, struct stat *st) {
  int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, mode);
  if (fd < 0) return errno == ENXIO ? TG_FS_NOT_REGULAR : -errno;
  int status = fstat(fd, st) ? -errno : S_ISREG(st->st_mode) ? TG_OK : TG_FS_NOT_REGULAR;
  if (!status) return fd;
  if (S_ISDIR(st->st_mode)) status = -EISDIR;
  close(fd);
  return status;
}

/* ---- reading ---- */

struct load_job {
  struct tg_fs_job job;
  struct tg_buffer bytes;
  size_t max;
};

/* The size is a hint: what the kernel makes up on reading, as in /proc, has none. */
static tg_status read_all(struct load_job *load, int fd, size_t hint) {
  struct tg_buffer *bytes = &load->bytes;
  if (hint > load->max) return TG_ETOO_LARGE;
  tg_status status = tg_buffer_reserve(bytes, hint + 1);
  while (!status) {
    if (tg_fs_job_dropped(&load->job)) return TG_ECANCELLED;
    if (bytes->cap == bytes->len) status = tg_buffer_reserve(bytes, 65536);
    size_t room = bytes->cap - bytes->len;
    ssize_t n = status ? 0 : read(fd, tg_buffer_tail(bytes), room < PIECE ? room : PIECE);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -errno;
    if (n == 0) break;
    tg_buffer_wrote(bytes, (size_t)n);
    if (bytes->len > load->max) status = TG_ETOO_LARGE;
  }
  return status;
}

static tg_status run_load(struct tg_fs_job *job) {
  struct stat st = {0};
  int fd = open_regular(job->path, O_RDONLY, 0, &st);
  if (fd < 0) return fd;
  tg_status status = read_all(TG_CONTAINER(job, struct load_job, job), fd, (size_t)st.st_size);
  close(fd);
  return status;
}

static int push_load(lua_State *L, struct tg_fs_job *job) {
  struct tg_slice bytes = tg_buffer_slice(&TG_CONTAINER(job, struct load_job, job)->bytes);
  lua_pushlstring(L, bytes.ptr ? bytes.ptr : "", bytes.len);
  return 1;
}

static void drop_load(struct tg_fs_job *job) {
  tg_buffer_deinit(&TG_CONTAINER(job, struct load_job, job)->bytes);
}

static const struct tg_fs_kind load_kind = {.op = TG_FS_OP("tg.fs.read"),
                                            .size = sizeof(struct load_job),
                                            .run = run_load,
                                            .push = push_load,
                                            .drop = drop_load};

/* fs_load(what, path, max) */
int tg_await_fs_load(lua_State *L) {
  luaL_checkstring(L, 2);
  lua_Number max = luaL_checknumber(L, 3);
  luaL_argcheck(L, max >= 0, 3, "a size expected");
  struct load_job *load = tg_fs_job_new(L, &load_kind);
  load->max = max < 1e15 ? (size_t)max : (size_t)1e15;
  tg_fs_job_take_path(L, &load->job, 2);
  return tg_fs_job_start(L, &load->job, NULL);
}

/* ---- writing ---- */

enum { REPLACE, IN_PLACE, APPEND };
enum { SYNC_NEVER, SYNC_FILE, SYNC_ALL };

struct save_job {
  struct tg_fs_job job;
  char *bytes;
  size_t len;
  int how;
  int mode; /* permissions; -1: the usual ones */
  int sync;
};

static tg_status save_replacing(struct save_job *save) {
  struct tg_fs_draft draft = {.fd = -1};
  tg_status status = tg_fs_draft_open(&draft, save->job.path, save->mode);
  if (!status) status = tg_fs_write_all(&save->job, draft.fd, save->bytes, save->len);
  if (!status && save->sync >= SYNC_FILE && fsync(draft.fd)) status = -errno;
  if (!status) status = tg_fs_draft_commit(&draft, &save->job, save->sync == SYNC_ALL);
  tg_fs_draft_deinit(&draft);
  return status;
}

static tg_status save_into(struct save_job *save, int fd, off_t size) {
  if (save->how == IN_PLACE && size && ftruncate(fd, 0)) return -errno;
  if (save->mode >= 0 && fchmod(fd, (mode_t)save->mode & 07777)) return -errno;
  tg_status status = tg_fs_write_all(&save->job, fd, save->bytes, save->len);
  if (!status && save->sync == SYNC_ALL && fsync(fd)) status = -errno;
  return status;
}

static tg_status run_save(struct tg_fs_job *job) {
  struct save_job *save = TG_CONTAINER(job, struct save_job, job);
  if (save->how == REPLACE) return save_replacing(save);
  /* What is added to the end cannot be taken back, nor a file that was made for it. */
  if (save->how == APPEND && !tg_fs_job_commit(job)) return TG_ECANCELLED;
  struct stat st = {0};
  int flags = O_WRONLY | O_CREAT | (save->how == APPEND ? O_APPEND : 0);
  int fd = open_regular(job->path, flags, 0666, &st);
  if (fd < 0) return fd;
  tg_status status = save_into(save, fd, st.st_size);
  if (close(fd) && !status) status = -errno;
  return status;
}

static void drop_save(struct tg_fs_job *job) {
  struct save_job *save = TG_CONTAINER(job, struct save_job, job);
  free(save->bytes);
  save->bytes = NULL;
}

#define SAVE_KIND(call) \
  { .op = TG_FS_OP(call), .size = sizeof(struct save_job), .run = run_save, .drop = drop_save }

static const struct tg_fs_kind save_kinds[] = {SAVE_KIND("tg.fs.write"), SAVE_KIND("tg.fs.write"),
                                               SAVE_KIND("tg.fs.append")};

/* fs_save(what, path, bytes, how, permissions|-1, sync) */
int tg_await_fs_save(lua_State *L) {
  static const char *const hows[] = {"replace", "in_place", "append", NULL};
  static const char *const syncs[] = {"never", "file", "all", NULL};
  size_t len;
  luaL_checkstring(L, 2);
  const char *bytes = luaL_checklstring(L, 3, &len);
  int how = luaL_checkoption(L, 4, NULL, hows);
  int mode = (int)luaL_checkinteger(L, 5);
  int sync = luaL_checkoption(L, 6, NULL, syncs);
  struct save_job *save = tg_fs_job_new(L, &save_kinds[how]);
  save->how = how;
  save->mode = mode;
  save->sync = sync;
  save->len = len;
  save->bytes = malloc(len + 1);
  if (!save->bytes) {
    tg_fs_job_free(&save->job);
    tg_error_throw(L, "out_of_memory", "%s: no memory", lua_tostring(L, 1));
  }
  memcpy(save->bytes, bytes, len);
  tg_fs_job_take_path(L, &save->job, 2);
  return tg_fs_job_start(L, &save->job, NULL);
}

/* ---- copying ---- */

struct copy_job {
  struct tg_fs_job job;
  char *target;
  int mode; /* permissions; -1: the usual ones; LIKE: those of the source */
};

#define LIKE (-2)

/* In the kernel where it can, which shares the blocks where the file system can. */
static tg_status copy_bytes(struct tg_fs_job *job, int from, int to) {
  bool by_kernel = true;
  char *piece = malloc(PIECE);
  tg_status status = piece ? TG_OK : TG_ENOMEM;
  while (!status) {
    if (tg_fs_job_dropped(job)) {
      status = TG_ECANCELLED;
      break;
    }
    ssize_t n = by_kernel ? copy_file_range(from, NULL, to, NULL, 16 * PIECE, 0) : 0;
    if (by_kernel && n > 0) continue;
    by_kernel = false; /* not for these two; nor does it read what /proc makes up */
    n = read(from, piece, PIECE);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) break;
    status = n < 0 ? -errno : tg_fs_write_all(job, to, piece, (size_t)n);
  }
  free(piece);
  return status;
}

static tg_status run_copy(struct tg_fs_job *job) {
  struct copy_job *copy = TG_CONTAINER(job, struct copy_job, job);
  struct tg_fs_draft draft = {.fd = -1};
  struct stat st = {0};
  int fd = open_regular(job->path, O_RDONLY, 0, &st);
  if (fd < 0) return fd;
  tg_status status = tg_fs_draft_open(&draft, copy->target,
                                      copy->mode == LIKE ? (int)(st.st_mode & 0777) : copy->mode);
  if (!status) status = copy_bytes(job, fd, draft.fd);
  if (!status && fsync(draft.fd)) status = -errno;
  if (!status) status = tg_fs_draft_commit(&draft, job, false);
  tg_fs_draft_deinit(&draft);
  close(fd);
  return status;
}

static void drop_copy(struct tg_fs_job *job) {
  struct copy_job *copy = TG_CONTAINER(job, struct copy_job, job);
  free(copy->target);
  copy->target = NULL;
}

static const struct tg_fs_kind copy_kind = {.op = TG_FS_OP("tg.fs.copy"),
                                            .size = sizeof(struct copy_job),
                                            .run = run_copy,
                                            .drop = drop_copy};

/* fs_copy(what, from, to [, permissions|-1]) */
int tg_await_fs_copy(lua_State *L) {
  luaL_checkstring(L, 2);
  const char *target = luaL_checkstring(L, 3);
  int mode = (int)luaL_optinteger(L, 4, LIKE);
  struct copy_job *copy = tg_fs_job_new(L, &copy_kind);
  copy->mode = mode;
  copy->target = strdup(target);
  if (!copy->target) {
    tg_fs_job_free(&copy->job);
    tg_error_throw(L, "out_of_memory", "%s: no memory", lua_tostring(L, 1));
  }
  tg_fs_job_take_path(L, &copy->job, 2);
  return tg_fs_job_start(L, &copy->job, NULL);
}
