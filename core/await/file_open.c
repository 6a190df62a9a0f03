/* Opening a regular file for reading: open, then fstat, both on libuv's pool. */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "await/file.h"
#include "base/check.h"
#include "script/error.h"
#include "script/module.h"
#include "script/task.h"

/// Opens a regular file: returns the file and its size in bytes, or nil where there is none.
TG_AWAITABLE(file_open)

struct open_op {
  struct tg_op op;
  uv_fs_t req;
  uv_file fd;
  uint64_t size;
  bool regular;
  int status;
};

static int l_gc(lua_State *L) {
  struct tg_file *file = lua_touserdata(L, 1);
  if (file->fd >= 0 && !file->busy) close(file->fd);
  file->fd = -1;
  return 0;
}

static void push_file(lua_State *L, uv_file fd) {
  struct tg_file *file = lua_newuserdata(L, sizeof *file);  // .. file
  *file = (struct tg_file){.fd = -1};
  if (luaL_newmetatable(L, TG_FILE_OBJECT)) {  // .. file meta
    lua_pushcfunction(L, l_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushliteral(L, "tg.file");
    lua_setfield(L, -2, "__metatable");
  }
  lua_setmetatable(L, -2);
  file->fd = fd;
}

struct tg_file *tg_file_check(lua_State *L, int index, const char *what) {
  struct tg_file *file = luaL_checkudata(L, index, TG_FILE_OBJECT);
  if (file->fd < 0) tg_error_throw(L, "closed", "%s: the file is closed", what);
  if (file->busy) tg_error_throw(L, "busy", "%s: another task uses this file right now", what);
  return file;
}

static void on_stat(uv_fs_t *req) {
  struct open_op *open_ = TG_CONTAINER(req, struct open_op, req);
  open_->status = (int)(req->result < 0 ? req->result : 0);
  if (req->result >= 0) {
    open_->regular = S_ISREG(req->statbuf.st_mode);
    open_->size = req->statbuf.st_size;
  }
  uv_fs_req_cleanup(req);
  tg_op_complete(&open_->op);
}

static void on_open(uv_fs_t *req) {
  struct open_op *open_ = TG_CONTAINER(req, struct open_op, req);
  uv_loop_t *loop = req->loop;
  ssize_t fd = req->result;
  uv_fs_req_cleanup(req);
  if (fd < 0) {
    open_->status = (int)fd;
    tg_op_complete(&open_->op);
    return;
  }
  open_->fd = (uv_file)fd;
  open_->status = uv_fs_fstat(loop, req, open_->fd, on_stat);
  if (open_->status) tg_op_complete(&open_->op);
}

static void cancel(struct tg_op *op) {
  /* One that runs on the pool already just comes to its end. */
  (void)uv_cancel((uv_req_t *)&TG_CONTAINER(op, struct open_op, op)->req);
}

static int l_push(lua_State *L) {
  struct open_op *open_ = lua_touserdata(L, 1);
  push_file(L, open_->fd);
  open_->fd = -1; /* the userdata owns it */
  return 1;
}

static int finish(struct tg_op *op, lua_State *L) {
  struct open_op *open_ = TG_CONTAINER(op, struct open_op, op);
  int status = open_->status, rc = 0;
  bool cancelled = op->cancelled;
  bool found = status == 0 && open_->regular;
  uint64_t size = open_->size;
  if (L && found && !cancelled) {
    lua_pushcfunction(L, l_push);
    lua_pushlightuserdata(L, open_);
    rc = lua_pcall(L, 1, 1, 0);  // file | error
  }
  if (open_->fd >= 0) close(open_->fd);
  free(open_);
  if (!L) return 0;
  if (cancelled) tg_op_throw_cancelled(L);
  if (rc) return lua_error(L);
  if (!found) {
    if (status == 0 || status == -ENOENT || status == -ENOTDIR) return 0;
    tg_error_push_status(L, status, "opening a file");
    return lua_error(L);
  }
  lua_pushnumber(L, (lua_Number)size);
  return 2;
}

static const struct tg_op_kind kind = {.name = "tg.file", .cancel = cancel, .finish = finish};

int tg_await_file_open(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  tg_op_begin(L);
  struct open_op *open_ = calloc(1, sizeof *open_);
  if (!open_) tg_error_throw(L, "out_of_memory", "opening a file: no memory");
  tg_op_init(&open_->op, &kind);
  open_->fd = -1;
  int status = uv_fs_open(&tg_vm_of(L)->loop->uv, &open_->req, path,
                          O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0, on_open);
  if (status == 0) return tg_op_suspend(L, &open_->op);
  free(open_);
  tg_error_push_status(L, status, "opening a file");
  return lua_error(L);
}
