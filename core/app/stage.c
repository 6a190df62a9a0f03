/* Stages: scopes, the turning of the loop until something has ended, and what is left afterwards.
 */
#include "app/stage.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "script/child.h"
#include "script/error.h"
#include "script/task.h"

#define PLACES "tg.stage.places" /* in the registry: struct tg_owned -> place */

/* How long what was left in the application's scope may go on by itself before it is a leak; by
 * the loop's clock, so that with a fake one it costs nothing. */
#define GRACE       (10 * TG_SECOND)
#define GRACE_REAL  (100 * TG_MILLISECOND)
#define CANCEL_TIME 10.0 /* seconds that what was cancelled may take to end */
#define LOOK_EVERY  2    /* milliseconds, where nothing tells that the last of many has ended */

struct tg_stage {
  struct tg_stage *outer;
  struct tg_scope *outer_root;
  struct tg_scope application, own;
};

static struct tg_stages *stages_of(lua_State *L) {
  return lua_touserdata(L, lua_upvalueindex(1));
}

static struct tg_vm *vm_of(struct tg_stages *stages) {
  return stages->rehearsal->vm;
}

/* ---- turning the loop ---- */

static void on_limit(uv_timer_t *timer) {
  struct tg_stages *stages = timer->data;
  if (tg_clock_now() >= stages->deadline) stages->late = true;
}

/* A timer of libuv's own, because it counts real time; nobody waits for it. The loop turns at least
 * once in `every` milliseconds. */
static void start_limit(struct tg_stages *stages, double seconds, uint64_t every) {
  stages->late = false;
  stages->deadline = tg_clock_now() + (uint64_t)(seconds * 1e9);
  uv_update_time(stages->limit.loop);
  uv_timer_start(&stages->limit, on_limit, every, every);
  uv_unref((uv_handle_t *)&stages->limit);
}

static void stop_limit(struct tg_stages *stages) {
  uv_timer_stop(&stages->limit);
}

static unsigned count_tasks(const struct tg_scope *scope) {
  unsigned count = scope->alive;
  for (const struct tg_list *link = scope->inner.next; link != &scope->inner; link = link->next)
    count += count_tasks(TG_CONTAINER(link, struct tg_scope, link));
  return count;
}

/* Turns until no task is left in the scope. False when that takes too long, or can never be. */
static bool drain(struct tg_stages *stages, const struct tg_scope *scope) {
  start_limit(stages, CANCEL_TIME, LOOK_EVERY);
  while (count_tasks(scope)) {
    if (stages->late || tg_rehearsal_idle(stages->rehearsal)) return false;
    tg_rehearsal_turn(stages->rehearsal);
  }
  stop_limit(stages);
  return true;
}

/* ---- running ---- */

struct run {
  bool ended;
  tg_status status;
  struct tg_buffer error;
};

static void on_ended(struct tg_task *task, tg_status status, int nresults) {
  struct run *run = task->owner;
  (void)nresults;
  run->ended = true;
  run->status = status;
  tg_loop_stop(task->vm->loop); /* else a loop without events would wait for one */
  if (!status) return;
  struct tg_error_view view;
  tg_error_view_init(&view, task->vm->L, task->co, -1);
  struct tg_slice message = tg_buffer_slice(&view.message);
  (void)!tg_buffer_append(&run->error, message.ptr, message.len);
  tg_error_view_deinit(&view);
}

/* Turns until the task has ended; a code where it had to be cancelled. */
static const char *turn_until_ended(struct tg_stages *stages, const struct run *run,
                                    double seconds) {
  start_limit(stages, seconds, (uint64_t)(seconds * 1e3) + 1);
  const char *why = NULL;
  while (!run->ended) {
    const char *now = tg_rehearsal_idle(stages->rehearsal) ? "stuck" : stages->late ? "late" : NULL;
    if (now && why) return "lost";
    if (now) {
      why = now;
      tg_scope_cancel(&stages->top->own, now);
      start_limit(stages, CANCEL_TIME, (uint64_t)(CANCEL_TIME * 1e3));
    }
    tg_rehearsal_turn(stages->rehearsal);
  }
  stop_limit(stages);
  return why ? why : run->status ? "failed" : NULL;
}

