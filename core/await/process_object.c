/* Handles of processes: who owns them, and what never suspends. */
#include "await/process_object.h"

#include <lauxlib.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "script/error.h"
#include "script/module.h"

/// For tidegate.process: the functions `kill`, `stop`, `detach`, `pid`.
TG_AWAITABLE(process_class)

static void settle(struct tg_process_handle *handle) {
  if (handle->has_object || handle->program) return;
  TG_CHECK(tg_list_empty(&handle->waiters));
  free(handle);
}

static void tell_waiters(struct tg_process_handle *handle) {
  struct tg_list *link;
  while ((link = tg_list_take_first(&handle->waiters))) {
    struct tg_process_waiter *waiter = TG_CONTAINER(link, struct tg_process_waiter, link);
    waiter->ended = handle->ended;
    waiter->exit_code = handle->exit_code;
    waiter->exit_signal = handle->exit_signal;
    tg_op_complete(&waiter->op);
  }
}

static void let_go(struct tg_process_handle *handle) {
  tg_owned_release(&handle->owned);
  tg_program_release(handle->program);
  handle->program = NULL;
  tell_waiters(handle);
  settle(handle);
}

static void on_ended(struct tg_program *program) {
  struct tg_process_handle *handle = program->owner;
  handle->ended = true;
  handle->exit_code = program->exit_code;
  handle->exit_signal = program->exit_signal;
  let_go(handle);
}

static void on_scope_end(struct tg_owned *owned) {
  struct tg_process_handle *handle = TG_CONTAINER(owned, struct tg_process_handle, owned);
  tg_program_end(handle->program, handle->grace);
  let_go(handle);
}

/* ---- the userdata ---- */

static int l_gc(lua_State *L) {
  struct tg_process_handle **box = lua_touserdata(L, 1);
  struct tg_process_handle *handle = *box;
  *box = NULL;
  if (!handle) return 0;
  handle->has_object = false;
  settle(handle);
  return 0;
}

static int l_push(lua_State *L) {
  struct tg_process_handle *handle = lua_touserdata(L, 1);
  struct tg_process_handle **box = lua_newuserdata(L, sizeof(struct tg_process_handle *));
  *box = NULL;
  if (luaL_newmetatable(L, TG_PROCESS_OBJECT)) {  // handle box meta
    lua_pushcfunction(L, l_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushliteral(L, TG_PROCESS_OBJECT);
    lua_setfield(L, -2, "__metatable");
  }
  lua_setmetatable(L, -2);
  *box = handle;
  handle->has_object = true;
  return 1;
}

static int l_no_memory(lua_State *L) {
  tg_error_throw(L, "out_of_memory", "tg.process.spawn: no memory");
}

int tg_process_push(lua_State *L, struct tg_program *program, uint64_t grace) {
  struct tg_process_handle *handle = calloc(1, sizeof *handle);
  int rc;
  if (handle) {
    *handle = (struct tg_process_handle){
        .owned = {.close = on_scope_end}, .program = program, .grace = grace, .pid = program->pid};
    tg_list_init(&handle->owned.link);
    tg_list_init(&handle->waiters);
    program->owner = handle;
    program->ended = on_ended;
    lua_pushcfunction(L, l_push);
    lua_pushlightuserdata(L, handle);
    rc = lua_pcall(L, 1, 1, 0);  // .. box | error
  } else {
    lua_pushcfunction(L, l_no_memory);
    rc = lua_pcall(L, 0, 1, 0);
  }
  if (rc == 0) {
    tg_scope_own(tg_scope_owner(tg_vm_of(L)), &handle->owned);
    if (program->state == TG_PROGRAM_ENDED) on_ended(program); /* it was quick */
    return 0;
  }
  tg_program_end(program, 0);
  tg_program_release(program);
  free(handle);
  return rc;
}

struct tg_process_handle *tg_process_check(lua_State *L, int index) {
  struct tg_process_handle **box = luaL_checkudata(L, index, TG_PROCESS_OBJECT);
  return *box;
}

int tg_process_push_end(lua_State *L, int exit_code, int exit_signal) {
  const char *name = exit_signal ? sigabbrev_np(exit_signal) : NULL;
  if (exit_code >= 0)
    lua_pushinteger(L, exit_code);
  else
    lua_pushnil(L);
  if (name)
    lua_pushfstring(L, "SIG%s", name);
  else if (exit_signal)
    lua_pushfstring(L, "signal %d", exit_signal);
  else
    lua_pushnil(L);
  return 2;
}

/* ---- what never suspends ---- */

/* "SIGTERM" -> 15; 0 for a name that is none. */
static int number_of(const char *name) {
  if (strncmp(name, "SIG", 3) != 0) return 0;
  for (int number = 1; number < NSIG; number++) {
    const char *known = sigabbrev_np(number);
    if (known && strcmp(known, name + 3) == 0) return number;
  }
  return 0;
}

/* kill(process, name) -> was there somebody to get it? nil: no such signal */
static int l_kill(lua_State *L) {
  struct tg_process_handle *handle = tg_process_check(L, 1);
  int number = number_of(luaL_checkstring(L, 2));
  if (!number) return 0;
  lua_pushboolean(L, handle->program && tg_program_signal(handle->program, number) == TG_OK);
  return 1;
}

/* stop(process, grace): SIGTERM, then SIGKILL */
static int l_stop(lua_State *L) {
  struct tg_process_handle *handle = tg_process_check(L, 1);
  uint64_t grace = lua_isnumber(L, 2) ? (uint64_t)(lua_tonumber(L, 2) * 1e9) : handle->grace;
  if (handle->program) tg_program_end(handle->program, grace);
  return 0;
}

/* detach(process) -> false where the application is not served yet: its hooks run on another loop,
 * which is not there later. */
static int l_detach(lua_State *L) {
  struct tg_process_handle *handle = tg_process_check(L, 1);
  struct tg_vm *vm = tg_vm_of(L);
  if (vm->serving && handle->program) tg_scope_own(vm->root, &handle->owned);
  lua_pushboolean(L, vm->serving);
  return 1;
}

static int l_pid(lua_State *L) {
  lua_pushinteger(L, tg_process_check(L, 1)->pid);
  return 1;
}

int tg_await_process_class(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"kill", l_kill}, {"stop", l_stop}, {"detach", l_detach}, {"pid", l_pid}, {NULL, NULL}};
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
