/* Names in folders: what stands behind one, making folders, renaming, listing. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "await/fs_job.h"
#include "base/buffer.h"
#include "base/check.h"
#include "script/error.h"
#include "script/module.h"

/// What is behind a path: a table; with `missing_ok`, nil where there is nothing.
TG_AWAITABLE(fs_stat)
/// Makes a folder, with those around it where `parents` is true.
TG_AWAITABLE(fs_mkdir)
/// Gives a file or a folder another name, in place of what has it already.
TG_AWAITABLE(fs_rename)
/// The names in a folder with their types, sorted by bytes.
TG_AWAITABLE(fs_list)

static const char *type_name(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG: return "file";
    case S_IFDIR: return "directory";
    case S_IFLNK: return "link";
    case S_IFIFO: return "fifo";
    case S_IFSOCK: return "socket";
    case S_IFCHR: return "character_device";
    case S_IFBLK: return "block_device";
    default: return "unknown";
  }
}

/* ---- stat ---- */

struct stat_job {
  struct tg_fs_job job;
  bool follow, missing_ok, missing;
  struct stat st;
};

static tg_status run_stat(struct tg_fs_job *job) {
  struct stat_job *stat_ = TG_CONTAINER(job, struct stat_job, job);
  int flags = stat_->follow ? 0 : AT_SYMLINK_NOFOLLOW;
  if (fstatat(AT_FDCWD, job->path, &stat_->st, flags) == 0) return TG_OK;
  stat_->missing = stat_->missing_ok && (errno == ENOENT || errno == ENOTDIR);
  return stat_->missing ? TG_OK : -errno;
}

static void set_number(lua_State *L, const char *name, double value) {  // .. table
  lua_pushnumber(L, value);
  lua_setfield(L, -2, name);
}