/* run(fn, seconds) */
static int l_run(lua_State *L) {
  struct tg_stages *stages = stages_of(L);
  struct tg_vm *vm = vm_of(stages);
  luaL_checktype(L, 1, LUA_TFUNCTION);
  double seconds = luaL_checknumber(L, 2);
  struct tg_task *task = tg_task_new(vm, &stages->top->own, 0);
  if (!task) return luaL_error(L, "not enough memory for a task");
  struct run run = {0};
  task->owner = &run;
  task->ended = on_ended;
  task->cpu_budget = (uint64_t)(seconds * 1e9);
  lua_pushvalue(L, 1);
  lua_xmove(L, task->co, 1);
  tg_task_start(task, 0);
  const char *why = turn_until_ended(stages, &run, seconds);
  lua_pushboolean(L, !why);
  lua_pushlstring(L, run.error.data ? run.error.data : "", run.error.len);
  lua_pushstring(L, why);
  tg_buffer_deinit(&run.error);
  return 3;
}

/* ---- opening and closing ---- */

/* Keeps the user's line at which something came to be the application's. */
static int l_note(lua_State *L) {
  struct tg_owned *owned = lua_touserdata(L, 1);
  struct tg_vm *vm = tg_vm_of(L);
  lua_settop(L, 0);
  lua_getfield(L, LUA_REGISTRYINDEX, PLACES);  // places
  lua_pushlightuserdata(L, owned);
  tg_error_push_place(vm->running ? vm->running->co : L, 0);
  if (vm->running && vm->running->co != L) lua_xmove(vm->running->co, L, 1);
  lua_rawset(L, 1);
  return 0;
}

static void on_owns(struct tg_scope *scope, struct tg_owned *owned) {
  lua_State *L = scope->vm->L;
  if (lua_cpcall(L, l_note, owned) != 0) lua_pop(L, 1); /* without memory it has no place */
}

static int l_open(lua_State *L) {
  struct tg_stages *stages = stages_of(L);
  struct tg_vm *vm = vm_of(stages);
  struct tg_stage *stage = calloc(1, sizeof *stage);
  if (!stage) return luaL_error(L, "not enough memory");
  stage->outer = stages->top;
  stage->outer_root = vm->root;
  tg_scope_init(&stage->application, vm, NULL);
  stage->application.owns = on_owns;
  vm->root = &stage->application;
  tg_scope_init(&stage->own, vm, &stage->application);
  stages->top = stage;
  return 0;
}

static bool is_user(const lua_Debug *ar) {
  return ar->source[0] == '@' && strncmp(ar->source + 1, "lua/tidegate/", 13) != 0;
}

/* Where a suspended task waits, and where it was started, or where that is not known its function
 * stands: the innermost and the outermost line of the user's on its stack. */
static void describe_task(lua_State *L, const struct tg_task *task) {  // .. row
  lua_Debug ar;
  bool waits = false;
  char made[256] = "";
  for (int level = 0; lua_getstack(task->co, level, &ar); level++) {
    lua_getinfo(task->co, "Sl", &ar);
    if (!is_user(&ar)) continue;
    snprintf(made, sizeof made, "%s:%d", ar.source + 1, ar.linedefined);
    if (waits) continue;
    waits = true;
    lua_pushfstring(L, "%s:%d", ar.source + 1, ar.currentline);
    lua_setfield(L, -2, "waits");
  }
  const char *place = tg_child_place(task);
  if (place) snprintf(made, sizeof made, "%s", place);
  if (made[0]) lua_pushstring(L, made), lua_setfield(L, -2, "made");
}

