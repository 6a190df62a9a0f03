/* The scheduler: the only lua_resume of the program, and the tree of scopes.
 *
 * A task's coroutine is used again when it has ended well: its Lua stack is empty then, and making
 * a new one for every request would cost more than most handlers do. */
#include "script/task.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "script/error.h"
#include "script/watch.h"

#define IDLE_MAX 128u

const char tg_task_mark = 0;

/* ---- scopes ---- */

void tg_scope_init(struct tg_scope *scope, struct tg_vm *vm, struct tg_scope *parent) {
  scope->vm = vm;
  scope->parent = parent;
  scope->top = parent && parent != vm->root ? parent->top : scope;
  scope->alive = scope->total = 0;
  scope->cancelled = parent && parent->cancelled;
  scope->timed_out = false;
  scope->timer.slot = 0;
  scope->emptied = NULL;
  scope->owner = NULL;
  scope->exchange = parent ? parent->exchange : NULL;
  scope->reason[0] = 0;
  if (scope->cancelled) memcpy(scope->reason, parent->reason, sizeof scope->reason);
  tg_list_init(&scope->tasks);
  tg_list_init(&scope->inner);
  tg_list_init(&scope->owned);
  tg_list_init(&scope->link);
  if (parent) tg_list_append(&parent->inner, &scope->link);
}

/* A scope object may outlive the scope around it, in a variable of somebody's: it is an orphan
 * then, empty and cancelled. */
static void orphan(struct tg_scope *inner) {
  TG_CHECK(inner->alive == 0);
  tg_list_remove(&inner->link);
  inner->parent = NULL;
  inner->top = inner;
  inner->cancelled = true;
  inner->exchange = NULL;
}

struct tg_scope *tg_scope_owner(struct tg_vm *vm) {
  return vm->running ? vm->running->scope->top : vm->root;
}

void tg_scope_own(struct tg_scope *scope, struct tg_owned *owned) {
  tg_list_remove(&owned->link);
  tg_list_append(&scope->owned, &owned->link);
}

void tg_scope_close_owned(struct tg_scope *scope) {
  while (!tg_list_empty(&scope->owned)) {
    struct tg_owned *owned = TG_CONTAINER(scope->owned.prev, struct tg_owned, link);
    tg_list_remove(&owned->link);
    owned->close(owned);
  }
}

void tg_scope_deinit(struct tg_scope *scope) {
  TG_CHECK(scope->alive == 0);
  tg_scope_close_owned(scope);
  while (!tg_list_empty(&scope->inner))
    orphan(TG_CONTAINER(scope->inner.next, struct tg_scope, link));
  tg_timer_stop(&scope->vm->loop->timers, &scope->timer);
  tg_list_remove(&scope->link);
}

static void cancel_task(struct tg_task *task) {
  struct tg_op *op = task->op;
  if (!op || op->complete || op->cancelled) return;
  op->cancelled = true;
  op->kind->cancel(op);
}

void tg_scope_cancel(struct tg_scope *scope, const char *reason) {
  if (scope->cancelled) return;
  scope->cancelled = true;
  snprintf(scope->reason, sizeof scope->reason, "%s", reason);
  /* No Lua runs in here, so neither list can change but by what cancelling itself removes. */
  struct tg_list *link = scope->tasks.next;
  while (link != &scope->tasks) {
    struct tg_task *task = TG_CONTAINER(link, struct tg_task, link);
    link = link->next;
    cancel_task(task);
  }
  for (link = scope->inner.next; link != &scope->inner; link = link->next)
    tg_scope_cancel(TG_CONTAINER(link, struct tg_scope, link), reason);
}

static void on_deadline(struct tg_timer *timer) {
  struct tg_scope *scope = TG_CONTAINER(timer, struct tg_scope, timer);
  if (scope->cancelled) return;
  scope->timed_out = true;
  tg_scope_cancel(scope, "timeout");
}

tg_status tg_scope_deadline(struct tg_scope *scope, uint64_t due) {
  struct tg_timers *timers = &scope->vm->loop->timers;
  tg_timer_stop(timers, &scope->timer);
  return due ? tg_timer_start(timers, &scope->timer, due, on_deadline) : TG_OK;
}

