/* Temporary files and folders: under a name that nobody can guess, for this user only, and deleted
 * when the scope of whoever made them ends. What was renamed by then stays. */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "await/fs_draft.h"
#include "await/fs_file.h"
#include "await/fs_remove.h"
#include "base/check.h"
#include "script/error.h"
#include "script/module.h"

/// Makes a temporary file, or a folder: returns its path, and for a file the open file.
TG_AWAITABLE(fs_temp)

/* What a scope remembers. */
struct temp {
  struct tg_owned owned;
  struct tg_vm *vm;
  char *path;
};

static tg_status run_delete(struct tg_fs_job *job) {
  return tg_fs_remove(job, job->path, true);
}

static const struct tg_fs_kind delete_kind = {.size = sizeof(struct tg_fs_job), .run = run_delete};

static void on_scope_end(struct tg_owned *owned) {
  struct temp *temp = TG_CONTAINER(owned, struct temp, owned);
  struct tg_fs_job *job = calloc(1, sizeof *job);
  if (job) {
    job->kind = &delete_kind;
    job->path = temp->path;
    tg_fs_job_start_alone(temp->vm->loop, job);
  } else {
    free(temp->path);
  }
  free(temp);
}

struct temp_job {
  struct tg_fs_job job;
  bool is_folder;
  char *made; /* its path; NULL before, and when a scope has it */
  int fd;
};

static tg_status run_temp(struct tg_fs_job *job) {
  struct temp_job *temp = TG_CONTAINER(job, struct temp_job, job);
  char digits[17];
  tg_status status = tg_fs_random_name(digits);
  if (status) return status;
  size_t size = strlen(job->path) + sizeof "/tidegate-" + sizeof digits;
  char *path = malloc(size);
  if (!path) return TG_ENOMEM;
  snprintf(path, size, "%s/tidegate-%s", job->path, digits);
  if (temp->is_folder)
    status = mkdir(path, 0700) ? -errno : TG_OK;
  else if ((temp->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) < 0)
    status = -errno;
  if (status)
    free(path);
  else
    temp->made = path;
  return status;
}

static int push_temp(lua_State *L, struct tg_fs_job *job) {
  struct temp_job *temp = TG_CONTAINER(job, struct temp_job, job);
  lua_pushstring(L, temp->made);  // path
  if (!temp->is_folder) {
    job->fd = tg_fd_new(temp->fd);
    if (!job->fd) tg_error_throw(L, "out_of_memory", "%s: no memory", job->what);
    temp->fd = -1;
    tg_file_push(L, job->fd, false);  // path file
    job->fd = NULL;
  }
  struct temp *owned = calloc(1, sizeof *owned);
  if (!owned) tg_error_throw(L, "out_of_memory", "%s: no memory", job->what);
  *owned = (struct temp){.owned.close = on_scope_end, .vm = tg_vm_of(L), .path = temp->made};
  temp->made = NULL;
  tg_list_init(&owned->owned.link);
  tg_scope_own(tg_scope_owner(owned->vm), &owned->owned);
  return temp->is_folder ? 1 : 2;
}

static void drop_temp(struct tg_fs_job *job) {
  struct temp_job *temp = TG_CONTAINER(job, struct temp_job, job);
  if (temp->fd >= 0) close(temp->fd);
  temp->fd = -1;
  if (temp->made) (void)!(temp->is_folder ? rmdir(temp->made) : unlink(temp->made));
  free(temp->made);
  temp->made = NULL;
}

static const struct tg_fs_kind file_kind = {.op = TG_FS_OP("tg.fs.temp_file"),
                                            .size = sizeof(struct temp_job),
                                            .run = run_temp,
                                            .push = push_temp,
                                            .drop = drop_temp};

static const struct tg_fs_kind folder_kind = {.op = TG_FS_OP("tg.fs.temp_dir"),
                                              .size = sizeof(struct temp_job),
                                              .run = run_temp,
                                              .push = push_temp,
                                              .drop = drop_temp};

/* fs_temp(what, folder, is_folder) */
int tg_await_fs_temp(lua_State *L) {
  luaL_checkstring(L, 2);
  bool is_folder = lua_toboolean(L, 3);
  struct temp_job *temp = tg_fs_job_new(L, is_folder ? &folder_kind : &file_kind);
  temp->fd = -1;
  temp->is_folder = is_folder;
  tg_fs_job_take_path(L, &temp->job, 2);
  return tg_fs_job_start(L, &temp->job, NULL);
}
