/* exec: a Lua script in a task of its own, beside the application.
 *
 * The state is one of a worker's: what suspends works, and what blocks does, too. Tasks that the
 * script has started are waited for; when it fails, they are cancelled. A task that failed and was
 * not joined is shown, and counts: nobody else would ever tell. */
#include <errno.h>
#include <lauxlib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli.h"
#include "app/offline.h"
#include "base/check.h"
#include "base/clock.h"
#include "bind/signal.h"
#include "script/error.h"
#include "script/task.h"

#define SOURCE_MAX (16u << 20)
#define TURN_MAX   (10 * TG_MILLISECOND)

struct script {
  struct tg_offline *offline;
  struct tg_vm *vm;
  const char *name;
  struct tg_buffer source;
  struct tg_task *task;
  struct tg_scope scope;
  bool ended;
  bool failed;
};

/* --- in Lua, protected ------------------------------------------------------------------------ */

static void push_module(lua_State *L, const char *function) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "tidegate._core.script");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, function);
  lua_remove(L, -2);
}

static int l_prepare(lua_State *L) {
  struct script *script = lua_touserdata(L, 1);
  lua_settop(L, 0);
  push_module(L, "prepare");
  lua_pushstring(L, script->name);
  lua_pushlstring(L, script->source.data ? script->source.data : "", script->source.len);
  lua_rawgeti(L, LUA_REGISTRYINDEX, script->vm->ref_env);
  lua_call(L, 3, 2);  // chunk text
  if (lua_isnil(L, 1)) {
    fputs(lua_tostring(L, 2), stderr);
    script->failed = true;
    return 0;
  }
  lua_settop(L, 1);
  lua_xmove(L, script->task->co, 1);
  return 0;
}

struct failure {
  struct script *script;
  const struct tg_error_view *view;
};

static void push_sources(lua_State *L, const struct script *script) {
  const struct tg_generation *generation = script->offline->generation;
  lua_newtable(L);
  for (size_t i = 0; generation && i < generation->bundle->count; i++) {
    const struct tg_bundle_file *file = &generation->bundle->files[i];
    lua_pushlstring(L, file->source.ptr ? file->source.ptr : "", file->source.len);
    lua_setfield(L, -2, file->path);
  }
  lua_pushlstring(L, script->source.data ? script->source.data : "", script->source.len);
  lua_setfield(L, -2, script->name);
}

static int l_render(lua_State *L) {
  const struct failure *failure = lua_touserdata(L, 1);
  lua_settop(L, 0);
  push_module(L, "render");
  lua_pushlstring(L, failure->view->message.data ? failure->view->message.data : "",
                  failure->view->message.len);
  lua_pushstring(L, failure->view->place);
  push_sources(L, failure->script);
  lua_call(L, 3, 1);
  fputs(lua_tostring(L, 1), stderr);
  return 0;
}

/* --- running ---------------------------------------------------------------------------------- */

static void fail(struct script *script, struct tg_task *task) {
  script->failed = true;
  struct tg_error_view view;
  lua_State *L = script->vm->L;
  tg_error_view_init(&view, L, task->co, -1);
  struct failure failure = {script, &view};
  if (lua_cpcall(L, l_render, &failure) != 0) {
    fprintf(stderr, "error: %.*s\n", (int)view.message.len, view.message.data);
    lua_pop(L, 1);
  }
  tg_error_view_deinit(&view);
}

static void on_ended(struct tg_task *task, tg_status status, int nresults) {
  struct script *script = task->owner;
  (void)nresults;
  script->ended = true;
  tg_loop_stop(task->vm->loop); /* else a loop without events would wait for one */
  if (status) fail(script, task);
}

static void on_turned(struct tg_timer *timer) {
  (void)timer;
}

/* One turn, however little happens: nothing tells when the last of several tasks has ended. */
static void turn(struct tg_loop *loop) {
  struct tg_timer timer = {0};
  TG_CHECK(tg_timer_start(&loop->timers, &timer, tg_clock_now() + TURN_MAX, on_turned) == TG_OK);
  uv_run(&loop->uv, UV_RUN_ONCE);
  tg_timer_stop(&loop->timers, &timer);
}

/* A task that was never started goes with its scope; so the text is compiled first, on its stack.
 */
static void run_script(struct script *script) {
  struct tg_vm *vm = script->vm;
  tg_scope_init(&script->scope, vm, vm->root);
  script->task = tg_task_new(vm, &script->scope, 0);
  TG_CHECK(script->task);
  script->task->owner = script;
  script->task->ended = on_ended;
  if (lua_cpcall(vm->L, l_prepare, script) != 0) {
    fprintf(stderr, "error: %s\n", lua_tostring(vm->L, -1));
    lua_pop(vm->L, 1);
    script->failed = true;
  }
  if (script->failed) {
    luaL_loadstring(script->task->co, ""); /* ends at once */
  }
  tg_task_start(script->task, 0);
  while (!script->ended) uv_run(&vm->loop->uv, UV_RUN_ONCE);
  while (script->scope.total) turn(vm->loop);
  tg_scope_deinit(&script->scope);
}

