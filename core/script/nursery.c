/* Child tasks made by Lua code: see nursery.h. Results travel in Lua; here is only who runs where.
 */
#include "script/nursery.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/check.h"
#include "script/error.h"
#include "script/vm.h"

static void on_emptied(struct tg_scope *scope) {
  struct tg_nursery *nursery = TG_CONTAINER(scope, struct tg_nursery, scope);
  struct tg_op *waiter = nursery->waiter;
  nursery->waiter = NULL;
  if (nursery->dropped) {
    tg_scope_deinit(scope);
    free(nursery);
  } else if (waiter) {
    tg_op_complete(waiter);
  }
}

struct tg_nursery *tg_nursery_check(lua_State *L, int index) {
  struct tg_nursery **box = luaL_checkudata(L, index, TG_NURSERY_OBJECT);
  return *box;
}

/* scope_new() -> nursery, inside the scope of the running task */
static int l_scope_new(lua_State *L) {
  struct tg_vm *vm = tg_vm_of(L);
  if (!vm->running)
    tg_error_throw(L, "no_task", "tasks can be started from a handler or a task only");
  struct tg_nursery **box = lua_newuserdata(L, sizeof(struct tg_nursery *));  // .. box
  *box = NULL;
  luaL_getmetatable(L, TG_NURSERY_OBJECT);
  lua_setmetatable(L, -2);
  *box = calloc(1, sizeof **box);
  if (!*box) tg_error_throw(L, "out_of_memory", "no memory for a scope");
  tg_scope_init(&(*box)->scope, vm, vm->running->scope);
  (*box)->scope.emptied = on_emptied;
  return 1;
}

/* From __gc, and after waiting: the scope ends when its tasks have. */
static void drop(struct tg_nursery *nursery) {
  if (nursery->scope.alive == 0) {
    tg_scope_deinit(&nursery->scope);
    free(nursery);
    return;
  }
  nursery->dropped = true;
  tg_scope_cancel(&nursery->scope, "dropped");
}

static int l_gc(lua_State *L) {
  struct tg_nursery **box = lua_touserdata(L, 1);
  struct tg_nursery *nursery = *box;
  *box = NULL;
  if (nursery) drop(nursery);
  return 0;
}

static struct tg_task *new_task(lua_State *L, int *nargs) {  // nursery fn args..
  struct tg_nursery *nursery = tg_nursery_check(L, 1);
  if (lua_type(L, 2) != LUA_TFUNCTION)
    tg_error_throw(L, "not_function",
                   "got %s; did you call it? pass f, or function() return f(x) end",
                   luaL_typename(L, 2));
  if (!nursery || !nursery->scope.parent) tg_error_throw(L, "closed", "the scope has ended");
  struct tg_task *task = tg_task_new(nursery->scope.vm, &nursery->scope);
  if (!task)
    tg_error_throw(L, "too_many_tasks", "this request has limits.tasks = %llu tasks already",
                   (unsigned long long)nursery->scope.vm->host->settings->limits_tasks);
  *nargs = lua_gettop(L) - 2;
  return task;
}

/* scope_spawn(nursery, fn, ...): begins at the parent's next suspension, first in, first out */
static int l_scope_spawn(lua_State *L) {
  int nargs;
  struct tg_task *task = new_task(L, &nargs);
  luaL_checkstack(task->co, nargs + 1, "too many arguments");
  lua_xmove(L, task->co, nargs + 1);
  tg_task_start(task, nargs);
  return 0;
}

/* scope_run(nursery, fn, ...): runs to its first suspension now */
static int l_scope_run(lua_State *L) {
  int nargs;
  struct tg_task *task = new_task(L, &nargs);
  luaL_checkstack(task->co, nargs + 1, "too many arguments");
  lua_xmove(L, task->co, nargs + 1);
  tg_task_run_now(task, nargs);
  return 0;
}

static int l_scope_cancel(lua_State *L) {
  struct tg_nursery *nursery = tg_nursery_check(L, 1);
  if (nursery) tg_scope_cancel(&nursery->scope, luaL_optstring(L, 2, "cancelled"));
  return 0;
}

static int l_scope_alive(lua_State *L) {
  struct tg_nursery *nursery = tg_nursery_check(L, 1);
  lua_pushinteger(L, nursery ? (lua_Integer)nursery->scope.alive : 0);
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

void tg_nursery_open(lua_State *L) {  // .. table
  static const luaL_Reg functions[] = {{"scope_new", l_scope_new},
                                       {"scope_spawn", l_scope_spawn},
                                       {"scope_run", l_scope_run},
                                       {"scope_cancel", l_scope_cancel},
                                       {"scope_alive", l_scope_alive},
                                       {"defers", l_defers},
                                       {NULL, NULL}};
  luaL_newmetatable(L, TG_NURSERY_OBJECT);  // .. table meta
  lua_pushcfunction(L, l_gc);
  lua_setfield(L, -2, "__gc");
  lua_pushliteral(L, "tg.scope");
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
  luaL_register(L, NULL, functions);
}
