/* Who waits for the answer to a request of a rehearsal: the functions behind tg.test.
 *
 * Whoever makes a request holds a handle, and waits by one op at a time: for all of the answer, or
 * for its head and then for each piece of the body. Letting the handle go, or cancelling the wait
 * for all of it or for its head, is a client that goes away. */
#include <lauxlib.h>
#include <stdlib.h>

#include "app/rehearsal_request.h"
#include "base/check.h"
#include "script/error.h"
#include "script/task.h"

#define HANDLE "tg.test.answer"

/* ---- who waits ---- */

static bool is_there(const struct tg_rehearsal_request *request) {
  if (!request->running) return true;
  return (request->wait == TG_WAIT_HEAD && request->head_out) ||
         (request->wait == TG_WAIT_PIECE && tg_buffer_size(&request->body));
}

static void wake(struct tg_rehearsal_request *request) {
  if (!request->wait || request->woken) return;
  request->woken = true;
  tg_op_complete(&request->op);
}

void tg_rehearsal_client_wake(struct tg_rehearsal_request *request) {
  if (is_there(request)) wake(request);
}

/* Nobody wants the rest; frees the request where nothing of it is left. */
static void let_go(struct tg_rehearsal_request *request) {
  if (!request->handle) return;
  request->handle->request = NULL;
  request->handle = NULL;
  tg_owned_release(&request->owned);
  tg_rehearsal_request_drop(request);
  if (request->dropped) wake(request);
  tg_rehearsal_request_free_unused(request);
}

static void on_scope_ended(struct tg_owned *owned) {
  let_go(TG_CONTAINER(owned, struct tg_rehearsal_request, owned));
}

/* ---- the op ---- */

/* Whoever waits for a piece may come back for it; the others were the client. */
static void cancel(struct tg_op *op) {
  struct tg_rehearsal_request *request = TG_CONTAINER(op, struct tg_rehearsal_request, op);
  if (is_there(request)) return; /* it completes by itself, or has */
  if (request->wait == TG_WAIT_PIECE)
    wake(request);
  else
    let_go(request);
}

static void push_buffer(lua_State *L, const struct tg_buffer *buffer) {
  struct tg_slice bytes = tg_buffer_slice(buffer);
  lua_pushlstring(L, bytes.len ? bytes.ptr : "", bytes.len);
}

/* The next piece, or nil and whether the answer is whole. */
static int push_piece(lua_State *L, struct tg_rehearsal_request *request) {
  if (!tg_buffer_size(&request->body)) {
    lua_pushnil(L);
    lua_pushboolean(L, !request->cut);
    return 2;
  }
  push_buffer(L, &request->body);
  tg_buffer_clear(&request->body);
  if (request->exchange) tg_exchange_room(request->exchange, TG_OK);
  return 1;
}

static int push_all(lua_State *L, struct tg_rehearsal_request *request) {
  push_buffer(L, &request->head);
  push_buffer(L, &request->body);
  lua_pushboolean(L, !request->cut);
  let_go(request);
  return 3;
}

/* Pushing may fail for want of memory: the handle has the request then. */
static int finish(struct tg_op *op, lua_State *L) {
  struct tg_rehearsal_request *request = TG_CONTAINER(op, struct tg_rehearsal_request, op);
  bool dropped = request->dropped;
  bool cancelled = op->cancelled && (dropped || !is_there(request));
  enum tg_rehearsal_wait wait = request->wait;
  request->wait = TG_WAIT_NOTHING;
  request->woken = false;
  if (!L || dropped) {
    tg_rehearsal_request_free_unused(request);
    if (L && cancelled) tg_op_throw_cancelled(L);
    if (L) tg_error_throw(L, "closed", "tg.test: the answer was closed");
    return 0;
  }
  if (cancelled) tg_op_throw_cancelled(L);
  if (wait == TG_WAIT_PIECE) return push_piece(L, request);
  if (wait == TG_WAIT_ALL) return push_all(L, request);
  push_buffer(L, &request->head);
  return 1;
}

static const struct tg_op_kind kind = {.name = "tg.test", .cancel = cancel, .finish = finish};

/* ---- the calls ---- */

static int l_collect(lua_State *L) {
  const struct tg_rehearsal_handle *handle = lua_touserdata(L, 1);
  if (handle->request) let_go(handle->request);
  return 0;
}

int tg_rehearsal_begin(lua_State *L) {
  struct tg_rehearsal *rehearsal = lua_touserdata(L, lua_upvalueindex(1));
  struct tg_vm *vm = tg_vm_of(L);
  struct tg_slice bytes;
  bytes.ptr = luaL_checklstring(L, 1, &bytes.len);
  if (!rehearsal->offline->generation)
    tg_error_throw(L, "not_available", "tg.test: there are no routes: no folder routes in %s",
                   rehearsal->offline->host.app_dir);
  tg_op_begin(L); /* a request is made by a task that can wait for it */
  struct tg_rehearsal_handle *handle = lua_newuserdata(L, sizeof *handle);  // .. handle
  handle->request = NULL;
  if (luaL_newmetatable(L, HANDLE)) {  // .. handle meta
    lua_pushcfunction(L, l_collect);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);  // .. handle
  struct tg_rehearsal_request *request = tg_rehearsal_request_new(rehearsal, bytes);
  if (!request) tg_error_throw(L, "out_of_memory", "tg.test: no memory");
  handle->request = request;
  request->handle = handle;
  request->owned.close = on_scope_ended;
  request->in_parts = lua_toboolean(L, 2);
  tg_scope_own(tg_scope_owner(vm), &request->owned);
  tg_rehearsal_request_start(request);
  return 1;
}

static int wait_for(lua_State *L, enum tg_rehearsal_wait wait) {
  const struct tg_rehearsal_handle *handle = luaL_checkudata(L, 1, HANDLE);
  struct tg_rehearsal_request *request = handle->request;
  tg_op_begin(L);
  if (!request) tg_error_throw(L, "closed", "tg.test: the answer was closed");
  if (request->wait) tg_error_throw(L, "busy", "tg.test: another task reads this answer");
  tg_op_init(&request->op, &kind);
  request->wait = wait;
  tg_rehearsal_client_wake(request);
  return tg_op_suspend(L, &request->op);
}

int tg_rehearsal_all(lua_State *L) {
  return wait_for(L, TG_WAIT_ALL);
}

int tg_rehearsal_head(lua_State *L) {
  return wait_for(L, TG_WAIT_HEAD);
}

int tg_rehearsal_piece(lua_State *L) {
  return wait_for(L, TG_WAIT_PIECE);
}

int tg_rehearsal_close_answer(lua_State *L) {
  const struct tg_rehearsal_handle *handle = luaL_checkudata(L, 1, HANDLE);
  if (handle->request) let_go(handle->request);
  return 0;
}
