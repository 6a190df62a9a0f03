/* Scopes as Lua enters and leaves them: see nursery.h, and lua/tidegate/_core/scopes.lua, which
 * waits between the two. */
#include "script/nursery.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/check.h"
#include "loop/loop.h"
#include "script/child.h"
#include "script/error.h"
#include "script/task.h"
#include "script/vm.h"

/* Leaving takes more of the stack than entering: who has not that much would stay inside. */
#define ROOM_TO_LEAVE 96

/* ---- life ---- */

static void destroy(struct tg_nursery *nursery) {
  if (nursery->is_background) nursery->scope.vm->background_count--;
  tg_scope_deinit(&nursery->scope);
  free(nursery);
}

/* A top scope, of the application, may be empty while scopes that were given up inside it are not.
 */
static bool is_empty(const struct tg_scope *scope) {
  return scope->alive == 0 && scope->total == 0;
}

static void on_emptied(struct tg_scope *scope) {
  struct tg_nursery *nursery = TG_CONTAINER(scope, struct tg_nursery, scope);
  struct tg_op *waiter = nursery->waiter;
  nursery->waiter = NULL;
  if (waiter)
    tg_op_complete(waiter);
  else if (nursery->task)
    tg_task_nest_emptied(nursery->task);
  if (nursery->dropped && is_empty(scope)) destroy(nursery);
}

struct tg_nursery *tg_nursery_new(struct tg_vm *vm, struct tg_scope *parent) {
  struct tg_nursery *nursery = calloc(1, sizeof *nursery);
  if (!nursery) return NULL;
  tg_scope_init(&nursery->scope, vm, parent);
  nursery->scope.emptied = on_emptied;
  nursery->scope.is_nursery = true;
  return nursery;
}

void tg_nursery_end(struct tg_nursery *nursery, struct tg_task *task) {
  task->scope = task->home;
  tg_list_move(&task->home->failed, &nursery->scope.failed);
  destroy(nursery);
}

void tg_nursery_drop(struct tg_nursery *nursery) {
  nursery->dropped = true;
  if (is_empty(&nursery->scope)) destroy(nursery);
}

void tg_nursery_give_up(struct tg_nursery *nursery) {
  nursery->scope.guest = NULL;
  nursery->given_up = true;
  (void)!tg_scope_deadline(&nursery->scope, 0); /* taking one away cannot fail */
  tg_scope_cancel(&nursery->scope, "failed");
}

/* ---- the userdata ---- */

struct tg_nursery *tg_nursery_check(lua_State *L, int index) {
  struct tg_nursery **box = luaL_checkudata(L, index, TG_NURSERY_OBJECT);
  return *box;
}

/* The code that has entered it was cut short (by the end of its stack, say), and the task went on
 * inside of it: what it has begun since is none of this scope's. */
static void slip_out(struct tg_nursery *nursery) {
  struct tg_scope *scope = &nursery->scope;
  tg_scope_hand_over(scope);
  if (scope->guest->scope == scope) scope->guest->scope = scope->parent;
  tg_nursery_give_up(nursery);
}

static int l_gc(lua_State *L) {
  struct tg_nursery **box = lua_touserdata(L, 1);
  struct tg_nursery *nursery = *box;
  *box = NULL;
  if (!nursery) return 0;
  if (nursery->scope.guest) slip_out(nursery);
  tg_scope_cancel(&nursery->scope, "dropped");
  tg_nursery_drop(nursery);
  return 0;
}

static uint64_t nanoseconds(lua_State *L, int index) {
  lua_Number seconds = lua_tonumber(L, index);
  return seconds > 0 ? (uint64_t)(seconds * 1e9) : 0;
}

/* scope_enter(seconds|nil, grace|nil, fails_fast|nil) -> scope, entered by the running task: with a
 * deadline; as a shield; as one where the first failure cancels the others */
static int l_scope_enter(lua_State *L) {
  struct tg_vm *vm = tg_vm_of(L);
  struct tg_task *task = vm->running;
  if (!task) tg_error_throw(L, "no_task", "this call works in a handler or a task only");
  luaL_checkstack(L, ROOM_TO_LEAVE, "no room for a scope");
  uint64_t limit = nanoseconds(L, 1), grace = nanoseconds(L, 2);
  struct tg_nursery **box = lua_newuserdata(L, sizeof(struct tg_nursery *));  // .. box
  *box = NULL;
  luaL_getmetatable(L, TG_NURSERY_OBJECT);
  lua_setmetatable(L, -2);
  struct tg_nursery *nursery = *box = tg_nursery_new(vm, task->scope);
  if (!nursery) tg_error_throw(L, "out_of_memory", "no memory for a scope");
  nursery->fails_fast = lua_toboolean(L, 3);
  struct tg_scope *scope = &nursery->scope;
  bool timed = lua_type(L, 1) == LUA_TNUMBER;
  if (timed && tg_scope_deadline(scope, tg_loop_time(vm->loop) + limit))
    tg_error_throw(L, "out_of_memory", "no memory for a deadline");
  if (lua_type(L, 2) == LUA_TNUMBER) tg_scope_shield(scope, grace ? grace : 1);
  tg_scope_enter(scope, task);
  return 1;
}

/* scope_leave(scope) -> failures|nil, timed_out, called_off: the scope is empty, and its tasks have
 * ended; what failed in it is for the caller. */
