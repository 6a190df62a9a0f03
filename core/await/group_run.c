/* Many functions at the same time: what gather, settle, race, any and map are made of.
 *
 * The children run in a scope of the group, each in a task. Results and failures go into two tables
 * that the registry holds; what they mean is decided in lua/tidegate/_core/groups.lua. */
#include <lauxlib.h>
#include <stdlib.h>

#include "base/check.h"
#include "script/error.h"
#include "script/module.h"
#include "script/task.h"

/// Runs functions as tasks of one scope until all have ended.
TG_AWAITABLE(group_run)

enum { STOP_ON_SUCCESS = 1, STOP_ON_FAILURE = 2, UNPACK = 4 };

/* A longer list is refused, whatever its `n` says. */
#define LIST_MAX 100000000

struct group {
  struct tg_op op;
  struct tg_scope scope;
  int source_ref;   /* list of functions, or of items for `fn` */
  int fn_ref;       /* LUA_NOREF: the source is the functions */
  int results_ref;  /* results[i]: the first value that the i-th has returned */
  int failures_ref; /* list of {index=, err=} in order of time; LUA_NOREF while there are none */
  unsigned count, next, first; /* `first`: who stopped the others, 1-based */
  int mode;                    /* the constants above */
  bool is_list;                /* the source was given as a table */
  bool starting, stopped, is_lost;
};

/* ---- the end of a child ---- */

static void stop(struct group *group, unsigned index) {
  if (group->stopped) return;
  group->stopped = true;
  group->first = index;
  tg_scope_cancel(&group->scope, "cancelled");
}

/* The table has room for every index: this allocates nothing. */
static void keep_result(struct group *group, struct tg_task *task, int count) {
  lua_State *co = task->co;
  if (!count) return;
  lua_settop(co, lua_gettop(co) - count + 1);              // .. value
  lua_rawgeti(co, LUA_REGISTRYINDEX, group->results_ref);  // .. value results
  lua_insert(co, -2);                                      // .. results value
  lua_rawseti(co, -2, (int)task->tag);
}

struct failing {
  struct group *group;
  struct tg_task *task;
};

static int l_keep_failure(lua_State *L) {
  struct failing *failing = lua_touserdata(L, 1);
  struct group *group = failing->group;
  if (failing->task)
    tg_error_push_failure(L, failing->task->co, NULL);  // .. error
  else
    tg_error_push(L, "too_many_tasks", "no memory for a task, or limits.tasks = %llu are alive",
                  (unsigned long long)group->scope.vm->settings->limits_tasks);
  /* whoever was cancelled because of another one has nothing to say */
  if (group->stopped && tg_error_has_code(L, -1, "cancelled")) return 0;
  if (group->failures_ref == LUA_NOREF) {
    lua_newtable(L);
    group->failures_ref = luaL_ref(L, LUA_REGISTRYINDEX);
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, group->failures_ref);  // .. error failures
  lua_createtable(L, 0, 2);                                // .. error failures row
  lua_pushinteger(L, failing->task ? (lua_Integer)failing->task->tag : (lua_Integer)group->next);
  lua_setfield(L, -2, "index");
  lua_pushvalue(L, -3);
  lua_setfield(L, -2, "err");
  lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
  return 0;
}

static void keep_failure(struct group *group, struct tg_task *task) {
  struct tg_vm *vm = group->scope.vm;
  struct failing failing = {group, task};
  if (lua_cpcall(vm->L, l_keep_failure, &failing) == 0) return;
  lua_pop(vm->L, 1);
  group->is_lost = true; /* it must not pass for one that ended well */
}

static bool start_next(struct group *group, bool now);

static bool wants_more(const struct group *group) {
  return group->next < group->count && !group->scope.cancelled;
}

static void on_ended(struct tg_task *task, tg_status status, int nresults) {
  struct group *group = task->owner;
  if (status)
    keep_failure(group, task);
  else
    keep_result(group, task, nresults);
  if (group->mode & (status ? STOP_ON_FAILURE : STOP_ON_SUCCESS)) stop(group, task->tag);
  while (!group->starting && wants_more(group) && !start_next(group, false)) {
  }
}

