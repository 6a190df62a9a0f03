/* The life of a child: spawned, ended, joined or reported. Its outcome lies in the environment
 * table of its userdata. */
#include "script/child.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/log_record.h"
#include "script/error.h"
#include "script/nursery.h"
#include "script/task.h"
#include "script/vm.h"

#define OBJECT "tg.task"

struct tg_child *tg_child_check(lua_State *L, int index) {
  return luaL_checkudata(L, index, OBJECT);
}

/* ---- failures that nobody has seen ---- */

/* Lets a child that was in a list of failures go. Pushes its error. */
static void take_failure(lua_State *L, struct tg_child *child) {  // .. error
  lua_rawgeti(L, LUA_REGISTRYINDEX, child->self_ref);             // .. child
  lua_getfenv(L, -1);                                             // .. child outcome
  lua_rawgeti(L, -1, 1);                                          // .. child outcome error
  lua_replace(L, -3);
  lua_pop(L, 1);
  tg_list_remove(&child->link);
  luaL_unref(L, LUA_REGISTRYINDEX, child->self_ref);
  child->self_ref = LUA_NOREF;
}

void tg_child_push_failures(lua_State *L, struct tg_scope *scope) {
  if (tg_list_empty(&scope->failed)) {
    lua_pushnil(L);
    return;
  }
  lua_newtable(L);  // .. list
  for (int n = 1; !tg_list_empty(&scope->failed); n++) {
    take_failure(L, TG_CONTAINER(scope->failed.next, struct tg_child, link));  // .. list error
    lua_rawseti(L, -2, n);
  }
}

struct report {
  struct tg_vm *vm;
  struct tg_child *child;
};

static int l_log(lua_State *L) {
  struct report *report = lua_touserdata(L, 1);
  const struct tg_child *child = report->child;
  struct tg_log *log = report->vm->host->log;
  const char *place = child->place, *what = child->what;
  take_failure(L, report->child);  // report error
  if (!log || !tg_log_enabled(log, TG_LOG_ERROR)) return 0;
  char text[320];
  snprintf(text, sizeof text,
           what ? "%s failed" : "a task spawned at %s failed and was never joined",
           what ? what : place);
  struct tg_error_view view;
  struct tg_log_record record;
  tg_error_view_init(&view, L, L, -1);
  tg_log_record_begin(&record, log, TG_LOG_ERROR, tg_slice_cstr(text));
  tg_log_record_text(&record, "error", tg_buffer_slice(&view.message));
  if (view.code[0]) tg_log_record_text(&record, "code", tg_slice_cstr(view.code));
  if (view.place[0]) tg_log_record_text(&record, "place", tg_slice_cstr(view.place));
  if (what) tg_log_record_text(&record, "spawned", tg_slice_cstr(place));
  if (view.traceback.len)
    tg_log_record_text(&record, "traceback", tg_buffer_slice(&view.traceback));
  tg_log_record_end(&record, log);
  tg_error_view_deinit(&view);
  return 0;
}

static void log_failure(struct tg_vm *vm, struct tg_child *child) {
  struct report report = {vm, child};
  if (lua_cpcall(vm->L, l_log, &report) == 0) return;
  lua_pop(vm->L, 1);
  tg_list_remove(&child->link);
}

void tg_child_log_failures(struct tg_scope *scope) {
  while (!tg_list_empty(&scope->failed))
    log_failure(scope->vm, TG_CONTAINER(scope->failed.next, struct tg_child, link));
}

/* ---- the end of its task ---- */

struct ending {
  struct tg_child *child;
  struct tg_task *task;
  int count;
};

static int l_keep_outcome(lua_State *L) {
  struct ending *ending = lua_touserdata(L, 1);
  struct tg_child *child = ending->child;
  lua_State *co = ending->task->co;
  lua_rawgeti(L, LUA_REGISTRYINDEX, child->self_ref);  // .. child
  lua_createtable(L, ending->count, 1);                // .. child outcome
  if (child->state == TG_CHILD_DONE) {
    luaL_checkstack(L, ending->count + 2, "too many results");
    lua_xmove(co, L, ending->count);
    for (int i = ending->count; i >= 1; i--) lua_rawseti(L, 3, i);
    lua_pushinteger(L, ending->count);
    lua_setfield(L, 3, "n");
  } else {
    tg_error_push_failure(L, co, child->place);  // .. child outcome error
    if (tg_error_has_code(L, -1, "cancelled")) child->state = TG_CHILD_CANCELLED;
    lua_rawseti(L, -2, 1);
  }
  lua_setfenv(L, 2);
  return 0;
}

