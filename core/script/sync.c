/* Queues of waiting tasks; see sync.h.
 *
 * A value that is handed to a task lies on the stack of its coroutine, as what its suspended call
 * returns, so that it cannot be lost on the way. What a waiting task gives is kept in the registry:
 * the task holds it anyway, until it is served or leaves. */
#include "script/sync.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "script/error.h"
#include "script/task.h"
#include "script/vm.h"

/* Only its address matters. */
static const char magic;

/* ---- objects ---- */

struct tg_sync *tg_sync_push(lua_State *L, const struct tg_sync_type *type, size_t size, int meta) {
  struct tg_sync *sync = lua_newuserdata(L, size);  // .. object
  memset(sync, 0, size);
  sync->type = type;
  sync->vm = tg_vm_of(L);
  sync->dice = (uint32_t)((uintptr_t)sync >> 4) | 1u;
  tg_list_init(&sync->queues[TG_SYNC_TAKE]);
  tg_list_init(&sync->queues[TG_SYNC_GIVE]);
  sync->magic = &magic;
  lua_pushvalue(L, meta);
  lua_setmetatable(L, -2);
  return sync;
}

struct tg_sync *tg_sync_find(lua_State *L, int index) {
  if (lua_type(L, index) != LUA_TUSERDATA) return NULL;
  if (lua_objlen(L, index) < sizeof(struct tg_sync)) return NULL;
  struct tg_sync *sync = lua_touserdata(L, index);
  return sync->magic == &magic ? sync : NULL;
}

struct tg_sync *tg_sync_check(lua_State *L, const struct tg_sync_type *type, const char *method) {
  struct tg_sync *sync = tg_sync_find(L, 1);
  if (TG_UNLIKELY(!sync || sync->type != type))
    tg_error_misuse(L, "%s: a %s expected before the ':', got %s", method, type->name,
                    sync ? sync->type->name : luaL_typename(L, 1));
  return sync;
}

/* A wait that was cancelled and still needed the object (see condition_wait) must end all the same.
 */
static void orphan(struct tg_waiter *waiter) {
  struct tg_op *op = &waiter->wait->op;
  tg_waiter_leave(waiter);
  if (op->cancelled && !op->complete) tg_op_complete(op);
}

void tg_sync_deinit(struct tg_sync *sync) {
  for (int side = TG_SYNC_TAKE; side <= TG_SYNC_GIVE; side++)
    for (struct tg_waiter *waiter; (waiter = tg_sync_first(sync, (enum tg_sync_side)side));)
      orphan(waiter);
}

struct tg_waiter *tg_sync_first(const struct tg_sync *sync, enum tg_sync_side side) {
  const struct tg_list *queue = &sync->queues[side];
  return tg_list_empty(queue) ? NULL : TG_CONTAINER(queue->next, struct tg_waiter, link);
}

/* ---- waits ---- */

struct tg_wait *tg_wait_new(struct tg_vm *vm, const struct tg_op_kind *kind, unsigned count,
                            int value) {
  struct tg_wait *wait = malloc(sizeof *wait + count * sizeof wait->waiters[0]);
  if (!wait) {
    luaL_unref(vm->L, LUA_REGISTRYINDEX, value);
    return NULL;
  }
  tg_op_init(&wait->op, kind);
  wait->vm = vm;
  wait->timer.slot = 0;
  wait->outcome = TG_SYNC_PENDING;
  wait->number = wait->place = 0;
  wait->value = value;
  wait->unnotified = false;
  wait->count = 0;
  return wait;
}

void tg_wait_join(struct tg_wait *wait, struct tg_sync *sync, enum tg_sync_side side, int number) {
  struct tg_waiter *waiter = &wait->waiters[wait->count++];
  waiter->wait = wait;
  waiter->on = sync;
  waiter->number = number;
  sync->waiting++;
  tg_list_append(&sync->queues[side], &waiter->link);
}

