/* The op that waits for a job: what tg.blocking and tg.on_loop share.
 *
 * The op and the job are two things: a task that is cancelled drops the job and goes on at once,
 * and whoever runs it, which nothing can stop inside C code, keeps it until it is done. */
#include "await/job_op.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "script/job.h"
#include "script/values.h"

struct run_op {
  struct tg_op op;
  const struct tg_job_way *way;
  struct tg_job *job; /* NULL when it was dropped */
};

static void on_back(struct tg_job *job) {
  struct run_op *run = job->giver;
  tg_op_complete(&run->op);
}

void tg_job_op_cancel(struct tg_op *op) {
  struct run_op *run = TG_CONTAINER(op, struct run_op, op);
  run->job->drop(run->job);
  run->job = NULL;
  tg_op_complete(op);
}

/* ---- the outcome; protected, because a job is held meanwhile ---- */

static void set_text(lua_State *L, const char *name, struct tg_slice text) {  // .. error
  lua_pushlstring(L, text.ptr ? text.ptr : "", text.len);
  lua_setfield(L, -2, name);
}

/* tg.abort's, kept as "name\nvalue\n" lines. */
static void set_headers(lua_State *L, struct tg_slice lines) {  // .. error
  lua_newtable(L);
  while (lines.len) {
    struct tg_slice part[2] = {0};
    for (int i = 0; i < 2 && lines.len; i++) {
      const char *end = memchr(lines.ptr, '\n', lines.len);
      part[i] = tg_slice(lines.ptr, end ? (size_t)(end - lines.ptr) : lines.len);
      lines = tg_slice_skip(lines, end ? part[i].len + 1 : part[i].len);
    }
    lua_pushlstring(L, part[0].ptr, part[0].len);
    lua_pushlstring(L, part[1].ptr ? part[1].ptr : "", part[1].len);
    lua_rawset(L, -3);
  }
  lua_setfield(L, -2, "headers");
}

/* The far frames, then those of the task that has waited. */
static void set_traceback(lua_State *L, const struct tg_error_view *view,
                          const char *where) {  // .. error
  struct tg_slice far = tg_buffer_slice(&view->traceback);
  struct tg_buffer text = {0};
  luaL_traceback(L, L, NULL, 1);  // .. error near
  lua_insert(L, -2);              // .. near error
  tg_error_fold(&text, lua_tostring(L, -2));
  luaL_Buffer joined;
  luaL_buffinit(L, &joined);
  luaL_addlstring(&joined, far.ptr ? far.ptr : "", far.len);
  luaL_addstring(&joined, far.len ? "\n(in " : "(in ");
  luaL_addstring(&joined, where);
  luaL_addstring(&joined, ", for)\n");
  luaL_addlstring(&joined, text.data ? text.data : "", text.len);
  tg_buffer_deinit(&text);
  luaL_pushresult(&joined);  // .. near error joined
  lua_setfield(L, -2, "traceback");
}

static void push_script_error(lua_State *L, const struct tg_job *job, const char *where) {
  const struct tg_error_view *view = &job->error;
  struct tg_slice message = tg_buffer_slice(&view->message);
  tg_error_push(L, view->code[0] ? view->code : "error", "%s", "");  // .. error
  set_text(L, "message", message);
  if (view->place[0] && !tg_slice_starts(message, tg_slice_cstr(view->place)))
    set_text(L, "place", tg_slice_cstr(view->place));
  if (view->status != 500) lua_pushinteger(L, view->status), lua_setfield(L, -2, "status");
  if (view->detail.len) set_text(L, "detail", tg_buffer_slice(&view->detail));
  if (view->headers.len) set_headers(L, tg_buffer_slice(&view->headers));
  set_traceback(L, view, where);
}

static void push_failure(lua_State *L, tg_status status, const struct tg_job_way *way) {
  if (status == TG_EOVERLOAD)
    tg_error_push(L, "overload", "%s: %s", way->kind.name, way->overload);
  else if (status == TG_EUNSUPPORTED)
    tg_error_push(L, "not_available", "%s: %s", way->kind.name, way->unsupported);
  else
    tg_error_push_status(L, status, way->kind.name);  // .. error
  if (status == TG_EOVERLOAD) lua_pushinteger(L, 503), lua_setfield(L, -2, "status");
  tg_error_push_place(L, 0);
  lua_setfield(L, -2, "place");
}

