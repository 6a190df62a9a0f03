/* The way to the pool and back; see fs_job.h. */
#include "await/fs_job.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "await/fs_file.h"
#include "base/check.h"
#include "script/error.h"
#include "script/task.h"

enum { RUNNING, DROPPED, COMMITTED };

struct tg_fs_op {
  struct tg_op op;
  struct tg_fs_job *job; /* NULL when it was dropped */
  struct tg_file *file;
};

/* The words of files. Anything else keeps the one that all of the core has for it. */
static const struct {
  tg_status status;
  const char *code;
  const char *text;
} words[] = {
    {TG_FS_NOT_REGULAR, "not_regular", "not a regular file"},
    {TG_ETOO_LARGE, "too_large", "larger than `max`"},
    {-ENOENT, "not_found", "no such file or folder"},
    {-ENOTDIR, "not_directory", "not a folder, or a part of the path is none"},
    {-EISDIR, "is_directory", "is a folder"},
    {-EEXIST, "exists", "exists already"},
    {-ENOTEMPTY, "not_empty", "the folder is not empty; remove it with { recursive = true }"},
    {-EACCES, "permission", "permission denied"},
    {-EPERM, "permission", "not permitted"},
    {-EROFS, "permission", "the file system is read-only"},
    {-ENOSPC, "no_space", "no space left on the device"},
    {-EDQUOT, "no_space", "the quota is used up"},
    {-EFBIG, "too_large", "larger than a file may be"},
    {-EBUSY, "busy", "in use by the system"},
    {-EINVAL, "invalid", "not possible with this file"},
    {-ENAMETOOLONG, "invalid", "the name is too long"},
    {-EBADF, "invalid", "the file was not opened for that"},
    {-EXDEV, "other_device", "the two are on different file systems; copy, then remove"},
};

void tg_fs_throw(lua_State *L, tg_status status, const char *what) {
  const char *code = tg_status_name(status), *text = tg_status_text(status);
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
    if (words[i].status != status) continue;
    code = words[i].code;
    text = words[i].text;
  }
  tg_error_push(L, code, "%s: %s", what, text);
  tg_error_push_place(L, 0);
  lua_setfield(L, -2, "place");
  lua_error(L);
  __builtin_unreachable();
}

/* ---- a job ---- */

void tg_fs_job_free(struct tg_fs_job *job) {
  if (job->kind->drop) job->kind->drop(job);
  if (job->kind->free) job->kind->free(job);
  if (job->fd) tg_fd_release(job->fd);
  free(job->what);
  free(job->path);
  free(job);
}

void *tg_fs_job_new(lua_State *L, const struct tg_fs_kind *kind) {
  const char *what = luaL_checkstring(L, 1);
  tg_op_begin(L);
  struct tg_fs_job *job = calloc(1, kind->size);
  if (!job) tg_error_throw(L, "out_of_memory", "%s: no memory", what);
  job->kind = kind;
  job->what = strdup(what);
  if (job->what) return job;
  tg_fs_job_free(job);
  tg_error_throw(L, "out_of_memory", "%s: no memory", what);
}

void tg_fs_job_take_path(lua_State *L, struct tg_fs_job *job, int index) {
  job->path = strdup(lua_tostring(L, index));
  if (job->path) return;
  tg_fs_job_free(job);
  tg_error_throw(L, "out_of_memory", "%s: no memory", lua_tostring(L, 1));
}

bool tg_fs_job_dropped(const struct tg_fs_job *job) {
  return atomic_load(&job->state) == DROPPED;
}

bool tg_fs_job_commit(struct tg_fs_job *job) {
  int expected = RUNNING;
  return atomic_compare_exchange_strong(&job->state, &expected, COMMITTED) || expected == COMMITTED;
}

static void on_pool(uv_work_t *work) {
  struct tg_fs_job *job = TG_CONTAINER(work, struct tg_fs_job, work);
  job->status = tg_fs_job_dropped(job) ? TG_ECANCELLED : job->kind->run(job);
  /* Here, so that no loop closes or frees what nobody wants. */
  if (tg_fs_job_dropped(job) && job->kind->drop) job->kind->drop(job);
}

static void end_alone(struct tg_fs_job *job) {
  if (job->kind->back) job->kind->back(job);
  tg_fs_job_free(job);
}

static void on_back(uv_work_t *work, int status) {
  struct tg_fs_job *job = TG_CONTAINER(work, struct tg_fs_job, work);
  if (status) job->status = TG_ECANCELLED;
  if (job->op)
    tg_op_complete(&job->op->op);
  else
    end_alone(job);
}

void tg_fs_job_start_alone(struct tg_loop *loop, struct tg_fs_job *job) {
  if (uv_queue_work(&loop->uv, &job->work, on_pool, on_back) == 0) return;
  job->status = job->kind->run(job);
  end_alone(job);
}

/* ---- its op ---- */

void tg_fs_op_cancel(struct tg_op *op) {
  struct tg_fs_op *fs = TG_CONTAINER(op, struct tg_fs_op, op);
  struct tg_fs_job *job = fs->job;
  int expected = RUNNING;
  if (!atomic_compare_exchange_strong(&job->state, &expected, DROPPED)) return;
  job->op = NULL;
  fs->job = NULL;
  (void)uv_cancel((uv_req_t *)&job->work);
  tg_op_complete(op);
}

static int l_outcome(lua_State *L) {
  struct tg_fs_job *job = lua_touserdata(L, 1);
  if (job->status < 0) tg_fs_throw(L, job->status, job->what);
  return job->kind->push ? job->kind->push(L, job) : 0;
}

int tg_fs_op_finish(struct tg_op *op, lua_State *L) {
  struct tg_fs_op *fs = TG_CONTAINER(op, struct tg_fs_op, op);
  struct tg_fs_job *job = fs->job;
  if (fs->file) tg_file_end_use(fs->file);
  free(fs);
  if (!job) {
    if (L) tg_op_throw_cancelled(L);
    return 0;
  }
  int rc = 0, top = L ? lua_gettop(L) : 0;
  if (L) {
    lua_pushcfunction(L, l_outcome);
    lua_pushlightuserdata(L, job);
    rc = lua_pcall(L, 1, LUA_MULTRET, 0);
  }
  tg_fs_job_free(job);
  if (rc) return lua_error(L);
  return L ? lua_gettop(L) - top : 0;
}

int tg_fs_job_start(lua_State *L, struct tg_fs_job *job, struct tg_file *file) {
  struct tg_fs_op *fs = calloc(1, sizeof *fs);
  int status = fs ? TG_OK : TG_ENOMEM;
  if (!status) {
    tg_op_init(&fs->op, &job->kind->op);
    fs->job = job;
    job->op = fs;
    status = uv_queue_work(&tg_vm_of(L)->loop->uv, &job->work, on_pool, on_back);
  }
  if (status) {
    free(fs);
    tg_fs_job_free(job);
    tg_fs_throw(L, status, lua_tostring(L, 1));
  }
  fs->file = file;
  if (file) tg_file_begin_use(file);
  return tg_op_suspend(L, &fs->op);
}
