/* The userdata of a listening or UDP socket, and the one thing that suspends with it: waiting until
 * it can be read or written. What is there is taken by hand afterwards, so that a wait which is
 * cancelled has taken nothing. */
#include <lauxlib.h>
#include <stdlib.h>
#include <unistd.h>

#include "await/descriptor.h"
#include "await/duplex.h"
#include "base/check.h"
#include "script/error.h"
#include "script/module.h"

/// For net.lua: waits until a listener or a UDP socket can be read, or (true) written.
TG_AWAITABLE(descriptor_wait)

/* ---- the object ---- */

static void unlink_ours(const struct tg_descriptor_object *object) {
  struct stat st;
  const char *path = object->path.addr.un.sun_path;
  if (!object->path.len || lstat(path, &st) != 0) return;
  if (st.st_dev == object->device && st.st_ino == object->inode) (void)unlink(path);
}

static void let_go(struct tg_descriptor_object *object) {
  struct tg_descriptor *descriptor = object->descriptor;
  object->descriptor = NULL;
  tg_owned_release(&object->owned);
  if (!descriptor) return;
  unlink_ours(object);
  tg_descriptor_close(descriptor);
}

static void on_scope_end(struct tg_owned *owned) {
  let_go(TG_CONTAINER(owned, struct tg_descriptor_object, owned));
}

static int l_gc(lua_State *L) {
  let_go(lua_touserdata(L, 1));
  return 0;
}

static int l_close(lua_State *L) {
  let_go(luaL_checkudata(L, 1, TG_DESCRIPTOR_OBJECT));
  return 0;
}

static int l_closed(lua_State *L) {
  const struct tg_descriptor_object *object = luaL_checkudata(L, 1, TG_DESCRIPTOR_OBJECT);
  lua_pushboolean(L, !object->descriptor);
  return 1;
}

static int l_detach(lua_State *L) {
  struct tg_descriptor_object *object = luaL_checkudata(L, 1, TG_DESCRIPTOR_OBJECT);
  if (!object->descriptor) tg_error_throw(L, "closed", "%s:detach: it is closed", object->noun);
  tg_duplex_detach(L, &object->owned, object->noun);
  return 0;
}

static void push_class(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"close", l_close}, {"closed", l_closed}, {"detach", l_detach}, {NULL, NULL}};
  if (!luaL_newmetatable(L, TG_DESCRIPTOR_OBJECT)) return;  // .. meta
  lua_pushcfunction(L, l_gc);
  lua_setfield(L, -2, "__gc");
  lua_newtable(L);
  luaL_register(L, NULL, methods);
  lua_setfield(L, -2, "__index");
  lua_pushliteral(L, "tg.descriptor");
  lua_setfield(L, -2, "__metatable");
}

struct push_call {
  int fd;
  const char *noun;
  const struct tg_address *bound;
};

static int l_push(lua_State *L) {
  struct push_call *call = lua_touserdata(L, 1);
  struct tg_descriptor_object *object = lua_newuserdata(L, sizeof *object);  // call object
  *object = (struct tg_descriptor_object){.owned = {.close = on_scope_end}, .noun = call->noun};
  tg_list_init(&object->owned.link);
  push_class(L);  // call object meta
  lua_setmetatable(L, -2);
  struct stat st;
  if (call->bound && lstat(call->bound->addr.un.sun_path, &st) == 0) {
    object->path = *call->bound;
    object->device = st.st_dev;
    object->inode = st.st_ino;
  }
  int fd = call->fd;
  call->fd = -1;
  tg_status status = tg_descriptor_new(tg_vm_of(L)->loop, fd, &object->descriptor);
  if (status) tg_error_push_status(L, status, call->noun);
  if (status) return lua_error(L);
  tg_scope_own(tg_scope_owner(tg_vm_of(L)), &object->owned);
  return 1;
}

struct tg_descriptor_object *tg_descriptor_push(lua_State *L, int fd, const char *noun,
                                                const struct tg_address *bound) {
  struct push_call call = {fd, noun, bound};
  lua_pushcfunction(L, l_push);
  lua_pushlightuserdata(L, &call);
  int rc = lua_pcall(L, 1, 1, 0);
  if (rc && call.fd >= 0) close(call.fd);
  if (rc) lua_error(L);
  return lua_touserdata(L, -1);
}

void tg_descriptor_need_task(lua_State *L, const char *what) {
  if (!tg_vm_of(L)->running)
    tg_error_throw(L, "no_task", "%s: works in a handler or a task only", what);
}

struct tg_descriptor *tg_descriptor_check(lua_State *L, int index, const char *what, bool writing) {
  struct tg_descriptor_object *object = luaL_checkudata(L, index, TG_DESCRIPTOR_OBJECT);
  struct tg_descriptor *descriptor = object->descriptor;
  if (!descriptor) tg_error_throw(L, "closed", "%s:%s: it is closed", object->noun, what);
  if (writing ? descriptor->writer : descriptor->reader)
    tg_error_throw(L, "busy", "%s:%s: another task waits for this %s right now", object->noun, what,
                   object->noun);
  return descriptor;
}

/* ---- the wait ---- */

struct wait_op {
  struct tg_op op;
  struct tg_descriptor_wait wait;
};

static void on_ready(struct tg_descriptor_wait *wait) {
  tg_op_complete(&TG_CONTAINER(wait, struct wait_op, wait)->op);
}

static void cancel(struct tg_op *op) {
  tg_descriptor_unwait(&TG_CONTAINER(op, struct wait_op, op)->wait);
  tg_op_complete(op);
}

static int finish(struct tg_op *op, lua_State *L) {
  bool cancelled = op->cancelled;
  free(TG_CONTAINER(op, struct wait_op, op));
  if (L && cancelled) tg_op_throw_cancelled(L);
  return 0;
}

static const struct tg_op_kind kind = {.name = "tg.net", .cancel = cancel, .finish = finish};

int tg_await_descriptor_wait(lua_State *L) {
  bool writing = lua_toboolean(L, 2);
  struct tg_descriptor *descriptor = tg_descriptor_check(L, 1, "wait", writing);
  tg_op_begin(L);
  struct wait_op *waits = calloc(1, sizeof *waits);
  if (!waits) tg_error_throw(L, "out_of_memory", "tg.net: no memory");
  tg_op_init(&waits->op, &kind);
  waits->wait.ready = on_ready;
  tg_descriptor_wait(descriptor, &waits->wait, writing);
  return tg_op_suspend(L, &waits->op);
}