static double seconds_of(struct timespec time) {
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int push_stat(lua_State *L, struct tg_fs_job *job) {
  const struct stat_job *stat_ = TG_CONTAINER(job, struct stat_job, job);
  const struct stat *st = &stat_->st;
  if (stat_->missing) return 0;
  lua_createtable(L, 0, 12);
  lua_pushstring(L, type_name(st->st_mode));
  lua_setfield(L, -2, "type");
  set_number(L, "size", (double)st->st_size);
  set_number(L, "mode", (double)(st->st_mode & 07777));
  set_number(L, "mtime", seconds_of(st->st_mtim));
  set_number(L, "atime", seconds_of(st->st_atim));
  set_number(L, "ctime", seconds_of(st->st_ctim));
  set_number(L, "uid", (double)st->st_uid);
  set_number(L, "gid", (double)st->st_gid);
  set_number(L, "inode", (double)st->st_ino);
  set_number(L, "device", (double)st->st_dev);
  set_number(L, "links", (double)st->st_nlink);
  return 1;
}

static const struct tg_fs_kind stat_kind = {.op = TG_FS_OP("tg.fs.stat"),
                                            .size = sizeof(struct stat_job),
                                            .run = run_stat,
                                            .push = push_stat};

/* fs_stat(what, path, follow, missing_ok) */
int tg_await_fs_stat(lua_State *L) {
  luaL_checkstring(L, 2);
  struct stat_job *stat_ = tg_fs_job_new(L, &stat_kind);
  stat_->follow = lua_toboolean(L, 3);
  stat_->missing_ok = lua_toboolean(L, 4);
  tg_fs_job_take_path(L, &stat_->job, 2);
  return tg_fs_job_start(L, &stat_->job, NULL);
}

/* ---- mkdir ---- */

struct mkdir_job {
  struct tg_fs_job job;
  mode_t mode;
  bool parents;
};

static tg_status make_one(const char *path, mode_t mode) {
  struct stat st;
  if (mkdir(path, mode) == 0) return TG_OK;
  int problem = errno;
  bool is_there = problem == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
  return is_there ? TG_OK : -problem;
}

static tg_status run_mkdir(struct tg_fs_job *job) {
  struct mkdir_job *mkdir_ = TG_CONTAINER(job, struct mkdir_job, job);
  if (!tg_fs_job_commit(job)) return TG_ECANCELLED;
  if (!mkdir_->parents) return mkdir(job->path, mkdir_->mode) ? -errno : TG_OK;
  tg_status status = TG_OK;
  for (char *slash = job->path; (slash = strchr(slash + 1, '/')) && !status;) {
    *slash = 0;
    status = make_one(job->path, 0777);
    *slash = '/';
  }
  return status ? status : make_one(job->path, mkdir_->mode);
}

static const struct tg_fs_kind mkdir_kind = {
    .op = TG_FS_OP("tg.fs.mkdir"), .size = sizeof(struct mkdir_job), .run = run_mkdir};

/* fs_mkdir(what, path, permissions, parents) */
int tg_await_fs_mkdir(lua_State *L) {
  luaL_checkstring(L, 2);
  mode_t mode = (mode_t)luaL_checkinteger(L, 3);
  struct mkdir_job *mkdir_ = tg_fs_job_new(L, &mkdir_kind);
  mkdir_->mode = mode;
  mkdir_->parents = lua_toboolean(L, 4);
  tg_fs_job_take_path(L, &mkdir_->job, 2);
  return tg_fs_job_start(L, &mkdir_->job, NULL);
}

/* ---- rename ---- */

struct rename_job {
  struct tg_fs_job job;
  char *target;
};

static tg_status run_rename(struct tg_fs_job *job) {
  const struct rename_job *rename_ = TG_CONTAINER(job, struct rename_job, job);
  if (!tg_fs_job_commit(job)) return TG_ECANCELLED;
  return rename(job->path, rename_->target) ? -errno : TG_OK;
}

static void drop_rename(struct tg_fs_job *job) {
  struct rename_job *rename_ = TG_CONTAINER(job, struct rename_job, job);
  free(rename_->target);
  rename_->target = NULL;
}

static const struct tg_fs_kind rename_kind = {.op = TG_FS_OP("tg.fs.rename"),
                                              .size = sizeof(struct rename_job),
                                              .run = run_rename,
                                              .drop = drop_rename};

/* fs_rename(what, from, to) */
int tg_await_fs_rename(lua_State *L) {
  luaL_checkstring(L, 2);
  const char *target = luaL_checkstring(L, 3);
  struct rename_job *rename_ = tg_fs_job_new(L, &rename_kind);
  rename_->target = strdup(target);
  if (!rename_->target) {
    tg_fs_job_free(&rename_->job);
    tg_error_throw(L, "out_of_memory", "%s: no memory", lua_tostring(L, 1));
  }
  tg_fs_job_take_path(L, &rename_->job, 2);
  return tg_fs_job_start(L, &rename_->job, NULL);
}

/* ---- list ---- */

struct list_job {
  struct tg_fs_job job;
  char **rows; /* a byte for the type, then the name */
  size_t count, cap;
};

static unsigned char type_byte(int folder, const struct dirent *entry) {
  struct stat st;
  if (entry->d_type != DT_UNKNOWN) return entry->d_type;
  if (fstatat(folder, entry->d_name, &st, AT_SYMLINK_NOFOLLOW)) return DT_UNKNOWN;
  return (unsigned char)IFTODT(st.st_mode);
}

static tg_status add_row(struct list_job *list, unsigned char type, const char *name) {
  if (list->count == list->cap) {
    size_t cap = list->cap ? list->cap * 2 : 64;
    char **rows = realloc(list->rows, cap * sizeof *rows);
    if (!rows) return TG_ENOMEM;
    list->rows = rows;
    list->cap = cap;
  }
  size_t len = strlen(name);
  char *row = malloc(len + 2);
  if (!row) return TG_ENOMEM;
  row[0] = (char)type;
  memcpy(row + 1, name, len + 1);
  list->rows[list->count++] = row;
  return TG_OK;
}

static int compare_rows(const void *a, const void *b) {
  const char *const *x = a, *const *y = b;
  return strcmp(*x + 1, *y + 1);
}

static tg_status run_list(struct tg_fs_job *job) {
  struct list_job *list = TG_CONTAINER(job, struct list_job, job);
  DIR *folder = opendir(job->path);
  if (!folder) return -errno;
  tg_status status = TG_OK;
  while (!status) {
    errno = 0;
    const struct dirent *entry = readdir(folder);
    if (!entry && errno) status = -errno;
    if (!entry) break;
    if (tg_fs_job_dropped(job)) status = TG_ECANCELLED;
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (!status) status = add_row(list, type_byte(dirfd(folder), entry), entry->d_name);
  }
  closedir(folder);
  if (list->count) qsort(list->rows, list->count, sizeof *list->rows, compare_rows);
  return status;
}

static int push_list(lua_State *L, struct tg_fs_job *job) {
  const struct list_job *list = TG_CONTAINER(job, struct list_job, job);
  lua_createtable(L, (int)list->count, 0);
  for (size_t i = 0; i < list->count; i++) {
    lua_createtable(L, 0, 2);
    lua_pushstring(L, list->rows[i] + 1);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, type_name(DTTOIF((mode_t)list->rows[i][0])));
    lua_setfield(L, -2, "type");
    lua_rawseti(L, -2, (int)i + 1);
  }
  return 1;
}

static void drop_list(struct tg_fs_job *job) {
  struct list_job *list = TG_CONTAINER(job, struct list_job, job);
  for (size_t i = 0; i < list->count; i++) free(list->rows[i]);
  free(list->rows);
  list->rows = NULL;
  list->count = list->cap = 0;
}

static const struct tg_fs_kind list_kind = {.op = TG_FS_OP("tg.fs.list"),
                                            .size = sizeof(struct list_job),
                                            .run = run_list,
                                            .push = push_list,
                                            .drop = drop_list};

/* fs_list(what, path) */
int tg_await_fs_list(lua_State *L) {
  luaL_checkstring(L, 2);
  struct list_job *list = tg_fs_job_new(L, &list_kind);
  tg_fs_job_take_path(L, &list->job, 2);
  return tg_fs_job_start(L, &list->job, NULL);
}