static void push_row(lua_State *L, const char *kind) {  // .. row
  lua_newtable(L);
  lua_pushstring(L, kind);
  lua_setfield(L, -2, "kind");
}

static void list_tasks(lua_State *L, const struct tg_scope *scope) {  // .. list
  luaL_checkstack(L, 8, NULL);
  for (const struct tg_list *link = scope->tasks.next; link != &scope->tasks; link = link->next) {
    push_row(L, "task");
    describe_task(L, TG_CONTAINER(link, struct tg_task, link));
    lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
  }
  for (const struct tg_list *link = scope->inner.next; link != &scope->inner; link = link->next)
    list_tasks(L, TG_CONTAINER(link, struct tg_scope, link));
}

static void list_handles(lua_State *L, const struct tg_scope *scope) {  // .. list
  for (const struct tg_list *link = scope->owned.next; link != &scope->owned; link = link->next) {
    push_row(L, "handle");
    lua_getfield(L, LUA_REGISTRYINDEX, PLACES);
    lua_pushlightuserdata(L, TG_CONTAINER(link, struct tg_owned, link));
    lua_rawget(L, -2);
    lua_setfield(L, -3, "made");
    lua_pop(L, 1);
    lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
  }
}

/* Tasks that are alive in the application's scopes of the stage and of the workers. */
static unsigned count_left(const struct tg_stages *stages) {
  unsigned count = count_tasks(&stages->top->application);
  const struct tg_rehearsal_worker *worker = stages->rehearsal->workers;
  for (int i = 0; i < TG_REHEARSAL_WORKERS; i++, worker++)
    if (worker->vm) count += count_tasks(&worker->guests);
  return count;
}

/* What is left in a worker ends with its state. */
static void list_workers(lua_State *L, struct tg_stages *stages) {  // .. list
  struct tg_rehearsal_worker *worker = stages->rehearsal->workers;
  for (int i = 0; i < TG_REHEARSAL_WORKERS; i++, worker++) {
    if (!worker->vm || worker->guest) continue;
    if (!count_tasks(&worker->guests) && tg_list_empty(&worker->guests.owned)) continue;
    list_tasks(L, &worker->guests);
    list_handles(L, &worker->guests);
    tg_rehearsal_dismiss(stages->rehearsal, worker);
  }
}

static void on_grace_over(struct tg_timer *timer) {
  (void)timer;
}

/* Gives what is in the application's scopes the time that it has at a shutdown. */
static void wait_for_rest(struct tg_stages *stages) {
  struct tg_rehearsal *rehearsal = stages->rehearsal;
  struct tg_loop *loop = vm_of(stages)->loop;
  struct tg_timer timer = {0};
  uint64_t grace = stages->clock->real ? GRACE_REAL : GRACE;
  if (!count_left(stages) && !tg_rehearsal_busy(rehearsal)) return;
  if (tg_timer_start(&loop->timers, &timer, tg_loop_time(loop) + grace, on_grace_over)) return;
  start_limit(stages, CANCEL_TIME, LOOK_EVERY);
  while (tg_timer_active(&timer) && !stages->late &&
         (count_left(stages) || tg_rehearsal_busy(rehearsal)))
    tg_rehearsal_turn(rehearsal);
  stop_limit(stages);
  tg_timer_stop(&loop->timers, &timer);
}

static void leave(struct tg_stages *stages) {
  struct tg_stage *stage = stages->top;
  tg_scope_deinit(&stage->own);
  vm_of(stages)->root = stage->outer_root;
  tg_scope_deinit(&stage->application);
  stages->top = stage->outer;
  free(stage);
}

static int l_close(lua_State *L) {
  struct tg_stages *stages = stages_of(L);
  struct tg_stage *stage = stages->top;
  tg_scope_cancel(&stage->own, "cancelled");
  bool drained = drain(stages, &stage->own);
  lua_newtable(L);  // list
  if (drained) {
    tg_scope_close_owned(&stage->own);
    wait_for_rest(stages);
    list_tasks(L, &stage->application);
    list_handles(L, &stage->application);
    list_workers(L, stages);
    tg_scope_cancel(&stage->application, "shutdown");
    drained = drain(stages, &stage->application);
  }
  if (!drained) {
    lua_pushnil(L);
    lua_pushliteral(L, "lost");
    return 2;
  }
  leave(stages);
  return 1;
}