static void on_emptied(struct tg_scope *scope) {
  struct group *group = scope->owner;
  if (!group->starting) tg_op_complete(&group->op);
}

/* ---- the start ---- */

/* False where no task could be made, which is a failure of that one. */
static bool start_next(struct group *group, bool now) {
  unsigned index = ++group->next;
  struct tg_task *task = tg_task_new(group->scope.vm, &group->scope, 2);
  if (!task) {
    keep_failure(group, NULL);
    if (group->mode & STOP_ON_FAILURE) stop(group, index);
    return false;
  }
  lua_State *co = task->co;
  int count = 0;
  task->owner = group;
  task->ended = on_ended;
  task->tag = index;
  if (group->fn_ref != LUA_NOREF) {
    lua_rawgeti(co, LUA_REGISTRYINDEX, group->fn_ref);      // fn
    lua_rawgeti(co, LUA_REGISTRYINDEX, group->source_ref);  // fn source
    lua_rawgeti(co, -1, (int)index);                        // fn source item
    lua_remove(co, -2);                                     // fn item
    lua_pushinteger(co, (lua_Integer)index);                // fn item index
    count = 2;
  } else {
    lua_rawgeti(co, LUA_REGISTRYINDEX, group->source_ref);  // source
    lua_rawgeti(co, -1, (int)index);                        // source fn
    lua_remove(co, -2);                                     // fn
  }
  if (now)
    tg_task_run_now(task, count);
  else
    tg_task_start(task, count);
  return true;
}

/* ---- the op ---- */

static void cancel(struct tg_op *op) {
  struct group *group = TG_CONTAINER(op, struct group, op);
  tg_scope_cancel(&group->scope, tg_task_reason(op->task));
}

struct outcome {
  int results_ref, failures_ref;
  unsigned first, count;
  bool is_list, unpacked, is_lost;
  bool is_cut; /* cancelled from outside before all were begun */
};

static int push_outcome(lua_State *L, const struct outcome *outcome) {
  if (outcome->failures_ref != LUA_NOREF)
    lua_rawgeti(L, LUA_REGISTRYINDEX, outcome->failures_ref);
  else
    lua_pushnil(L);
  lua_pushinteger(L, (lua_Integer)outcome->first);
  lua_pushinteger(L, (lua_Integer)outcome->count);
  lua_pushboolean(L, outcome->is_list);
  lua_rawgeti(L, LUA_REGISTRYINDEX, outcome->results_ref);  // failures first count is_list results
  luaL_unref(L, LUA_REGISTRYINDEX, outcome->results_ref);
  luaL_unref(L, LUA_REGISTRYINDEX, outcome->failures_ref);
  if (outcome->is_lost)
    tg_error_throw(L, "task_lost", "a task ended without a result: no memory was left to keep it");
  if (outcome->is_cut) tg_op_throw_cancelled(L);
  if (!outcome->unpacked) return 5;
  int results = lua_gettop(L), count = (int)outcome->count;
  luaL_checkstack(L, count + 1, "too many results");
  for (int i = 1; i <= count; i++) lua_rawgeti(L, results, i);
  lua_remove(L, results);
  return 4 + count;
}

static int finish(struct tg_op *op, lua_State *L) {
  struct group *group = TG_CONTAINER(op, struct group, op);
  lua_State *any = group->scope.vm->L;
  struct outcome outcome = {
      .results_ref = group->results_ref,
      .failures_ref = group->failures_ref,
      .first = group->first,
      .count = group->count,
      .is_list = group->is_list,
      .unpacked = (group->mode & UNPACK) && group->failures_ref == LUA_NOREF,
      .is_lost = group->is_lost,
      .is_cut = group->next < group->count && !group->stopped,
  };
  tg_scope_deinit(&group->scope);
  luaL_unref(any, LUA_REGISTRYINDEX, group->source_ref);
  if (group->fn_ref != LUA_NOREF) luaL_unref(any, LUA_REGISTRYINDEX, group->fn_ref);
  free(group);
  if (L) return push_outcome(L, &outcome);
  luaL_unref(any, LUA_REGISTRYINDEX, outcome.results_ref);
  luaL_unref(any, LUA_REGISTRYINDEX, outcome.failures_ref);
  return 0;
}

