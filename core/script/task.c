/* The scheduler: the only lua_resume of the program, and how a task ends.
 *
 * A task's coroutine is used again when it has ended well: its Lua stack is empty then, and making
 * a new one for every request would cost more than most handlers do. */
#include "script/task.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "script/child.h"
#include "script/error.h"
#include "script/mutex.h"
#include "script/nursery.h"
#include "script/place.h"
#include "script/trace.h"
#include "script/watch.h"

#define IDLE_MAX 128u
/* Steps inside of each other: each takes room on the C stack, and so does what they resume. */
#define NESTED_MAX 32
/* Values that a new coroutine has room for without asking. */
#define ROOM_SURE 16

const char tg_task_mark = 0;

/* ---- cancellation ---- */

void tg_task_interrupt(struct tg_task *task) {
  struct tg_op *op = task->op;
  if (!op || op->complete || op->cancelled || !tg_task_cancelled(task)) return;
  op->cancelled = true;
  op->kind->cancel(op);
}

const char *tg_task_reason(const struct tg_task *task) {
  if (task->scope->cancelled) return task->scope->reason;
  return task->cancelled ? task->cancelled : "cancelled";
}

static struct tg_scope *outermost(const struct tg_task *task) {
  struct tg_scope *scope = task->scope;
  while (scope != task->home && scope->parent != task->home) scope = scope->parent;
  return scope;
}

void tg_task_cancel(struct tg_task *task, const char *reason) {
  while (task->runner) task = task->runner;
  if (task->cancelled) return;
  char *copy = strdup(reason);
  struct tg_scope *entered = outermost(task);
  if (!copy) { /* then with everybody: what is asked to end must end */
    tg_scope_cancel(entered, reason);
    return;
  }
  task->cancelled = copy;
  if (entered != task->home) tg_scope_cancel_around(entered, reason);
  tg_task_interrupt(task);
}

/* ---- making tasks ---- */

static void on_job(struct tg_loop_job *job);

static int l_new_coroutine(lua_State *L) {
  struct tg_task *task = lua_touserdata(L, 1);
  task->co = lua_newthread(L);                    // .. thread
  task->co_ref = luaL_ref(L, LUA_REGISTRYINDEX);  // ..
  return 0;
}

static struct tg_task *make(struct tg_vm *vm) {
  struct tg_task *task = calloc(1, sizeof *task);
  if (!task) return NULL;
  task->vm = vm;
  task->co_ref = LUA_NOREF;
  tg_list_init(&task->link);
  tg_loop_job_init(&task->job, on_job);
  if (lua_cpcall(vm->L, l_new_coroutine, task) == 0) return task;
  lua_pop(vm->L, 1);
  free(task);
  return NULL;
}

static void destroy(struct tg_task *task) {
  luaL_unref(task->vm->L, LUA_REGISTRYINDEX, task->co_ref);
  free(task);
}

static struct tg_task *find_idle(struct tg_vm *vm) {
  struct tg_list *link = tg_list_take_first(&vm->idle_tasks);
  if (link) {
    vm->idle_count--;
    return TG_CONTAINER(link, struct tg_task, link);
  }
  struct tg_task *task = make(vm);
  if (task || !vm->memory_tight) return task;
  tg_vm_relieve(vm); /* what failed requests have left behind */
  return make(vm);
}

static struct tg_task *new_task(struct tg_vm *vm, struct tg_scope *scope) {
  struct tg_task *task = find_idle(vm);
  if (!task) return NULL;
  task->home = task->scope = scope;
  task->nest = NULL;
  task->runner = NULL;
  task->op = task->finished = NULL;
  task->depth = task->atomic = 0;
  task->defers_ref = LUA_NOREF;
  task->nargs = -1;
  task->failed = false;
  task->cancelled = NULL;
  task->cpu_budget = scope->top->cpu_budget ? scope->top->cpu_budget : vm->settings->limits_cpu;
  task->ended = NULL;
  task->returned = NULL;
  task->state = TG_TASK_IDLE;
  scope->alive++;
  scope->top->total++;
  vm->task_count++;
  tg_list_append(&scope->tasks, &task->link);
  if (TG_UNLIKELY(vm->traced)) tg_trace_task(task);
  return task;
}

