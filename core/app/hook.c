/* A hook is a task like others, but that its thread has nothing else to do: the loop is turned
 * here, until all has ended. */
#include "app/hook.h"

#include <lauxlib.h>
#include <stdio.h>

#include "app/generation.h"
#include "script/task.h"

void tg_starting_cancel(struct tg_starting *starting, const char *reason) {
  starting->cancelled = true;
  if (starting->scope) tg_scope_cancel(starting->scope, reason);
}

static void on_hook_ended(struct tg_task *task, tg_status status, int nresults) {
  struct tg_hook *hook = task->owner;
  (void)nresults;
  hook->ended = true;
  hook->status = status;
  if (status) {
    char late[128];
    struct tg_app_state *state = task->vm->owner;
    snprintf(late, sizeof late, "%s did not end within %.3g s (%s)", hook->name,
             (double)hook->most / 1e9, hook->setting);
    tg_load_errors_set_raised(hook->errors, state->generation->bundle, task->vm->L, task->co,
                              task->home->timed_out ? late : NULL);
  }
  tg_loop_stop(task->vm->loop); /* else a hook that ends in a job would leave the loop waiting */
}

static void on_hook_scope_emptied(struct tg_scope *scope) {
  tg_loop_stop(scope->vm->loop);
}

/* Runs a hook as a task on the state's present loop, until it has ended with all that it has
 * spawned: the loop of a state that serves is another one. It has a scope of its own, because the
 * application's may have been cancelled when on_stop runs. */
bool tg_hook_run(struct tg_hook *hook, struct tg_vm *vm) {
  struct tg_scope own;
  tg_scope_init(&own, vm, NULL);
  own.emptied = on_hook_scope_emptied;
  own.cpu_budget = TG_LOAD_BUDGET;
  struct tg_task *task = tg_task_new(vm, &own, 0);
  if (task) {
    task->owner = hook;
    task->ended = on_hook_ended;
    (void)!tg_scope_deadline(&own, tg_loop_time(vm->loop) + hook->most);
    if (hook->starting) hook->starting->scope = &own;
    lua_rawgeti(task->co, LUA_REGISTRYINDEX, hook->ref);
    tg_task_start(task, 0);
    while (!hook->ended || own.total) uv_run(&vm->loop->uv, UV_RUN_ONCE);
    if (hook->starting) hook->starting->scope = NULL;
  }
  tg_scope_deinit(&own);
  return task && hook->status == TG_OK;
}
