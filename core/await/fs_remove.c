/* tg.fs.remove. A tree is walked with one descriptor, however deep it is: down by a name that is no
 * link, up by "..", where it must be the folder that we came from. */
#include "await/fs_remove.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "script/module.h"

/// Deletes a file or an empty folder; with `recursive` a folder with all that is in it.
TG_AWAITABLE(fs_remove)

struct level {
  dev_t device;
  ino_t inode; /* of the folder above */
  char *name;  /* in it */
};

struct walk {
  struct tg_fs_job *job;
  int fd; /* of the folder that we are in */
  struct level *levels;
  size_t depth, cap;
};

static tg_status push_level(struct walk *walk, const char *name) {
  struct stat st;
  if (walk->depth == walk->cap) {
    size_t cap = walk->cap ? walk->cap * 2 : 16;
    struct level *levels = realloc(walk->levels, cap * sizeof *levels);
    if (!levels) return TG_ENOMEM;
    walk->levels = levels;
    walk->cap = cap;
  }
  if (fstat(walk->fd, &st)) return -errno;
  char *copy = strdup(name);
  if (!copy) return TG_ENOMEM;
  walk->levels[walk->depth++] = (struct level){st.st_dev, st.st_ino, copy};
  return TG_OK;
}

static tg_status go_down(struct walk *walk, const char *name) {
  int fd = openat(walk->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -errno;
  tg_status status = push_level(walk, name);
  if (status) {
    close(fd);
    return status;
  }
  close(walk->fd);
  walk->fd = fd;
  return TG_OK;
}

/* Up, and deletes the folder that was left. */
static tg_status go_up(struct walk *walk) {
  const struct level *level = &walk->levels[walk->depth - 1];
  struct stat st;
  int fd = openat(walk->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -errno;
  close(walk->fd);
  walk->fd = fd;
  if (fstat(fd, &st)) return -errno;
  if (st.st_dev != level->device || st.st_ino != level->inode) return -EBUSY; /* it was moved */
  tg_status status = unlinkat(fd, level->name, AT_REMOVEDIR) ? -errno : TG_OK;
  free(level->name);
  walk->depth--;
  return status == -ENOENT ? TG_OK : status;
}

static bool is_folder(int fd, const struct dirent *entry) {
  struct stat st;
  if (entry->d_type != DT_UNKNOWN) return entry->d_type == DT_DIR;
  return fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* The folder that we are in, to be read from its beginning; NULL with errno set. */
static DIR *open_here(const struct walk *walk) {
  int fd = openat(walk->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return NULL;
  DIR *folder = fdopendir(fd);
  if (!folder) close(fd);
  return folder;
}

/* Deletes what is no folder, until the first folder: its name is copied to `inner`; or "". */
static tg_status sweep(struct walk *walk, char inner[256]) {
  tg_status status = TG_OK;
  const struct dirent *entry;
  inner[0] = 0;
  DIR *folder = open_here(walk);
  if (!folder) return errno ? -errno : TG_ENOMEM;
  while (!status && !inner[0] && (entry = readdir(folder))) {
    if (tg_fs_job_dropped(walk->job)) status = TG_ECANCELLED;
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (is_folder(walk->fd, entry))
      memcpy(inner, entry->d_name, strlen(entry->d_name) + 1);
    else if (!status && unlinkat(walk->fd, entry->d_name, 0) && errno != ENOENT)
      status = -errno;
  }
  closedir(folder);
  return status;
}

static tg_status empty(struct walk *walk) {
  char inner[256];
  for (;;) {
    tg_status status = sweep(walk, inner);
    if (!status && !inner[0] && walk->depth == 0) return TG_OK;
    if (!status) status = inner[0] ? go_down(walk, inner) : go_up(walk);
    if (status) return status;
  }
}

tg_status tg_fs_remove(struct tg_fs_job *job, const char *path, bool recursive) {
  struct stat st;
  if (lstat(path, &st)) return -errno;
  if (S_ISDIR(st.st_mode) && recursive) {
    struct walk walk = {.job = job};
    walk.fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (walk.fd < 0) return -errno;
    tg_status status = empty(&walk);
    close(walk.fd);
    while (walk.depth) free(walk.levels[--walk.depth].name);
    free(walk.levels);
    if (status) return status;
  }
  if (!tg_fs_job_commit(job)) return TG_ECANCELLED;
  return (S_ISDIR(st.st_mode) ? rmdir(path) : unlink(path)) ? -errno : TG_OK;
}

struct remove_job {
  struct tg_fs_job job;
  bool recursive;
};

static tg_status run_remove(struct tg_fs_job *job) {
  return tg_fs_remove(job, job->path, TG_CONTAINER(job, struct remove_job, job)->recursive);
}

static const struct tg_fs_kind kind = {
    .op = TG_FS_OP("tg.fs.remove"), .size = sizeof(struct remove_job), .run = run_remove};

/* fs_remove(what, path, recursive) */
int tg_await_fs_remove(lua_State *L) {
  luaL_checkstring(L, 2);
  struct remove_job *remove_ = tg_fs_job_new(L, &kind);
  remove_->recursive = lua_toboolean(L, 3);
  tg_fs_job_take_path(L, &remove_->job, 2);
  return tg_fs_job_start(L, &remove_->job, NULL);
}