struct tg_task *tg_task_new(struct tg_vm *vm, struct tg_scope *scope, int nargs) {
  if (scope->top->total >= vm->settings->limits_tasks) return NULL;
  struct tg_task *task = new_task(vm, scope);
  if (!task || nargs <= ROOM_SURE || lua_checkstack(task->co, nargs + 1)) return task;
  tg_task_discard(task);
  return NULL;
}

static void recycle(struct tg_task *task, bool reusable) {
  struct tg_vm *vm = task->vm;
  struct tg_scope *home = task->home;
  tg_list_remove(&task->link);
  tg_loop_job_remove(&task->job);
  if (task->defers_ref != LUA_NOREF) luaL_unref(vm->L, LUA_REGISTRYINDEX, task->defers_ref);
  free(task->cancelled);
  task->cancelled = NULL;
  if (--vm->task_count == 0) tg_vm_check_idle(vm);
  if (reusable && vm->idle_count < IDLE_MAX) {
    lua_settop(task->co, 0);
    vm->idle_count++;
    tg_list_prepend(&vm->idle_tasks, &task->link);
  } else {
    destroy(task);
  }
  struct tg_scope *top = home->top;
  bool is_inner = top != home;
  top->total--;
  if (--home->alive == 0 && home->emptied) home->emptied(home);
  /* `top` is still there: whoever gives it up waits for its own task, which ends from a job */
  if (is_inner && top->total == 0 && top->emptied) top->emptied(top);
}

void tg_task_discard(struct tg_task *task) {
  recycle(task, true);
}

struct tg_nursery *tg_task_nursery(struct tg_task *task) {
  if (task->scope != task->home) return TG_CONTAINER(task->scope, struct tg_nursery, scope);
  task->nest = tg_nursery_new(task->vm, task->home);
  if (!task->nest) return NULL;
  task->nest->task = task;
  tg_scope_enter(&task->nest->scope, task);
  return task->nest;
}

/* ---- the end of a task ---- */

static void conclude(struct tg_task *task) {
  bool failed = task->failed;
  if (TG_UNLIKELY(!tg_list_empty(&task->vm->held))) tg_mutex_release_left(task);
  if (task->nest) tg_nursery_end(task->nest, task);
  task->nest = NULL;
  task->state = TG_TASK_ENDED;
  if (task->ended)
    task->ended(task, failed ? TG_ESCRIPT : TG_OK, failed ? 1 : lua_gettop(task->co));
  recycle(task, !failed);
}

static int l_take_unseen(lua_State *L) {
  struct tg_task *task = lua_touserdata(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, task->vm->ref_unseen_error);
  tg_child_push_failures(L, &task->nest->scope);
  lua_call(L, 1, 1);  // .. error
  lua_settop(task->co, 0);
  lua_xmove(L, task->co, 1);
  return 0;
}

/* What failed among those that it has spawned, and nobody has joined, is its own failure. Without
 * memory for that it is logged at the end of its home. */
static void take_unseen(struct tg_task *task) {
  lua_State *L = task->vm->L;
  task->failed = lua_cpcall(L, l_take_unseen, task) == 0;
  if (!task->failed) lua_pop(L, 1);
}

/* A deferred function's failure is the task's, when nothing worse happened to it. */
static void on_deferred(struct tg_task *runner, tg_status status, int nresults) {
  struct tg_task *task = runner->owner;
  (void)nresults;
  task->runner = NULL;
  if (status && !task->failed) {
    task->failed = true;
    lua_settop(task->co, 0);
    lua_xmove(runner->co, task->co, 1);
  }
  task->state = TG_TASK_ENDING;
  tg_loop_post(task->vm->loop, &task->job);
}