/* What could not be kept for want of memory: the error value that Lua has made of that. */
static int l_keep_loss(lua_State *L) {
  struct ending *ending = lua_touserdata(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, ending->child->self_ref);  // .. child
  lua_createtable(L, 1, 0);
  tg_error_push(L, "out_of_memory", "no memory was left to keep what the task has returned");
  lua_rawseti(L, -2, 1);
  lua_setfenv(L, 2);
  return 0;
}

static void keep_outcome(struct ending *ending) {
  lua_State *L = ending->task->vm->L;
  if (lua_cpcall(L, l_keep_outcome, ending) == 0) return;
  lua_pop(L, 1);
  ending->child->state = TG_CHILD_FAILED;
  tg_vm_relieve(ending->task->vm);
  if (lua_cpcall(L, l_keep_loss, ending) != 0) lua_pop(L, 1);
}

static void let_go(lua_State *L, struct tg_child *child) {
  luaL_unref(L, LUA_REGISTRYINDEX, child->self_ref);
  child->self_ref = LUA_NOREF;
}

static void on_ended(struct tg_task *task, tg_status status, int nresults) {
  struct tg_child *child = task->owner;
  struct ending ending = {child, task, nresults};
  child->task = NULL;
  child->state = status ? TG_CHILD_FAILED : TG_CHILD_DONE;
  if (status || nresults) keep_outcome(&ending);
  bool seen = !tg_list_empty(&child->link);
  struct tg_list *link;
  while ((link = tg_list_take_first(&child->link)))
    tg_op_complete(&TG_CONTAINER(link, struct tg_child_joiner, link)->op);
  if (child->state != TG_CHILD_FAILED || (seen && !child->is_fatal)) {
    let_go(task->vm->L, child);
    return;
  }
  tg_list_append(&task->home->failed, &child->link);
  if (child->is_background)
    log_failure(task->vm, child);
  else if (child->is_fatal)
    tg_scope_cancel(task->home, "failed");
}

const char *tg_child_place(const struct tg_task *task) {
  return task->ended == on_ended ? ((const struct tg_child *)task->owner)->place : NULL;
}

/* ---- spawning ---- */

/* "routes/x.lua:12" of the caller, as a string that the state keeps for ever: there are as many as
 * there are places in the code. */
static const char *keep_text(lua_State *L) {  // .. text -> ..
  const char *text = lua_tostring(L, -1);
  lua_getfield(L, LUA_REGISTRYINDEX, OBJECT ".kept");  // .. text kept
  lua_insert(L, -2);                                   // .. kept text
  lua_pushboolean(L, true);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  return text;
}

static const char *keep_place(lua_State *L) {
  tg_error_push_place(L, 1);
  return keep_text(L);
}

static void check_function(lua_State *L, int index, const char *name) {
  if (lua_type(L, index) != LUA_TFUNCTION)
    tg_error_throw(L, "not_function",
                   "%s: got %s; did you call it? pass f and its arguments, or function() return "
                   "f(x) end",
                   name, luaL_typename(L, index));
}

/* fn args.. from `first` on -> child fn args..: everything that may throw, before there is a task,
 * which nothing may keep from running any more. */
static struct tg_child *new_child(lua_State *L, int first) {
  const char *place = keep_place(L);
  struct tg_child *child = lua_newuserdata(L, sizeof *child);  // .. child
  *child = (struct tg_child){.self_ref = LUA_NOREF, .place = place};
  tg_list_init(&child->link);
  luaL_getmetatable(L, OBJECT);
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  child->self_ref = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_insert(L, first);
  return child;
}

/* child fn args.. -> child */
static bool give_task(lua_State *L, struct tg_child *child, struct tg_scope *scope, int first) {
  int count = lua_gettop(L) - first - 1;
  struct tg_task *task = tg_task_new(scope->vm, scope, count);
  if (!task) {
    let_go(L, child);
    return false;
  }
  child->task = task;
  task->owner = child;
  task->ended = on_ended;
  lua_xmove(L, task->co, count + 1);
  task->nargs = count;
  return true;
}

__attribute__((noreturn)) static void refuse(lua_State *L) {
  tg_error_throw(L, "too_many_tasks", "no memory for a task, or limits.tasks = %llu are alive",
                 (unsigned long long)tg_vm_of(L)->settings->limits_tasks);
}

static int spawn(lua_State *L, struct tg_nursery *nursery, int first) {
  struct tg_child *child = new_child(L, first);
  child->is_fatal = nursery->fails_fast && first > 1;
  if (!give_task(L, child, &nursery->scope, first)) refuse(L);
  tg_task_start(child->task, child->task->nargs);
  return 1;
}

/* task_spawn(fn, ...) -> child, of the scope that the running task is in */
static int l_task_spawn(lua_State *L) {
  struct tg_task *task = tg_vm_of(L)->running;
  if (!task) tg_error_throw(L, "no_task", "tg.spawn works in a handler or a task only");
  check_function(L, 1, "tg.spawn");
  struct tg_nursery *nursery = tg_task_nursery(task);
  if (!nursery) tg_error_throw(L, "out_of_memory", "tg.spawn: no memory");
  return spawn(L, nursery, 1);
}