static int l_scope_leave(lua_State *L) {
  struct tg_nursery *nursery = tg_nursery_check(L, 1);
  TG_CHECK(nursery && nursery->scope.guest);
  struct tg_scope *scope = &nursery->scope;
  struct tg_task *task = scope->guest;
  tg_task_unwind(task, scope); /* those whose code was cut short inside */
  tg_scope_leave(scope, task);
  tg_child_push_failures(L, scope);  // .. failures|nil
  bool outside = tg_task_cancelled(task);
  lua_pushboolean(L, scope->timed_out && !outside);
  lua_pushboolean(L, nursery->called_off && !outside);
  struct tg_nursery **box = lua_touserdata(L, 1);
  *box = NULL;
  destroy(nursery);
  return 3;
}

/* scope_cancel(scope, reason): for failures. */
static int l_scope_cancel(lua_State *L) {
  struct tg_nursery *nursery = tg_nursery_check(L, 1);
  if (nursery) tg_scope_cancel(&nursery->scope, luaL_optstring(L, 2, "cancelled"));
  return 0;
}

/* scope:cancel(reason): the user's. */
static int l_cancel(lua_State *L) {
  struct tg_nursery *nursery = tg_nursery_check(L, 1);
  if (!nursery) return 0;
  nursery->called_off = true;
  tg_scope_cancel(&nursery->scope, luaL_optstring(L, 2, "cancelled"));
  return 0;
}

/* scope_nest() -> alive: tasks that the running task has spawned and that have not ended; nil where
 * it has never spawned any */
static int l_scope_nest(lua_State *L) {
  struct tg_task *task = tg_vm_of(L)->running;
  if (!task || !task->nest) return 0;
  lua_pushinteger(L, (lua_Integer)task->nest->scope.alive);
  return 1;
}

/* nest_failures() -> what failed unseen among them; they are seen now */
static int l_nest_failures(lua_State *L) {
  struct tg_task *task = tg_vm_of(L)->running;
  if (!task || !task->nest) return 0;
  tg_child_push_failures(L, &task->nest->scope);
  return 1;
}

/* deadline() -> seconds left, nil without one */
static int l_deadline(lua_State *L) {
  struct tg_vm *vm = tg_vm_of(L);
  uint64_t due = vm->running ? tg_scope_due(vm->running->scope) : 0;
  uint64_t now = tg_loop_time(vm->loop);
  if (!due) {
    lua_pushnil(L);
    return 1;
  }
  lua_pushnumber(L, due > now ? (lua_Number)(due - now) / 1e9 : 0);
  return 1;
}

/* defers(create) -> list of the running task's tg.defer functions; nil where there is none */
static int l_defers(lua_State *L) {
  struct tg_task *task = tg_vm_of(L)->running;
  if (!task) tg_error_throw(L, "no_task", "tg.defer works in a handler or a task only");
  if (task->defers_ref == LUA_NOREF) {
    if (!lua_toboolean(L, 1)) return 0;
    lua_newtable(L);
    task->defers_ref = luaL_ref(L, LUA_REGISTRYINDEX);
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, task->defers_ref);
  return 1;
}

/* take_defers() -> the same list; it is the caller's to run now */
static int l_take_defers(lua_State *L) {
  struct tg_task *task = tg_vm_of(L)->running;
  if (!task || task->defers_ref == LUA_NOREF) return 0;
  lua_rawgeti(L, LUA_REGISTRYINDEX, task->defers_ref);
  luaL_unref(L, LUA_REGISTRYINDEX, task->defers_ref);
  task->defers_ref = LUA_NOREF;
  return 1;
}

/* at_end(run, unseen): run(list, ok, err) runs what was deferred; unseen(errors) makes one error of
 * what nobody has joined */
static int l_at_end(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  tg_vm_of(L)->ref_unseen_error = luaL_ref(L, LUA_REGISTRYINDEX);
  tg_vm_of(L)->ref_run_defers = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

/* atomic(delta): see tg_op_begin */
static int l_atomic(lua_State *L) {
  struct tg_task *task = tg_vm_of(L)->running;
  if (!task) tg_error_throw(L, "no_task", "tg.atomic works in a handler or a task only");
  task->atomic = (int16_t)(task->atomic + luaL_checkinteger(L, 1));
  return 0;
}

/* scope_mark() -> what the running task has entered; equal values, equal scopes */
static int l_scope_mark(lua_State *L) {
  struct tg_task *task = tg_vm_of(L)->running;
  lua_pushlightuserdata(L, task ? tg_task_entered(task) : NULL);
  return 1;
}

/* scope_unwind(mark) -> was there anything to leave: back to what scope_mark has told */
static int l_scope_unwind(lua_State *L) {
  struct tg_task *task = tg_vm_of(L)->running;
  lua_pushboolean(L, task && tg_task_unwind(task, lua_touserdata(L, 1)));
  return 1;
}

void tg_nursery_open(lua_State *L) {  // .. table
  static const luaL_Reg methods[] = {
      {"cancel", l_cancel}, {"spawn", tg_child_spawn_in}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"scope_enter", l_scope_enter},
                                       {"scope_leave", l_scope_leave},
                                       {"scope_cancel", l_scope_cancel},
                                       {"scope_nest", l_scope_nest},
                                       {"nest_failures", l_nest_failures},
                                       {"deadline", l_deadline},
                                       {"defers", l_defers},
                                       {"take_defers", l_take_defers},
                                       {"at_end", l_at_end},
                                       {"atomic", l_atomic},
                                       {"scope_mark", l_scope_mark},
                                       {"scope_unwind", l_scope_unwind},
                                       {NULL, NULL}};
  luaL_newmetatable(L, TG_NURSERY_OBJECT);  // .. table meta
  lua_pushcfunction(L, l_gc);
  lua_setfield(L, -2, "__gc");
  lua_newtable(L);  // .. table meta methods
  luaL_register(L, NULL, methods);
  lua_setfield(L, -2, "__index");  // .. table meta
  lua_pushliteral(L, "tg.scope");
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
  luaL_register(L, NULL, functions);
}
