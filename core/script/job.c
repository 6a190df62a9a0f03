/* The runner's half of a job; see job.h.
 *
 * What runs is _core/blocking.lua: it asks here for the function and its arguments, inside the
 * task, so that a module may suspend while it loads and errors have a traceback of this side. */
#include "script/job.h"

#include <lauxlib.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "script/values.h"

struct tg_job *tg_job_new(void) {
  struct tg_job *job = calloc(1, sizeof *job);
  if (job) atomic_init(&job->dropped, false);
  return job;
}

void tg_job_free(struct tg_job *job) {
  tg_buffer_deinit(&job->function);
  tg_buffer_deinit(&job->values);
  tg_error_view_deinit(&job->error);
  free(job);
}

void tg_job_fail(struct tg_job *job, const char *code, const char *format, ...) {
  char line[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  job->status = TG_ESCRIPT;
  job->error.status = 500;
  snprintf(job->error.code, sizeof job->error.code, "%s", code);
  /* without memory the text is missing, no more */
  (void)!tg_buffer_append(&job->error.message, line, strlen(line));
}

/* ---- the outcome ---- */

static void conclude(struct tg_job *job) {
  struct tg_vm *vm = job->vm;
  tg_scope_deinit(&job->scope);
  job->running = false;
  if (vm->job == job) vm->job = NULL;
  tg_vm_release(vm);
  job->ended(job);
}

static void on_emptied(struct tg_scope *scope) {
  struct tg_job *job = TG_CONTAINER(scope, struct tg_job, scope);
  if (!job->task && scope->total == 0) conclude(job);
}

static void take_results(struct tg_job *job, lua_State *co, int count) {
  char *path = NULL;
  tg_buffer_clear(&job->values);
  job->status = tg_values_pack(co, lua_gettop(co) - count + 1, count, &job->values, &path);
  if (job->status == TG_EINVALID || job->status == TG_EFOREIGN) {
    const char *code = job->status == TG_EFOREIGN ? "foreign_handle" : "cannot_cross";
    /* the path begins with "argument", as it does for those */
    const char *rest = path ? strchr(path, ' ') : NULL;
    tg_job_fail(job, code, "result%s cannot cross from a %s", rest ? rest : "",
                job->vm->role == TG_ROLE_LOOP ? "loop" : "worker");
  }
  free(path);
}

static void take_error(struct tg_job *job, lua_State *from) {
  job->status = TG_ESCRIPT;
  tg_error_view_init(&job->error, job->vm->L, from, -1);
}

static void on_ended(struct tg_task *task, tg_status status, int nresults) {
  struct tg_job *job = task->owner;
  job->task = NULL;
  if (status == TG_OK) {
    take_results(job, task->co, nresults);
  } else {
    take_error(job, task->co);
    tg_scope_cancel(&job->scope, "failed");
  }
}

/* ---- the start ---- */

/* Nothing may throw once the task is there: only running it ends it. */
static int l_prepare(lua_State *L) {
  struct tg_job *job = lua_touserdata(L, 1);
  lua_settop(L, 0);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "tidegate._core.blocking");
  lua_call(L, 1, 1);
  lua_getfield(L, 1, "run");  // module run
  job->task = tg_task_new(job->vm, &job->scope, 1);
  if (!job->task) return luaL_error(L, "not enough memory for a task");
  lua_xmove(L, job->task->co, 1);
  lua_pushlightuserdata(job->task->co, job);
  return 0;
}

void tg_job_start(struct tg_job *job, struct tg_vm *vm, void (*ended)(struct tg_job *job),
                  void *runner) {
  job->vm = vm;
  job->ended = ended;
  job->runner = runner;
  job->task = NULL;
  job->running = true;
  if (vm->role != TG_ROLE_LOOP) {
    TG_CHECK(!vm->job);
    vm->job = job;
  }
  tg_vm_hold(vm);
  tg_scope_init(&job->scope, vm, vm->root);
  job->scope.emptied = on_emptied;
  job->scope.cpu_budget = job->cpu_budget;
  if (lua_cpcall(vm->L, l_prepare, job) != 0) {
    take_error(job, vm->L);
    lua_pop(vm->L, 1);
    conclude(job);
    return;
  }
  job->task->owner = job;
  job->task->ended = on_ended;
  tg_task_run_now(job->task, 1);
}

void tg_job_cancel(struct tg_job *job) {
  if (job->running) tg_scope_cancel(&job->scope, "cancelled");
}

/* ---- functions that may cross ---- */

void tg_job_check_function(lua_State *L, int index, const char *where) {
  lua_Debug ar;
  if (lua_iscfunction(L, index))
    tg_error_throw(L, "cannot_cross",
                   "a function of C cannot cross to %s; use \"mod.fn\" or a Lua function that "
                   "calls it",
                   where);
  const char *name = lua_getupvalue(L, index, 1);
  if (!name) return;
  lua_pushvalue(L, index);
  lua_getinfo(L, ">S", &ar);
  const char *hint =
      strcmp(name, "tg") == 0 ? "; inside of it, say local tg = require \"tidegate\"" : "";
  tg_error_throw(L, "upvalue",
                 "'%s' (line %d) cannot cross to %s; pass it as data or use \"mod.fn\"%s", name,
                 ar.linedefined, where, hint);
}

/* ---- for _core/blocking.lua ---- */

/* job_check(fn, where): throws where it cannot cross */
static int l_job_check(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  tg_job_check_function(L, 1, luaL_checkstring(L, 2));
  return 0;
}

/* job_env() -> the globals of application code */
static int l_job_env(lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, tg_vm_of(L)->ref_env);
  return 1;
}

/* job_function(job) -> the function that crossed, or "module.fn". The bytes are ours: they were
 * dumped by await/job_op.c, never by an application. */
static int l_job_function(lua_State *L) {
  const struct tg_job *job = lua_touserdata(L, 1);
  struct tg_slice bytes = tg_buffer_slice(&job->function);
  if (!job->is_bytecode) {
    lua_pushlstring(L, bytes.ptr, bytes.len);
    return 1;
  }
  if (luaL_loadbuffer(L, bytes.ptr, bytes.len, "=job")) return lua_error(L);
  l_job_env(L);  // .. fn env
  lua_setfenv(L, -2);
  return 1;
}

/* job_arguments(job) -> ... */
static int l_job_arguments(lua_State *L) {
  const struct tg_job *job = lua_touserdata(L, 1);
  struct tg_slice bytes = tg_buffer_slice(&job->values);
  return tg_values_unpack(L, bytes.ptr, bytes.len);
}

void tg_job_open(lua_State *L) {  // .. table
  static const luaL_Reg functions[] = {{"job_check", l_job_check},
                                       {"job_env", l_job_env},
                                       {"job_function", l_job_function},
                                       {"job_arguments", l_job_arguments},
                                       {NULL, NULL}};
  luaL_register(L, NULL, functions);
}