/* Deferred functions need a coroutine that is alive, and may suspend: they run in a task of their
 * own, which the limit of tasks does not hold back. */
static bool start_deferred(struct tg_task *task) {
  struct tg_vm *vm = task->vm;
  struct tg_task *runner = new_task(vm, task->home);
  if (!runner) return false;
  runner->owner = task;
  runner->ended = on_deferred;
  runner->cpu_budget = task->cpu_budget;
  runner->cancelled = task->cancelled;
  task->cancelled = NULL;
  task->runner = runner;
  lua_rawgeti(runner->co, LUA_REGISTRYINDEX, vm->ref_run_defers);  // run
  lua_rawgeti(runner->co, LUA_REGISTRYINDEX, task->defers_ref);    // run list
  lua_pushboolean(runner->co, !task->failed);                      // run list ok
  luaL_unref(vm->L, LUA_REGISTRYINDEX, task->defers_ref);
  task->defers_ref = LUA_NOREF;
  if (task->failed) {
    lua_pushvalue(task->co, -1);
    lua_xmove(task->co, runner->co, 1);  // run list ok error
  }
  tg_task_start(runner, task->failed ? 3 : 2);
  return true;
}

/* Goes on from the loop's ready list, so that nothing ends inside the end of something else. */
static void continue_end(struct tg_task *task) {
  if (task->nest && task->nest->scope.alive) return; /* its end calls us */
  if (task->nest && !task->failed && !tg_list_empty(&task->nest->scope.failed)) take_unseen(task);
  if (task->defers_ref != LUA_NOREF && start_deferred(task)) return;
  conclude(task);
}

void tg_task_nest_emptied(struct tg_task *task) {
  if (task->state == TG_TASK_ENDING) tg_loop_post(task->vm->loop, &task->job);
}

/* The nest is where tasks are spawned: nobody leaves it. */
struct tg_scope *tg_task_entered(const struct tg_task *task) {
  return task->nest && task->scope == &task->nest->scope ? task->home : task->scope;
}

static bool is_inside(const struct tg_task *task, const struct tg_scope *base) {
  const struct tg_scope *scope = task->scope;
  while (scope != base && scope != task->home) scope = scope->parent;
  return scope == base;
}

bool tg_task_unwind(struct tg_task *task, const struct tg_scope *base) {
  if (base == task->home && task->nest) base = &task->nest->scope;
  if (task->scope == base || !is_inside(task, base)) return false;
  while (task->scope != base) {
    struct tg_scope *scope = task->scope;
    task->scope = scope->parent;
    tg_nursery_give_up(TG_CONTAINER(scope, struct tg_nursery, scope));
  }
  return true;
}

static void end(struct tg_task *task, int rc) {
  task->failed = rc != 0;
  task->state = TG_TASK_ENDING;
  if (task->op || task->finished) tg_op_abandon(task);
  /* what it has not left: it was cut short there, by a foreign yield, its CPU budget or the end of
   * its Lua stack */
  tg_task_unwind(task, task->home);
  if (task->nest && task->failed) tg_scope_cancel(&task->nest->scope, "failed");
  continue_end(task);
}

static int l_bad_yield(lua_State *L) {
  struct tg_task *task = lua_touserdata(L, 1);
  char place[TG_PLACE_MAX];
  lua_pushstring(L, tg_place_write(task->co, 0, place) ? place : "?");  // task place
  tg_error_push(L, "bad_yield",
                "coroutine.yield was called outside of a coroutine of yours, where nobody would "
                "resume it; use tg.yield() to let others run");  // task place error
  lua_insert(L, 2);                                              // task error place
  lua_setfield(L, 2, "place");                                   // task error
  lua_settop(task->co, 0);
  lua_xmove(L, task->co, 1);
  return 0;
}

