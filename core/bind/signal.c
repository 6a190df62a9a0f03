/* The C half of lua/tidegate/_core/signals.lua: which signals are free, and a list of functions for
 * each. The lists lie in the state's registry and so end with its generation. How a signal comes to
 * a state is app's business (host->watch_signal, app/signals.c). */
#include "bind/signal.h"

#include <lauxlib.h>
#include <signal.h>
#include <string.h>

#include "base/log_record.h"
#include "script/module.h"
#include "script/task.h"

#define LISTS "tg.signals"

TG_MODULE(signal)

static const struct known {
  const char *name;
  int number;
} known[] = {{"SIGUSR1", SIGUSR1}, {"SIGUSR2", SIGUSR2}, {"SIGHUP", SIGHUP}};

static int number_of(const char *name) {
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
    if (strcmp(known[i].name, name) == 0) return known[i].number;
  return 0;
}

/* watch(name) -> "here" | "elsewhere" (it does not come to this state) | "taken" | "unknown" |
 * "request" (asked for by a request, which ends sooner than a registration) */
static int l_watch(lua_State *L) {
  struct tg_vm *vm = tg_vm_of(L);
  int number = number_of(luaL_checkstring(L, 1));
  const char *answer = "here";
  tg_status status = number == SIGHUP ? TG_EEXISTS : TG_EUNSUPPORTED;
  if (vm->host->watch_signal && number) status = vm->host->watch_signal(vm, number);
  if (!number)
    answer = "unknown";
  else if (vm->running && vm->running->scope->exchange)
    answer = "request";
  else if (status)
    answer = status == TG_EEXISTS ? "taken" : "elsewhere";
  lua_pushstring(L, answer);
  return 1;
}

/* add(name, fn): fn is called, outside of any task, whenever the signal has come. */
static int l_add(lua_State *L) {
  int number = number_of(luaL_checkstring(L, 1));
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_getfield(L, LUA_REGISTRYINDEX, LISTS);  // name fn lists
  lua_rawgeti(L, 3, number);                  // name fn lists list
  if (lua_isnil(L, 4)) {
    lua_settop(L, 3);
    lua_newtable(L);
    lua_pushvalue(L, 4);
    lua_rawseti(L, 3, number);
  }
  lua_pushvalue(L, 2);
  lua_rawseti(L, 4, (int)lua_objlen(L, 4) + 1);
  return 0;
}

/* is_first(): of several loops, the one that does what is to be done once a process */
static int l_is_first(lua_State *L) {
  lua_pushboolean(L, tg_vm_of(L)->index == 0);
  return 1;
}

static int l_deliver(lua_State *L) {
  const int *number = lua_touserdata(L, 1);
  lua_getfield(L, LUA_REGISTRYINDEX, LISTS);  // number lists|nil
  if (!lua_istable(L, 2)) return 0;
  lua_rawgeti(L, 2, *number);  // number lists list|nil
  for (int i = 1; lua_istable(L, 3) && i <= (int)lua_objlen(L, 3); i++) {
    lua_rawgeti(L, 3, i);
    lua_call(L, 0, 0);
  }
  return 0;
}

static void complain(struct tg_vm *vm) {
  struct tg_log_record record;
  if (!vm->host->log || !tg_log_enabled(vm->host->log, TG_LOG_ERROR)) return;
  tg_log_record_begin(&record, vm->host->log, TG_LOG_ERROR,
                      TG_SLICE("a handler of tg.on_signal could not be started"));
  tg_log_record_end(&record, vm->host->log);
}

/* The functions only start tasks; what fails is memory, or the number of tasks. */
void tg_signal_deliver(struct tg_vm *vm, int number) {
  if (lua_cpcall(vm->L, l_deliver, &number) == 0) return;
  lua_pop(vm->L, 1);
  complain(vm);
}

int tg_open_signal(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"watch", l_watch}, {"add", l_add}, {"is_first", l_is_first}, {NULL, NULL}};
  lua_newtable(L);
  lua_setfield(L, LUA_REGISTRYINDEX, LISTS);
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