static int l_outcome(lua_State *L) {
  const struct tg_job *job = lua_touserdata(L, 1);
  const struct tg_job_way *way = lua_touserdata(L, 2);
  struct tg_slice bytes = tg_buffer_slice(&job->values);
  if (job->status == TG_OK) return tg_values_unpack(L, bytes.ptr, bytes.len);
  if (job->status == TG_ESCRIPT)
    push_script_error(L, job, way->where);
  else
    push_failure(L, job->status, way);
  return lua_error(L);
}

int tg_job_op_finish(struct tg_op *op, lua_State *L) {
  struct run_op *run = TG_CONTAINER(op, struct run_op, op);
  struct tg_job *job = run->job;
  const struct tg_job_way *way = run->way;
  free(run);
  if (!L) {
    if (job) tg_job_free(job);
    return 0;
  }
  if (!job) tg_op_throw_cancelled(L);
  int top = lua_gettop(L);
  lua_pushcfunction(L, l_outcome);
  lua_pushlightuserdata(L, job);
  lua_pushlightuserdata(L, (void *)way);
  int rc = lua_pcall(L, 2, LUA_MULTRET, 0);
  tg_job_free(job);
  return rc ? lua_error(L) : lua_gettop(L) - top;
}

/* ---- the start ---- */

static int on_dumped(lua_State *L, const void *bytes, size_t len, void *owner) {
  (void)L;
  return tg_buffer_append(owner, bytes, len);
}

/* Reads function and arguments from the stack of the call; throws nothing. */
static tg_status fill(lua_State *L, struct tg_job *job, char **path) {
  size_t len;
  tg_status status = tg_values_pack(L, 2, lua_gettop(L) - 1, &job->values, path);
  if (status) return status;
  job->is_bytecode = lua_type(L, 1) == LUA_TFUNCTION;
  if (!job->is_bytecode) {
    const char *name = lua_tolstring(L, 1, &len);
    return tg_buffer_append(&job->function, name, len);
  }
  lua_pushvalue(L, 1);
  return lua_dump(L, on_dumped, &job->function) ? TG_ENOMEM : TG_OK;
}

__attribute__((noreturn)) static void fail(lua_State *L, tg_status status, char *path,
                                           const struct tg_job_way *way) {
  char line[512];
  snprintf(line, sizeof line, "%s", path ? path : "a value");
  free(path);
  if (status == TG_EFOREIGN)
    tg_error_throw(L, "foreign_handle",
                   "%s cannot cross to %s; tg.shared carries values between Lua states", line,
                   way->where);
  if (status == TG_EINVALID)
    tg_error_throw(L, "cannot_cross", "%s cannot cross to %s", line, way->where);
  push_failure(L, status, way);
  lua_error(L);
  __builtin_unreachable();
}

int tg_job_op_start(lua_State *L, const struct tg_job_way *way) {
  struct tg_vm *vm = tg_vm_of(L);
  bool is_function = lua_type(L, 1) == LUA_TFUNCTION;
  if (!is_function && lua_type(L, 1) != LUA_TSTRING)
    tg_error_misuse(L, "bad argument #1 to '%s' (a function, or \"module.fn\" expected)",
                    way->kind.name + 3);
  luaL_checkstack(L, 4, NULL);
  if (is_function) tg_job_check_function(L, 1, way->where);
  struct tg_task *task = tg_op_begin(L);
  char *path = NULL;
  struct tg_job *job = tg_job_new();
  struct run_op *run = calloc(1, sizeof *run);
  tg_status status = job && run ? fill(L, job, &path) : TG_ENOMEM;
  if (!status) {
    tg_op_init(&run->op, &way->kind);
    run->way = way;
    run->job = job;
    job->giver = run;
    job->back = on_back;
    job->cpu_budget = task->cpu_budget;
    status = way->give(vm, job);
  }
  if (!status) return tg_op_suspend(L, &run->op);
  if (job) tg_job_free(job);
  free(run);
  fail(L, status, path, way);
}