/* ---- tasks ---- */

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

struct tg_task *tg_task_new(struct tg_vm *vm, struct tg_scope *scope) {
  if (scope->top->total >= vm->host->settings->limits_tasks) return NULL;
  struct tg_list *link = tg_list_take_first(&vm->idle_tasks);
  struct tg_task *task;
  if (link) {
    vm->idle_count--;
    task = TG_CONTAINER(link, struct tg_task, link);
  } else {
    task = make(vm);
    if (!task && vm->memory_tight) {
      tg_vm_relieve(vm); /* what failed requests have left behind */
      task = make(vm);
    }
    if (!task) return NULL;
  }
  task->home = task->scope = scope;
  task->op = task->finished = NULL;
  task->depth = 0;
  task->defers_ref = LUA_NOREF;
  task->nargs = -1;
  task->cpu_budget = vm->host->settings->limits_cpu;
  task->ended = NULL;
  task->state = TG_TASK_IDLE;
  scope->alive++;
  scope->top->total++;
  vm->task_count++;
  tg_list_append(&scope->tasks, &task->link);
  return task;
}

static void recycle(struct tg_task *task, bool reusable) {
  struct tg_vm *vm = task->vm;
  struct tg_scope *home = task->home;
  tg_list_remove(&task->link);
  tg_loop_job_remove(&task->job);
  luaL_unref(vm->L, LUA_REGISTRYINDEX, task->defers_ref);
  vm->task_count--;
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
  /* `top` is still there: with tasks inside, it could not have been given up */
  if (is_inner && top->total == 0 && top->emptied) top->emptied(top);
}

static int l_bad_yield(lua_State *L) {
  struct tg_task *task = lua_touserdata(L, 1);
  tg_error_push_place(task->co, 0);  // co: .. place
  lua_xmove(task->co, L, 1);         // task place
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

static void end(struct tg_task *task, int rc) {
  bool failed = rc != 0;
  if (task->op || task->finished) tg_op_abandon(task);
  task->state = TG_TASK_ENDED;
  if (task->ended)
    task->ended(task, failed ? TG_ESCRIPT : TG_OK, failed ? 1 : lua_gettop(task->co));
  recycle(task, !failed);
}

static bool is_suspension(lua_State *co) {
  return lua_gettop(co) == 1 && lua_touserdata(co, 1) == (const void *)&tg_task_mark &&
         lua_islightuserdata(co, 1);
}

static void step(struct tg_task *task, int nargs) {
  struct tg_vm *vm = task->vm;
  struct tg_task *outer = vm->running;
  vm->running = task;
  task->state = TG_TASK_RUNNING;
  if (!outer && vm->watch) tg_watch_enter(vm->watch, vm, task->cpu_budget);
  int rc = lua_resume(task->co, nargs);
  if (!outer && vm->watch) tg_watch_leave(vm->watch);
  vm->running = outer;
  if (rc != LUA_YIELD) {
    end(task, rc);
    /* after the coroutine has been let go, with all that it held */
    if (TG_UNLIKELY(vm->memory_tight || vm->memory_used > vm->memory_tidy) && !outer)
      tg_vm_relieve(vm);
  } else if (is_suspension(task->co)) {
    lua_settop(task->co, 0);
    if (task->state == TG_TASK_RUNNING) task->state = TG_TASK_WAITING;
    /* cancelled between tg_op_begin and here: by a child that it started itself */
    if (task->scope->cancelled) cancel_task(task);
  } else {
    end_bad_yield(task);
    end(task, LUA_ERRRUN);
  }
}

static void on_job(struct tg_loop_job *job) {
  struct tg_task *task = TG_CONTAINER(job, struct tg_task, job);
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

void tg_task_start(struct tg_task *task, int nargs) {
  task->nargs = nargs;
  tg_task_wake(task);
}

void tg_task_run_now(struct tg_task *task, int nargs) {
  task->nargs = 0;
  step(task, nargs);
}

void tg_task_free_idle(struct tg_vm *vm) {
  struct tg_list *link;
  while ((link = tg_list_take_first(&vm->idle_tasks)))
    destroy(TG_CONTAINER(link, struct tg_task, link));
  vm->idle_count = 0;
}