static const struct tg_op_kind kind = {.name = "tg.gather", .cancel = cancel, .finish = finish};

static void check_functions(lua_State *L, const char *name, int source, unsigned count) {
  for (unsigned i = 1; i <= count; i++) {
    lua_rawgeti(L, source, (int)i);
    if (lua_type(L, -1) != LUA_TFUNCTION)
      tg_error_throw(L, "not_function",
                     "%s: got %s at arg %u; did you call it? pass f, or function() return f(x) end",
                     name, luaL_typename(L, -1), i);
    lua_pop(L, 1);
  }
}

/* The length of the list at index 5: what its `n` says, where it has one. */
static unsigned length(lua_State *L) {
  lua_getfield(L, 5, "n");
  lua_Number count = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
  lua_pop(L, 1);
  if (!(count >= 0)) count = (lua_Number)lua_objlen(L, 5);
  if (count > LIST_MAX)
    tg_error_misuse(L, "%s: a list of at most %d expected, got one of %g", lua_tostring(L, 1),
                    LIST_MAX, count);
  return (unsigned)count;
}

/* The list at index 5, or one made of everything from there on: the table is at index 5 then.
 * Returns how long it is. */
static unsigned make_source(lua_State *L, bool is_list) {
  if (!is_list) {
    int count = lua_gettop(L) - 4;
    lua_createtable(L, count, 0);
    lua_insert(L, 5);
    for (int i = count; i >= 1; i--) lua_rawseti(L, 5, i);
    return (unsigned)count;
  }
  lua_settop(L, 5);
  return length(L);
}

/* name mode fn limit source -> name mode fn limit. The references come first, because making one
 * may throw. */
static struct group *new_group(lua_State *L, struct tg_task *task, unsigned count) {
  bool mapped = lua_type(L, 3) == LUA_TFUNCTION;
  lua_createtable(L, (int)count, 0);             // .. source results
  int results = luaL_ref(L, LUA_REGISTRYINDEX);  // .. source
  int source = luaL_ref(L, LUA_REGISTRYINDEX);   // ..
  if (mapped) lua_pushvalue(L, 3);
  int fn = mapped ? luaL_ref(L, LUA_REGISTRYINDEX) : LUA_NOREF;
  struct group *group = calloc(1, sizeof *group);
  if (!group) {
    luaL_unref(L, LUA_REGISTRYINDEX, results);
    luaL_unref(L, LUA_REGISTRYINDEX, source);
    luaL_unref(L, LUA_REGISTRYINDEX, fn);
    tg_error_throw(L, "out_of_memory", "%s: no memory", lua_tostring(L, 1));
  }
  tg_op_init(&group->op, &kind);
  tg_scope_init(&group->scope, task->vm, task->scope);
  group->scope.emptied = on_emptied;
  group->scope.owner = group;
  group->count = count;
  group->mode = (int)lua_tointeger(L, 2);
  group->failures_ref = LUA_NOREF;
  group->results_ref = results;
  group->source_ref = source;
  group->fn_ref = fn;
  return group;
}

/* group_run(name, mode, fn|nil, limit|nil, list or functions..) -> failures|nil, first, count,
 * is_list, results; with UNPACK and no failure: .., values.. */
int tg_await_group_run(lua_State *L) {
  bool is_list = lua_type(L, 5) == LUA_TTABLE, mapped = lua_type(L, 3) == LUA_TFUNCTION;
  unsigned count = make_source(L, is_list);
  if (!mapped) check_functions(L, lua_tostring(L, 1), 5, count);
  struct tg_task *task = tg_op_begin(L);
  struct group *group = new_group(L, task, count);
  group->is_list = is_list;
  lua_Number most = lua_type(L, 4) == LUA_TNUMBER ? lua_tonumber(L, 4) : count;
  unsigned limit = most < count ? (unsigned)most : count;
  group->starting = true;
  while (group->next < limit && group->next < count && (!mapped || !group->stopped))
    start_next(group, true);
  /* those that have ended meanwhile have left room for more */
  while (!group->scope.alive && wants_more(group)) start_next(group, true);
  group->starting = false;
  if (!group->scope.alive && !group->op.complete) tg_op_complete(&group->op);
  return tg_op_suspend(L, &group->op);
}