/* The coroutine gave up control without an op: there is nobody to resume it. */
static void end_bad_yield(struct tg_task *task) {
  lua_State *L = task->vm->L;
  if (lua_cpcall(L, l_bad_yield, task) == 0) return;
  lua_settop(task->co, 0);
  lua_xmove(L, task->co, 1); /* "not enough memory" is as good an error value */
}

/* ---- steps ---- */

static bool is_suspension(lua_State *co) {
  return lua_gettop(co) == 1 && lua_touserdata(co, 1) == (const void *)&tg_task_mark &&
         lua_islightuserdata(co, 1);
}

/* After a coroutine has been let go, with all that it held; inside of another step only where that
 * one would be the next to find no memory. */
static void relieve(struct tg_vm *vm) {
  bool much = !vm->running && vm->memory_used > vm->memory_tidy;
  if (TG_UNLIKELY(vm->memory_tight || much)) tg_vm_relieve(vm);
}

static int resume(struct tg_task *task, int nargs) {
  int rc = lua_resume(task->co, nargs);
  if (rc || !task->returned) return rc;
  int more = task->returned(task);
  task->returned = NULL;
  return more == TG_TASK_OVER ? 0 : lua_resume(task->co, more);
}

static void step(struct tg_task *task, int nargs) {
  struct tg_vm *vm = task->vm;
  struct tg_task *outer = vm->running;
  vm->running = task;
  vm->nested++;
  task->state = TG_TASK_RUNNING;
  if (!outer && vm->watch) tg_watch_enter(vm->watch, vm, task->cpu_budget);
  if (TG_UNLIKELY(vm->traced) && !outer) tg_trace_enter(task);
  int rc = resume(task, nargs);
  if (!outer && vm->watch) tg_watch_leave(vm->watch);
  if (TG_UNLIKELY(vm->traced) && !outer) tg_trace_leave(task);
  vm->running = outer;
  vm->nested--;
  if (rc != LUA_YIELD) {
    end(task, rc);
    relieve(vm);
  } else if (is_suspension(task->co)) {
    lua_settop(task->co, 0);
    if (task->state == TG_TASK_RUNNING) task->state = TG_TASK_WAITING;
    /* cancelled between tg_op_begin and here: by a child that it started itself */
    tg_task_interrupt(task);
  } else {
    end_bad_yield(task);
    end(task, LUA_ERRRUN);
  }
}

static void on_job(struct tg_loop_job *job) {
  struct tg_task *task = TG_CONTAINER(job, struct tg_task, job);
  if (task->state == TG_TASK_ENDING) {
    struct tg_vm *vm = task->vm;
    continue_end(task);
    relieve(vm);
    return;
  }
  int nargs = task->nargs > 0 ? task->nargs : 0;
  task->nargs = 0;
  task->finished = task->op;
  task->op = NULL;
  step(task, nargs);
}

void tg_task_wake(struct tg_task *task) {
  task->state = TG_TASK_READY;
  tg_loop_post(task->vm->loop, &task->job);
}

void tg_task_stay(struct tg_task *task) {
  tg_loop_job_remove(&task->job);
  if (task->state == TG_TASK_READY) task->state = TG_TASK_RUNNING;
}

void tg_task_start(struct tg_task *task, int nargs) {
  task->nargs = nargs;
  tg_task_wake(task);
}

void tg_task_run_now(struct tg_task *task, int nargs) {
  if (task->vm->nested >= NESTED_MAX) {
    tg_task_start(task, nargs);
    return;
  }
  task->nargs = 0;
  step(task, nargs);
}

void tg_task_free_idle(struct tg_vm *vm) {
  struct tg_list *link;
  while ((link = tg_list_take_first(&vm->idle_tasks)))
    destroy(TG_CONTAINER(link, struct tg_task, link));
  vm->idle_count = 0;
}
