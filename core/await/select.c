/* tg.select: waits for several objects at once, and takes from exactly one.
 *
 * The list of cases is read in each of the two rounds: the first looks for those that are ready and
 * chooses one of them, each with the same chance; where there is none, the second puts one op into
 * all queues. What it offers to give is copied into a table of its own, so that a list that is
 * changed meanwhile changes nothing. */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "script/channel.h"
#include "script/error.h"
#include "script/module.h"
#include "script/mutex.h"
#include "script/vm.h"

/// Waits until one of several objects is ready, and takes from that one. ⏸
TG_AWAITABLE(select)

#define CASES_MAX 1000

static const struct tg_op_kind kind = {
    .name = "tg.select", .cancel = tg_wait_cancel, .finish = tg_wait_finish};

/* A case while it is looked at: it takes two places of the stack, the object and the value. */
struct choice {
  struct tg_sync *sync;
  enum tg_sync_side side;
  int object, value;
};

__attribute__((noreturn)) static void refuse(lua_State *L, int number, const char *why) {
  tg_error_misuse(L, "tg.select: case %d: %s", number, why);
}

/* {channel, "send", value} or {object, "recv"}; the case lies on top. */
static void read_pair(lua_State *L, int number, struct choice *choice) {  // .. case
  lua_rawgeti(L, -1, 1);
  lua_rawgeti(L, -2, 2);
  lua_rawgeti(L, -3, 3);  // .. case object word value
  const char *word = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "recv";
  choice->sync = tg_sync_find(L, -3);
  if (strcmp(word, "send") == 0)
    choice->side = TG_SYNC_GIVE;
  else if (strcmp(word, "recv") != 0)
    refuse(L, number, "\"send\" or \"recv\" expected");
  lua_remove(L, -2);
  lua_remove(L, -3);  // .. object value
}

/* Pushes object and value of a case; false where it is switched off. */
static bool read_case(lua_State *L, int number, struct choice *choice) {
  lua_rawgeti(L, 1, number);
  choice->side = TG_SYNC_TAKE;
  if (lua_istable(L, -1)) {
    read_pair(L, number, choice);
  } else {
    choice->sync = tg_sync_find(L, -1);
    bool off = lua_type(L, -1) == LUA_TBOOLEAN && !lua_toboolean(L, -1);
    lua_pushnil(L);  // .. object value
    if (off) return false;
  }
  choice->value = lua_gettop(L);
  choice->object = choice->value - 1;
  if (!choice->sync || choice->sync->type->alone)
    refuse(L, number, "a channel, event, semaphore or mutex expected, or {channel, \"send\", v}");
  if (choice->side == TG_SYNC_GIVE) {
    if (choice->sync->type != &tg_channel_type) refuse(L, number, "only channels can be sent to");
    tg_channel_check_value(L, choice->value, kind.name);
  }
  if (choice->sync->type == &tg_mutex_type)
    tg_mutex_check_not_held(L, TG_CONTAINER(choice->sync, struct tg_mutex, sync), kind.name);
  return true;
}

/* xorshift: cheap, and no case is favoured. */
static uint32_t roll(struct tg_sync *sync) {
  sync->dice ^= sync->dice << 13;
  sync->dice ^= sync->dice >> 17;
  sync->dice ^= sync->dice << 5;
  return sync->dice;
}

/* Number of the case that is chosen, or 0 where none is ready; `live` counts those that are on. */
static int choose(lua_State *L, int count, unsigned *live) {
  int chosen = 0;
  uint32_t found = 0;
  *live = 0;
  for (int i = 1; i <= count; i++) {
    struct choice choice;
    bool on = read_case(L, i, &choice);
    lua_pop(L, 2);
    if (!on) continue;
    ++*live;
    if (!choice.sync->type->ready(choice.sync, choice.side)) continue;
    if (++found == 1 || roll(choice.sync) % found == 0) chosen = i;
  }
  return chosen;
}

static int take(lua_State *L, int number) {
  struct choice choice;
  read_case(L, number, &choice);
  int base = lua_gettop(L);
  int results = choice.sync->type->take(L, choice.sync, choice.side, choice.object, choice.value);
  lua_pushinteger(L, number);
  lua_insert(L, -results - 1);
  TG_CHECK(lua_gettop(L) > base);
  return results + 1;
}

/* ---- waiting ---- */

static void on_due(struct tg_timer *timer) {
  tg_wait_time_out(TG_CONTAINER(timer, struct tg_wait, timer));
}

/* What the cases would give, by their numbers: a reference to a table, or LUA_NOREF. */
static int keep_values(lua_State *L, int count) {
  bool any = false;
  lua_createtable(L, count, 0);  // .. values
  int values = lua_gettop(L);
  for (int i = 1; i <= count; i++) {
    struct choice choice;
    bool gives = read_case(L, i, &choice) && choice.side == TG_SYNC_GIVE;
    any = any || gives;
    if (gives) lua_rawseti(L, values, i);
    lua_settop(L, values);
  }
  if (any) return luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pop(L, 1);
  return LUA_NOREF;
}

static int wait(lua_State *L, int count, unsigned live, double timeout) {
  struct tg_vm *vm = tg_vm_of(L);
  int value = keep_values(L, count);
  struct tg_wait *wait = tg_wait_new(vm, &kind, live);
  tg_status status = wait ? TG_OK : TG_ENOMEM;
  if (wait && timeout >= 0)
    status = tg_timer_start(&vm->loop->timers, &wait->timer,
                            tg_loop_time(vm->loop) + (uint64_t)(timeout * 1e9), on_due);
  if (status) {
    free(wait);
    luaL_unref(L, LUA_REGISTRYINDEX, value);
    tg_error_throw(L, "out_of_memory", "tg.select: no memory");
  }
  wait->value = value;
  for (int i = 1; i <= count; i++) {
    struct choice choice;
    if (read_case(L, i, &choice)) tg_wait_join(wait, choice.sync, choice.side, i);
    lua_pop(L, 2);
  }
  return tg_op_suspend(L, &wait->op);
}

/* Seconds, or -1 where none are given. */
static double read_timeout(lua_State *L) {
  lua_pushliteral(L, "timeout");
  lua_rawget(L, 1);
  double seconds = lua_isnil(L, -1) ? -1 : lua_tonumber(L, -1);
  if (!lua_isnil(L, -1) && !(lua_type(L, -1) == LUA_TNUMBER && seconds >= 0 && seconds <= 1e9))
    tg_error_misuse(L, "tg.select: timeout: seconds from 0 to 1e9 expected");
  lua_pop(L, 1);
  return seconds;
}

static bool read_default(lua_State *L) {
  lua_pushliteral(L, "default");
  lua_rawget(L, 1);
  bool given = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return given;
}

int tg_await_select(lua_State *L) {
  if (!lua_istable(L, 1))
    tg_error_misuse(L, "tg.select: a table of cases expected, got %s", luaL_typename(L, 1));
  lua_settop(L, 1);
  size_t len = lua_objlen(L, 1);
  if (len > CASES_MAX) tg_error_misuse(L, "tg.select: more than %d cases", CASES_MAX);
  int count = (int)len;
  double timeout = read_timeout(L);
  unsigned live;
  tg_op_begin(L);
  int chosen = choose(L, count, &live);
  if (chosen) return take(L, chosen);
  if (read_default(L) || timeout == 0) {
    lua_pushstring(L, timeout == 0 ? "timeout" : "default");
    return 1;
  }
  if (!live && timeout < 0)
    tg_error_misuse(L, "tg.select: no case, no timeout and no default: it would wait for ever");
  return wait(L, count, live, timeout);
}