void tg_waiter_leave(struct tg_waiter *waiter) {
  if (!waiter->on) return;
  waiter->on->waiting--;
  waiter->on = NULL;
  tg_list_remove(&waiter->link);
}

/* Out of all queues, holding nothing any more. */
static void settle(struct tg_wait *wait) {
  for (unsigned i = 0; i < wait->count; i++) tg_waiter_leave(&wait->waiters[i]);
  if (wait->value != LUA_NOREF) {
    luaL_unref(wait->vm->L, LUA_REGISTRYINDEX, wait->value);
    wait->value = LUA_NOREF;
  }
  if (wait->timer.slot) tg_timer_stop(&wait->vm->loop->timers, &wait->timer);
}

void tg_wait_discard(struct tg_wait *wait) {
  settle(wait);
  free(wait);
}

void tg_waiter_serve(struct tg_waiter *waiter, enum tg_sync_outcome outcome) {
  struct tg_wait *wait = waiter->wait;
  wait->number = waiter->number;
  wait->outcome = outcome;
  settle(wait);
  tg_op_complete(&wait->op);
}

bool tg_waiter_serve_value(struct tg_waiter *waiter, lua_State *L) {
  struct tg_task *task = waiter->wait->op.task;
  if (!lua_checkstack(task->co, 1)) return false;
  lua_xmove(L, task->co, 1);
  task->nargs = 1;
  tg_waiter_serve(waiter, TG_SYNC_SERVED);
  return true;
}

void tg_waiter_push_value(lua_State *L, const struct tg_waiter *waiter) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, waiter->wait->value);
  if (!waiter->number) return;
  lua_rawgeti(L, -1, waiter->number);
  lua_remove(L, -2);
}

void tg_wait_time_out(struct tg_wait *wait) {
  wait->outcome = TG_SYNC_TIMEOUT;
  settle(wait);
  tg_op_complete(&wait->op);
}

void tg_wait_cancel(struct tg_op *op) {
  settle(TG_CONTAINER(op, struct tg_wait, op));
  tg_op_complete(op);
}

int tg_wait_finish(struct tg_op *op, lua_State *L) {
  struct tg_wait *wait = TG_CONTAINER(op, struct tg_wait, op);
  enum tg_sync_outcome outcome = wait->outcome;
  int number = wait->number, place = wait->place;
  free(wait);
  if (!L) return 0;
  if (outcome == TG_SYNC_PENDING) tg_op_throw_cancelled(L);
  if (outcome == TG_SYNC_REFUSED)
    tg_error_throw(L, "closed", "the channel was closed while the value waited to be received");
  if (outcome == TG_SYNC_TIMEOUT) lua_pushliteral(L, "timeout");
  if (number) {
    lua_pushinteger(L, number);
    lua_insert(L, 1);
  }
  if (place) {
    lua_pushinteger(L, place);
    lua_pushboolean(L, false);
  }
  if (outcome == TG_SYNC_ENDED) {
    lua_pushnil(L);
    lua_pushliteral(L, "closed");
  }
  return lua_gettop(L);
}

/* ---- waiting for one object ---- */

static int wait_for(lua_State *L, struct tg_sync *sync, enum tg_sync_side side,
                    const struct tg_op_kind *kind) {
  int value = LUA_NOREF;
  if (side == TG_SYNC_GIVE) {
    lua_pushvalue(L, 2);
    value = luaL_ref(L, LUA_REGISTRYINDEX);
  }
  struct tg_wait *wait = tg_wait_new(sync->vm, kind, 1, value);
  if (!wait) tg_error_throw(L, "out_of_memory", "%s: no memory", kind->name);
  tg_wait_join(wait, sync, side, 0);
  return tg_op_suspend(L, &wait->op);
}

int tg_sync_await(lua_State *L, struct tg_sync *sync, enum tg_sync_side side,
                  const struct tg_op_kind *kind) {
  tg_op_begin(L);
  if (sync->type->ready(sync, side)) return sync->type->take(L, sync, side, 1, 2);
  return wait_for(L, sync, side, kind);
}
