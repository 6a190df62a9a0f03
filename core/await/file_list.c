/* What is in a folder of a tg.static, for a page that shows it. One job on the pool, which sorts,
 * too; links are shown as what they lead to, if that lies below the root. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "await/file_root.h"
#include "await/fs_job.h"
#include "base/beneath.h"
#include "base/check.h"
#include "http/file_path.h"
#include "script/error.h"
#include "script/module.h"
#include "server/exchange.h"

/// What is in the folder that a request names: rows of name, is_folder, size, mtime; nil where it is
/// none.
TG_AWAITABLE(file_list)

/* A folder with more in it is not shown: a page of that length helps nobody, and costs the loop. */
#define ROWS_MAX 10000u

struct row {
  char *name;
  bool is_folder;
  double size, mtime;
};

struct list_job {
  struct tg_fs_job job;
  struct tg_file_root *root;
  struct row *rows;
  unsigned count, room;
};

static int by_name(const void *a, const void *b) {
  const struct row *left = a, *right = b;
  if (left->is_folder != right->is_folder) return left->is_folder ? -1 : 1;
  return strcmp(left->name, right->name);
}

static tg_status add(struct list_job *list, const char *name, const struct stat *st) {
  if (list->count == ROWS_MAX) return TG_ETOO_LARGE;
  if (list->count == list->room) {
    unsigned room = list->room ? list->room * 2 : 64;
    struct row *rows = realloc(list->rows, room * sizeof *rows);
    if (!rows) return TG_ENOMEM;
    list->rows = rows;
    list->room = room;
  }
  char *copy = strdup(name);
  if (!copy) return TG_ENOMEM;
  list->rows[list->count++] = (struct row){
      .name = copy,
      .is_folder = S_ISDIR(st->st_mode),
      .size = (double)st->st_size,
      .mtime = (double)st->st_mtim.tv_sec,
  };
  return TG_OK;
}

/* The entry, or what a link leads to; false for what is not shown. */
static bool look(const struct tg_file_folder *folder, const char *path, int dir, const char *name,
                 struct stat *st) {
  char whole[TG_FILE_PATH_MAX + 256];
  if (fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW)) return false;
  if (S_ISLNK(st->st_mode)) {
    int len = snprintf(whole, sizeof whole, "%s%s", path, name);
    if (len < 0 || (size_t)len >= sizeof whole) return false;
    int fd = tg_beneath_open(folder->fd, whole, O_PATH, false);
    if (fd < 0) return false;
    bool known = fstat(fd, st) == 0;
    close(fd);
    if (!known) return false;
  }
  return S_ISREG(st->st_mode) || S_ISDIR(st->st_mode);
}

static tg_status read_folder(struct list_job *list, const struct tg_file_folder *folder, int fd) {
  DIR *dir = fdopendir(fd);
  if (!dir) {
    close(fd);
    return TG_ENOMEM;
  }
  tg_status status = TG_OK;
  const struct dirent *entry;
  while (status == TG_OK && (entry = readdir(dir))) {
    struct stat st;
    const char *name = entry->d_name;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
    if (name[0] == '.' && !list->root->hidden) continue;
    if (tg_fs_job_dropped(&list->job)) status = TG_ECANCELLED;
    if (status == TG_OK && look(folder, list->job.path, dirfd(dir), name, &st))
      status = add(list, name, &st);
  }
  closedir(dir);
  return status;
}

/* What cannot be shown is an outcome like another: 1. */
static tg_status run_list(struct tg_fs_job *job) {
  struct list_job *list = TG_CONTAINER(job, struct list_job, job);
  tg_status status;
  struct tg_file_folder *folder = tg_file_folder_open(list->root->path, false, &status);
  if (!folder) return 1;
  int fd = tg_beneath_open(folder->fd, job->path[0] ? job->path : ".",
                           O_RDONLY | O_DIRECTORY | O_NONBLOCK, false);
  status = fd < 0 ? 1 : read_folder(list, folder, fd);
  tg_file_folder_release(folder);
  if (status == TG_OK && list->count) qsort(list->rows, list->count, sizeof *list->rows, by_name);
  return status == TG_ETOO_LARGE ? 1 : status;
}

static int push_list(lua_State *L, struct tg_fs_job *job) {
  const struct list_job *list = TG_CONTAINER(job, struct list_job, job);
  if (job->status > 0) return 0;
  lua_createtable(L, (int)list->count, 0);  // .. rows
  for (unsigned i = 0; i < list->count; i++) {
    const struct row *row = &list->rows[i];
    lua_createtable(L, 0, 4);  // .. rows row
    lua_pushstring(L, row->name);
    lua_setfield(L, -2, "name");
    lua_pushboolean(L, row->is_folder);
    lua_setfield(L, -2, "is_folder");
    lua_pushnumber(L, row->size);
    lua_setfield(L, -2, "size");
    lua_pushnumber(L, row->mtime);
    lua_setfield(L, -2, "mtime");
    lua_rawseti(L, -2, (int)i + 1);
  }
  return 1;
}

static void free_list(struct tg_fs_job *job) {
  struct list_job *list = TG_CONTAINER(job, struct list_job, job);
  for (unsigned i = 0; i < list->count; i++) free(list->rows[i].name);
  free(list->rows);
  if (list->root) tg_file_root_release(list->root);
}

static const struct tg_fs_kind list_kind = {.op = TG_FS_OP("tg.static"),
                                            .size = sizeof(struct list_job),
                                            .run = run_list,
                                            .push = push_list,
                                            .free = free_list};

/* file_list(what, req, root) */
int tg_await_file_list(lua_State *L) {
  struct tg_exchange_ref *ref = luaL_checkudata(L, 2, TG_REQUEST_OBJECT);
  struct tg_file_root *root = tg_file_root_check(L, 3);
  const struct tg_exchange *exchange = tg_exchange_of(ref);
  char path[TG_FILE_PATH_MAX];
  if (!exchange || tg_file_root_path(root, exchange, path)) return 0;
  size_t len = strlen(path);
  if (len && path[len - 1] != '/') return 0;
  struct list_job *list = tg_fs_job_new(L, &list_kind);
  list->root = tg_file_root_hold(root);
  lua_pushlstring(L, path, len);  // .. path
  tg_fs_job_take_path(L, &list->job, lua_gettop(L));
  return tg_fs_job_start(L, &list->job, NULL);
}