/* ---- what the runner asks ---- */

/* clock(real) */
static int l_clock(lua_State *L) {
  struct tg_stages *stages = stages_of(L);
  struct tg_loop_clock *clock = stages->clock;
  bool real = lua_toboolean(L, 1);
  tg_loop_clock_set_real(clock, real);
  uint64_t wall = tg_clock_wall();
  if (!real) { /* whole seconds are exact as numbers */
    uint64_t now = tg_loop_clock_time(clock);
    tg_loop_clock_jump(clock, (now + TG_SECOND - 1) / TG_SECOND * TG_SECOND);
    wall = wall / TG_SECOND * TG_SECOND;
  }
  tg_loop_clock_set_wall(clock, wall);
  return 0;
}

/* references(): coroutines are those of tasks, and userdata without a metatable tickets of
 * requests; both are kept to be used again. */
static int l_references(lua_State *L) {
  lua_Integer count = 0;
  for (lua_pushnil(L); lua_next(L, LUA_REGISTRYINDEX); lua_pop(L, 1)) {  // .. key value
    int type = lua_type(L, -1);
    if (lua_type(L, -2) != LUA_TNUMBER || type == LUA_TNUMBER || type == LUA_TTHREAD) continue;
    if (type == LUA_TUSERDATA && !lua_getmetatable(L, -1)) continue;
    if (type == LUA_TUSERDATA) lua_pop(L, 1);
    count++;
  }
  lua_pushinteger(L, count);
  return 1;
}

static int l_elapsed(lua_State *L) {
  (void)L;
  lua_pushnumber(L, (double)tg_clock_now() / 1e9);
  return 1;
}

static void push_functions(lua_State *L, const luaL_Reg *row, void *upvalue) {  // .. table
  for (; row->name; row++) {
    lua_pushlightuserdata(L, upvalue);
    lua_pushcclosure(L, row->func, 1);
    lua_setfield(L, -2, row->name);
  }
}

void tg_stages_push(lua_State *L, struct tg_stages *stages) {  // .. table
  lua_newtable(L);
  lua_setfield(L, LUA_REGISTRYINDEX, PLACES);
  static const luaL_Reg functions[] = {{"open", l_open},
                                       {"run", l_run},
                                       {"close", l_close},
                                       {"clock", l_clock},
                                       {"references", l_references},
                                       {"elapsed", l_elapsed},
                                       {NULL, NULL}};
  static const luaL_Reg requests[] = {
      {"begin", tg_rehearsal_begin},        {"all", tg_rehearsal_all},
      {"head", tg_rehearsal_head},          {"piece", tg_rehearsal_piece},
      {"close", tg_rehearsal_close_answer}, {NULL, NULL}};
  lua_newtable(L);  // .. table
  push_functions(L, functions, stages);
  lua_newtable(L);  // .. table requests
  push_functions(L, requests, stages->rehearsal);
  lua_setfield(L, -2, "requests");  // .. table
}

/* ---- life ---- */

tg_status tg_stages_init(struct tg_stages *stages, struct tg_rehearsal *rehearsal,
                         struct tg_loop_clock *clock) {
  *stages = (struct tg_stages){.rehearsal = rehearsal, .clock = clock};
  stages->limit.data = stages;
  return uv_timer_init(&rehearsal->offline->loop.uv, &stages->limit);
}

void tg_stages_deinit(struct tg_stages *stages) {
  TG_CHECK(!stages->top);
  uv_close((uv_handle_t *)&stages->limit, NULL);
  uv_run(stages->limit.loop, UV_RUN_NOWAIT);
}
