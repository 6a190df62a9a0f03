/* The mechanics of op.h: where a task may suspend, and how the value of a completed op reaches it.
 */
#include "script/op.h"

#include <lauxlib.h>
#include <string.h>

#include "base/check.h"
#include "script/error.h"
#include "script/task.h"
#include "script/trace.h"
#include "script/vm.h"

/* Pushes "table.sort" when the function at the top is that one; the name by which it was called
 * says nothing, because it may have been called by another, or by none. */
static bool push_library_name(lua_State *L) {  // .. function
  static const char *const libraries[] = {"table", "string", "os", "io", "debug", "_G"};
  int function = lua_gettop(L);
  for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++) {
    lua_getglobal(L, libraries[i]);  // .. function library
    for (lua_pushnil(L); lua_istable(L, function + 1) && lua_next(L, function + 1); lua_pop(L, 1)) {
      if (!lua_rawequal(L, -1, function) || lua_type(L, -2) != LUA_TSTRING) continue;
      bool global = strcmp(libraries[i], "_G") == 0;
      lua_pushfstring(L, "%s%s%s", global ? "" : libraries[i], global ? "" : ".",
                      lua_tostring(L, -2));  // .. function library key value name
      lua_replace(L, function);
      lua_settop(L, function);  // .. name
      return true;
    }
    lua_settop(L, function);
  }
  return false;
}

/* Name of the C function nearest to the top of the stack that cannot be suspended in: "table.sort",
 * "string.gsub". The awaitable itself, at level 0, does not count; pcall and its kin can. */
static const char *blocking_function(lua_State *L) {
  lua_Debug ar;
  luaL_checkstack(L, 8, NULL);
  for (int level = 1; lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "Snf", &ar);  // .. function
    bool is_c = ar.what && strcmp(ar.what, "C") == 0;
    if (is_c && push_library_name(L)) {
      const char *name = lua_tostring(L, -1);  // .. name
      if (strcmp(name, "pcall") != 0 && strcmp(name, "xpcall") != 0) return name;
    } else if (is_c && ar.name) {
      return ar.name;
    }
    lua_pop(L, 1);
  }
  return "a function of C";
}

struct tg_task *tg_op_begin(lua_State *L) {
  struct tg_vm *vm = tg_vm_of(L);
  struct tg_task *task = vm->running;
  if (!task)
    tg_error_throw(L, "no_task", "this call may suspend, and works in a handler or a task only");
  if (!lua_isyieldable(L))
    tg_error_throw(L, "c_boundary",
                   "cannot suspend inside %s, which is a C function that calls back",
                   blocking_function(L));
  if (TG_UNLIKELY(task->atomic))
    tg_error_throw(L, "yield_in_atomic", "this call may suspend, and stands inside tg.atomic");
  if (tg_task_cancelled(task)) tg_op_throw_cancelled(L);
  return task;
}

int tg_op_suspend(lua_State *L, struct tg_op *op) {
  struct tg_task *task = tg_vm_of(L)->running;
  TG_CHECK(task && !task->op && !task->finished);
  if (op->complete) {
    task->finished = op;
    return 0;
  }
  if (TG_UNLIKELY(task->vm->traced)) tg_trace_suspend(L, op);
  op->task = task;
  task->op = op;
  lua_pushlightuserdata(L, (void *)&tg_task_mark);  // mark
  return lua_yield(L, 1);
}

int tg_op_yield(lua_State *L) {
  struct tg_task *task = tg_op_begin(L);
  if (TG_UNLIKELY(task->vm->traced)) tg_trace_suspend(L, NULL);
  tg_task_wake(task);
  lua_pushlightuserdata(L, (void *)&tg_task_mark);  // mark
  return lua_yield(L, 1);
}

void tg_op_complete(struct tg_op *op) {
  TG_CHECK(!op->complete);
  op->complete = true;
  if (op->abandoned)
    op->kind->finish(op, NULL);
  else if (op->task)
    tg_task_wake(op->task);
}

void tg_op_abandon(struct tg_task *task) {
  struct tg_op *op = task->op ? task->op : task->finished;
  task->op = task->finished = NULL;
  tg_task_stay(task);
  if (!op) return;
  op->abandoned = true;
  if (op->complete) {
    op->kind->finish(op, NULL);
  } else if (!op->cancelled) {
    op->cancelled = true;
    op->kind->cancel(op);
  }
}

void tg_op_throw_cancelled(lua_State *L) {
  struct tg_task *task = tg_vm_of(L)->running;
  const char *reason = task ? tg_task_reason(task) : "cancelled";
  tg_error_throw(L, "cancelled", "the task was cancelled (%s)", reason);
}

int tg_op_take(lua_State *L) {
  struct tg_task *task = tg_vm_of(L)->running;
  struct tg_op *op = task ? task->finished : NULL;
  if (!op) return lua_gettop(L);
  task->finished = NULL;
  if (TG_UNLIKELY(task->vm->traced)) tg_trace_resume(task, op);
  return op->kind->finish(op, L);
}
