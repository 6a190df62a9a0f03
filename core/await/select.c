/* tg.select: waits for several objects at once, and takes from exactly one.
 *
 * The list of cases is read twice: the first time for those that are ready, of which one is chosen,
 * each with the same chance; where there is none, the second time to put one op into all queues.
 * Between two readings a finalizer may run and change the list, so each checks all of it, and
 * reading itself neither allocates nor throws. What is offered is copied into a table of its own.
 */
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

enum problem { FINE, OFF, NO_OBJECT, NO_WORD, NO_CHANNEL, NIL_VALUE, DEADLOCK };

static void report(lua_State *L, enum problem problem, int number) {
  static const char *const texts[] = {
      [NO_OBJECT] = "a channel, event, semaphore or mutex expected, or {channel, \"send\", v}",
      [NO_WORD] = "\"send\" or \"recv\" expected",
      [NO_CHANNEL] = "only channels can be sent to",
  };
  if (problem == NIL_VALUE) tg_channel_refuse_nil(L, kind.name);
  if (problem == DEADLOCK) tg_mutex_refuse_again(L, kind.name);
  if (problem != FINE && problem != OFF)
    tg_error_misuse(L, "tg.select: case %d: %s", number, texts[problem]);
}

/* {channel, "send", value} or {object, "recv"}; the case lies on top. */
static enum problem read_pair(lua_State *L, struct choice *choice) {  // .. case
  lua_rawgeti(L, -1, 1);
  lua_rawgeti(L, -2, 3);
  lua_rawgeti(L, -3, 2);  // .. case object value word
  const char *word = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "recv";
  bool gives = strcmp(word, "send") == 0, known = gives || strcmp(word, "recv") == 0;
  if (gives) choice->side = TG_SYNC_GIVE;
  lua_pop(L, 1);
  lua_remove(L, -3);  // .. object value
  return known ? FINE : NO_WORD;
}

/* Pushes object and value of a case. */
static enum problem read_case(lua_State *L, int number, struct choice *choice) {
  enum problem problem = FINE;
  lua_rawgeti(L, 1, number);
  choice->side = TG_SYNC_TAKE;
  if (lua_istable(L, -1))
    problem = read_pair(L, choice);
  else
    lua_pushnil(L);  // .. object value
  choice->value = lua_gettop(L);
  choice->object = choice->value - 1;
  choice->sync = tg_sync_find(L, choice->object);
  if (problem) return problem;
  if (lua_type(L, choice->object) == LUA_TBOOLEAN && !lua_toboolean(L, choice->object)) return OFF;
  if (!choice->sync || choice->sync->type->alone) return NO_OBJECT;
  if (choice->side == TG_SYNC_GIVE && choice->sync->type != &tg_channel_type) return NO_CHANNEL;
  if (choice->side == TG_SYNC_GIVE && lua_isnil(L, choice->value)) return NIL_VALUE;
  if (choice->sync->type == &tg_mutex_type &&
      tg_mutex_held(TG_CONTAINER(choice->sync, struct tg_mutex, sync)))
    return DEADLOCK;
  return FINE;
}

/* xorshift: cheap, and no case is favoured. */
static uint32_t roll(struct tg_sync *sync) {
  sync->dice ^= sync->dice << 13;
  sync->dice ^= sync->dice >> 17;
  sync->dice ^= sync->dice << 5;
  return sync->dice;
}

/* Number of the case that is chosen, or 0 where none is ready; `live` says whether any is on. */
static int choose(lua_State *L, int count, bool *live) {
  int chosen = 0;
  uint32_t found = 0;
  *live = false;
  for (int i = 1; i <= count; i++) {
    struct choice choice;
    enum problem problem = read_case(L, i, &choice);
    report(L, problem, i);
    lua_pop(L, 2);
    if (problem == OFF) continue;
    *live = true;
    if (!choice.sync->type->ready(choice.sync, choice.side)) continue;
    if (++found == 1 || roll(choice.sync) % found == 0) chosen = i;
  }
  return chosen;
}

static int take(lua_State *L, int number) {
  struct choice choice;
  TG_CHECK(read_case(L, number, &choice) == FINE);
  int results = choice.sync->type->take(L, choice.sync, choice.side, choice.object, choice.value);
  lua_pushinteger(L, number);
  lua_insert(L, -results - 1);
  return results + 1;
}

/* ---- waiting ---- */

static void on_due(struct tg_timer *timer) {
  tg_wait_time_out(TG_CONTAINER(timer, struct tg_wait, timer));
}

/* Joins all queues; what is given goes into the table at stack index 2, where it has room. */
static enum problem join(lua_State *L, struct tg_wait *wait, int count, int *number) {
  enum problem problem = FINE;
  for (*number = 1; *number <= count; ++*number) {
    struct choice choice;
    problem = read_case(L, *number, &choice);
    if (problem == FINE) {
      tg_wait_join(wait, choice.sync, choice.side, *number);
      if (choice.side == TG_SYNC_GIVE) lua_rawseti(L, 2, *number);
    }
    lua_settop(L, 2);
    if (problem != FINE && problem != OFF) return problem;
  }
  return FINE;
}

static int wait_for_all(lua_State *L, int count, double timeout) {
  struct tg_vm *vm = tg_vm_of(L);
  lua_createtable(L, count, 0);  // cases values
  lua_pushvalue(L, 2);
  int values = luaL_ref(L, LUA_REGISTRYINDEX);
  struct tg_wait *wait = tg_wait_new(vm, &kind, (unsigned)count, values);
  if (!wait) tg_error_throw(L, "out_of_memory", "tg.select: no memory");
  tg_status status = TG_OK;
  if (timeout >= 0)
    status = tg_timer_start(&vm->loop->timers, &wait->timer,
                            tg_loop_time(vm->loop) + (uint64_t)(timeout * 1e9), on_due);
  int number = 0;
  enum problem problem = status ? FINE : join(L, wait, count, &number);
  if (status || problem) tg_wait_discard(wait);
  if (status) tg_error_throw(L, "out_of_memory", "tg.select: no memory");
  report(L, problem, number);
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
  bool live;
  tg_op_begin(L);
  int chosen = choose(L, count, &live);
  if (chosen) return take(L, chosen);
  if (read_default(L) || timeout == 0) {
    lua_pushstring(L, timeout == 0 ? "timeout" : "default");
    return 1;
  }
  if (!live && timeout < 0)
    tg_error_misuse(L, "tg.select: no case, no timeout and no default: it would wait for ever");
  return wait_for_all(L, count, timeout);
}