static void cancel_background(struct tg_vm *vm) {
  tg_scope_cancel(vm->root, "shutdown");
  while (vm->task_count) turn(vm->loop);
}

static void on_stopped(struct tg_vm *vm) {
  tg_generation_free_vm(vm);
}

/* *exit: the errors of loading were shown. */
static struct tg_vm *new_vm(struct tg_offline *offline, int *exit) {
  char *error = NULL;
  struct tg_vm *vm = NULL;
  *exit = TG_EXIT_OK;
  if (tg_offline_has_application(offline)) {
    *exit = tg_offline_load(offline);
    if (*exit) return NULL;
    vm = tg_generation_new_vm(offline->generation, &offline->host, &offline->loop, TG_ROLE_WORKER,
                              0, NULL, &error);
  } else {
    vm = tg_vm_new(&offline->host, &offline->loop, TG_ROLE_WORKER, 0, &error);
    if (vm) tg_vm_serve(vm);
  }
  if (!vm) {
    fputs(error ? error : "error: out of memory\n", stderr);
    *exit = TG_EXIT_FAILED;
  }
  free(error);
  return vm;
}

static tg_status read_source(const struct tg_options *options, struct tg_buffer *source) {
  if (options->code) return tg_buffer_append(source, options->code, strlen(options->code));
  const char *path = options->args[0];
  FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
  if (!file) return -errno;
  tg_status status = TG_OK;
  size_t n = 1;
  while (!status && n) {
    status = tg_buffer_reserve(source, 65536);
    n = status ? 0 : fread(tg_buffer_tail(source), 1, 65536, file);
    tg_buffer_wrote(source, n);
    if (source->len > SOURCE_MAX) status = TG_ETOO_LARGE;
  }
  if (!status && ferror(file)) status = errno ? -errno : TG_EIO;
  if (file != stdin) fclose(file);
  return status;
}

/* --- signals ---------------------------------------------------------------------------------- */

/* Listened to from the registration on: before it, they end the script as they end any program. */
struct listening {
  struct ear {
    uv_signal_t uv;
    struct tg_vm *vm;
    bool open;
  } ears[_NSIG];
};

static void on_signal(uv_signal_t *uv, int number) {
  tg_signal_deliver(TG_CONTAINER(uv, struct ear, uv)->vm, number);
}

static tg_status watch_signal(struct tg_vm *vm, int number) {
  struct listening *listening = vm->host->process;
  struct ear *ear = &listening->ears[number];
  /* The application was loaded once before, to be looked at. */
  if (vm->role != TG_ROLE_WORKER) return TG_EUNSUPPORTED;
  if (ear->open) return TG_OK;
  tg_status status = uv_signal_init(&vm->loop->uv, &ear->uv);
  if (status) return status;
  ear->open = true;
  ear->vm = vm;
  uv_unref((uv_handle_t *)&ear->uv);
  return uv_signal_start(&ear->uv, on_signal, number);
}

static void close_ears(struct listening *listening) {
  for (int i = 0; i < _NSIG; i++)
    if (listening->ears[i].open) uv_close((uv_handle_t *)&listening->ears[i].uv, NULL);
}

static int exec(struct tg_offline *offline) {
  const struct tg_options *options = offline->options;
  struct script script = {.offline = offline,
                          .name = options->code ? "(command line)" : options->args[0]};
  int exit = TG_EXIT_FAILED;
  tg_status status = read_source(options, &script.source);
  if (status)
    fprintf(stderr, "error: %s: %s\n", script.name, tg_status_text(status));
  else
    script.vm = new_vm(offline, &exit);
  if (script.vm) {
    run_script(&script);
    exit = script.failed ? TG_EXIT_FAILED : TG_EXIT_OK;
    cancel_background(script.vm);
    if (offline->generation)
      tg_generation_stop_vm(script.vm, on_stopped);
    else
      tg_vm_free(script.vm);
  }
  tg_buffer_deinit(&script.source);
  return exit;
}

/* What is closed is closed in the loop's last turns. */
static int run(struct tg_offline *offline) {
  struct listening *listening = tg_check_calloc(1, sizeof *listening);
  offline->host.process = listening;
  offline->host.watch_signal = watch_signal;
  int status = exec(offline);
  close_ears(listening);
  uv_run(&offline->loop.uv, UV_RUN_NOWAIT);
  free(listening);
  return status;
}

int tg_command_exec(const struct tg_options *options) {
  if ((options->code != NULL) == (options->arg_count == 1)) {
    fprintf(stderr, "error: usage: tidegate exec FILE, or tidegate exec -e CODE\n");
    return TG_EXIT_USAGE;
  }
  return tg_offline_run(options, run);
}
