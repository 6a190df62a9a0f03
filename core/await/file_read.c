/* Reading the next bytes of an open file on libuv's pool. */
#include <lauxlib.h>
#include <stdlib.h>

#include "await/file.h"
#include "base/check.h"
#include "script/error.h"
#include "script/module.h"
#include "script/task.h"

/// Reads at most `count` bytes from where the last read ended; nil at the end of the file.
TG_AWAITABLE(file_read)

#define COUNT_MAX (16 * 1024 * 1024)

struct read_op {
  struct tg_op op;
  uv_fs_t req;
  struct tg_vm *vm;
  struct tg_file *file;
  int file_ref; /* keeps the file, even when the task has gone */
  ssize_t result;
  char bytes[];
};

static void on_read(uv_fs_t *req) {
  struct read_op *read = TG_CONTAINER(req, struct read_op, req);
  read->result = req->result;
  uv_fs_req_cleanup(req);
  tg_op_complete(&read->op);
}

static void cancel(struct tg_op *op) {
  (void)uv_cancel((uv_req_t *)&TG_CONTAINER(op, struct read_op, op)->req);
}

static int l_push(lua_State *L) {
  struct read_op *read = lua_touserdata(L, 1);
  lua_pushlstring(L, read->bytes, (size_t)read->result);
  return 1;
}

static int finish(struct tg_op *op, lua_State *L) {
  struct read_op *read = TG_CONTAINER(op, struct read_op, op);
  ssize_t result = read->result;
  bool cancelled = op->cancelled && result < 0;
  int rc = 0;
  read->file->busy = false;
  if (result > 0) read->file->offset += (uint64_t)result;
  luaL_unref(read->vm->L, LUA_REGISTRYINDEX, read->file_ref);
  tg_vm_release(read->vm);
  if (L && result > 0) {
    lua_pushcfunction(L, l_push);
    lua_pushlightuserdata(L, read);
    rc = lua_pcall(L, 1, 1, 0);
  }
  free(read);
  if (!L) return 0;
  if (cancelled) tg_op_throw_cancelled(L);
  if (rc) return lua_error(L);
  if (result > 0) return 1;
  if (result == 0) return 0;
  tg_error_push_status(L, (tg_status)result, "reading a file");
  return lua_error(L);
}

static const struct tg_op_kind kind = {.name = "tg.file", .cancel = cancel, .finish = finish};

int tg_await_file_read(lua_State *L) {
  struct tg_file *file = tg_file_check(L, 1, "reading a file");
  lua_Number count = luaL_checknumber(L, 2);
  luaL_argcheck(L, count >= 1 && count <= COUNT_MAX, 2, "1 to 16 MiB expected");
  tg_op_begin(L);
  lua_pushvalue(L, 1);
  int file_ref = luaL_ref(L, LUA_REGISTRYINDEX);
  struct read_op *read = malloc(sizeof *read + (size_t)count);
  if (!read) luaL_unref(L, LUA_REGISTRYINDEX, file_ref);
  if (!read) tg_error_throw(L, "out_of_memory", "reading a file: no memory");
  tg_op_init(&read->op, &kind);
  read->vm = tg_vm_of(L);
  read->file = file;
  read->file_ref = file_ref;
  uv_buf_t buf = uv_buf_init(read->bytes, (unsigned)count);
  int status = uv_fs_read(&tg_vm_of(L)->loop->uv, &read->req, file->fd, &buf, 1,
                          (int64_t)file->offset, on_read);
  if (status == 0) {
    file->busy = true;
    tg_vm_hold(read->vm); /* an abandoned read outlives its task */
    return tg_op_suspend(L, &read->op);
  }
  luaL_unref(L, LUA_REGISTRYINDEX, file_ref);
  free(read);
  tg_error_push_status(L, status, "reading a file");
  return lua_error(L);
}