int tg_child_spawn_in(lua_State *L) {
  struct tg_nursery *nursery = tg_nursery_check(L, 1);
  check_function(L, 2, "scope:spawn");
  if (!nursery || nursery->given_up || !nursery->scope.parent)
    tg_error_throw(L, "closed", "scope:spawn: the scope has ended");
  return spawn(L, nursery, 2);
}

/* task_background(what|nil, periodic, fn, ...) -> child, of the application; `what` is its name in
 * the log. A periodic one ends with its generation at once. */
static int l_task_background(lua_State *L) {
  struct tg_vm *vm = tg_vm_of(L);
  const char *what = NULL;
  if (lua_type(L, 1) == LUA_TSTRING) {
    lua_pushvalue(L, 1);
    what = keep_text(L);
  }
  bool periodic = lua_toboolean(L, 2);
  check_function(L, 3, "tg.background");
  if (vm->background_count >= vm->settings->limits_tasks) refuse(L);
  struct tg_child *child = new_child(L, 3);
  child->is_background = true;
  child->what = what;
  struct tg_nursery *nursery = tg_nursery_new(vm, vm->root);
  if (!nursery) let_go(L, child);
  if (!nursery) tg_error_throw(L, "out_of_memory", "tg.background: no memory");
  nursery->is_periodic = periodic;
  nursery->is_background = true;
  vm->background_count++;
  if (vm->retired) tg_vm_end_background(vm, nursery);
  bool given = give_task(L, child, &nursery->scope, 3);
  tg_nursery_drop(nursery); /* its last task frees it */
  if (!given) refuse(L);
  tg_vm_start_serving(vm, child->task);
  return 1;
}

/* ---- the object ---- */

/* task_outcome(child) -> what it has returned; or raises its error. It has ended. */
static int l_task_outcome(lua_State *L) {
  struct tg_child *child = tg_child_check(L, 1);
  TG_CHECK(!child->task);
  lua_settop(L, 1);
  lua_getfenv(L, 1);  // child outcome
  if (child->state == TG_CHILD_DONE) {
    lua_getfield(L, 2, "n");
    int count = lua_isnumber(L, 3) ? (int)lua_tointeger(L, 3) : 0;
    luaL_checkstack(L, count, "too many results");
    for (int i = 1; i <= count; i++) lua_rawgeti(L, 2, i);
    return count;
  }
  lua_rawgeti(L, 2, 1);  // child outcome error
  if (!tg_list_empty(&child->link) && !child->is_fatal) {
    tg_list_remove(&child->link);
    let_go(L, child);
  }
  return lua_error(L);
}

static int l_cancel(lua_State *L) {
  struct tg_child *child = tg_child_check(L, 1);
  const char *reason = luaL_optstring(L, 2, "cancelled");
  if (child->task) tg_task_cancel(child->task, reason);
  return 0;
}

static int l_index(lua_State *L) {
  static const char *const names[] = {"running", "done", "failed", "cancelled"};
  struct tg_child *child = tg_child_check(L, 1);
  const char *key = lua_tostring(L, 2);
  lua_pushvalue(L, 2);
  lua_rawget(L, lua_upvalueindex(1));  // child key method|nil
  if (!lua_isnil(L, -1) || !key) return 1;
  if (strcmp(key, "status") == 0) {
    lua_pushstring(L, names[child->state]);
    return 1;
  }
  if (strcmp(key, "place") == 0) {
    lua_pushstring(L, child->place);
    return 1;
  }
  return 1;
}

static int l_tostring(lua_State *L) {
  lua_pushfstring(L, "task spawned at %s", tg_child_check(L, 1)->place);
  return 1;
}

void tg_child_open(lua_State *L) {  // .. table
  static const luaL_Reg functions[] = {{"task_spawn", l_task_spawn},
                                       {"task_background", l_task_background},
                                       {"task_outcome", l_task_outcome},
                                       {NULL, NULL}};
  lua_newtable(L);
  lua_setfield(L, LUA_REGISTRYINDEX, OBJECT ".kept");
  lua_newtable(L);  // .. table methods
  lua_pushcfunction(L, l_cancel);
  lua_setfield(L, -2, "cancel");
  luaL_newmetatable(L, OBJECT);  // .. table methods meta
  lua_pushvalue(L, -2);
  lua_pushcclosure(L, l_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, l_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pushliteral(L, OBJECT);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);                        // .. table methods
  lua_setfield(L, -2, "task_methods");  // .. table
  luaL_register(L, NULL, functions);
}
