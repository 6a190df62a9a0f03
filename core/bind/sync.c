/* Making channels, mutexes and their kin, and those of their methods that never suspend; for
 * _core/sync.lua, which adds the others and the metatables. */
#include <lauxlib.h>

#include "base/check.h"
#include "script/barrier.h"
#include "script/channel.h"
#include "script/condition.h"
#include "script/error.h"
#include "script/event.h"
#include "script/module.h"
#include "script/mutex.h"
#include "script/semaphore.h"
#include "script/vm.h"

TG_MODULE(sync)

/* Constructors are called with the metatable and the user's argument. */
#define META 1

static unsigned check_count(lua_State *L, const char *what, unsigned least, unsigned most) {
  double count = lua_type(L, 2) == LUA_TNUMBER ? lua_tonumber(L, 2) : -1;
  if (!(count >= least && count <= most && count == (double)(unsigned)count))
    tg_error_misuse(L, "%s: an integer from %u to %u expected", what, least, most);
  return (unsigned)count;
}

/* ---- channels ---- */

static int l_channel(lua_State *L) {
  if (lua_isnoneornil(L, 2)) {
    lua_settop(L, 1);
    lua_pushinteger(L, 0);
  }
  tg_channel_push(L, META, check_count(L, "tg.channel", 0, TG_CHANNEL_CAPACITY_MAX));
  return 1;
}

static int l_gc(lua_State *L) {
  tg_sync_deinit(lua_touserdata(L, 1));
  return 0;
}

static int answer(lua_State *L, const char *why) {
  lua_pushnil(L);
  lua_pushstring(L, why);
  return 2;
}

/* -> true | false, "full" | false, "closed" */
static int l_channel_try_send(lua_State *L) {
  struct tg_channel *channel = tg_channel_check(L, "ch:try_send");
  tg_channel_check_value(L, 2, "ch:try_send");
  bool ready = !channel->closed && tg_channel_type.ready(&channel->sync, TG_SYNC_GIVE);
  if (ready) tg_channel_type.take(L, &channel->sync, TG_SYNC_GIVE, 1, 2);
  lua_pushboolean(L, ready);
  if (ready) return 1;
  lua_pushstring(L, channel->closed ? "closed" : "full");
  return 2;
}

/* -> value | nil, "empty" | nil, "closed" */
static int l_channel_try_recv(lua_State *L) {
  struct tg_channel *channel = tg_channel_check(L, "ch:try_recv");
  if (!tg_channel_type.ready(&channel->sync, TG_SYNC_TAKE)) return answer(L, "empty");
  return tg_channel_type.take(L, &channel->sync, TG_SYNC_TAKE, 1, 0);
}

static int l_channel_close(lua_State *L) {
  tg_channel_close(tg_channel_check(L, "ch:close"));
  return 0;
}

static int l_channel_len(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)tg_channel_check(L, "ch:len")->count);
  return 1;
}

static int l_channel_capacity(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)tg_channel_check(L, "ch:capacity")->capacity);
  return 1;
}

static int l_channel_closed(lua_State *L) {
  lua_pushboolean(L, tg_channel_check(L, "ch:closed")->closed);
  return 1;
}

/* ---- mutexes and conditions ---- */

static int l_mutex(lua_State *L) {
  tg_mutex_push(L, META);
  return 1;
}

static int l_mutex_gc(lua_State *L) {
  tg_mutex_deinit(lua_touserdata(L, 1));
  return 0;
}

static int l_mutex_try_lock(lua_State *L) {
  struct tg_mutex *mutex = tg_mutex_check(L, "m:try_lock");
  struct tg_task *task = mutex->sync.vm->running;
  if (!task) tg_error_throw(L, "no_task", "m:try_lock: a mutex is locked by a task");
  tg_mutex_check_not_held(L, mutex, "m:try_lock");
  bool free = !mutex->holder;
  if (free) tg_mutex_give(mutex, task);
  lua_pushboolean(L, free);
  return 1;
}

static int l_mutex_unlock(lua_State *L) {
  struct tg_mutex *mutex = tg_mutex_check(L, "m:unlock");
  tg_mutex_check_held(L, mutex, "m:unlock");
  tg_mutex_release(mutex);
  return 0;
}

static int l_mutex_locked(lua_State *L) {
  lua_pushboolean(L, tg_mutex_check(L, "m:locked")->holder != NULL);
  return 1;
}

static int l_condition(lua_State *L) {
  struct tg_sync *mutex = tg_sync_find(L, 2);
  if (!mutex || mutex->type != &tg_mutex_type)
    tg_error_misuse(L, "tg.condition: a mutex expected, got %s", luaL_typename(L, 2));
  tg_condition_push(L, META, 2);
  return 1;
}

/* -> the condition's mutex */
static int l_condition_mutex(lua_State *L) {
  tg_condition_check(L, "c:mutex");
  lua_getfenv(L, 1);
  lua_rawgeti(L, -1, 1);
  return 1;
}

static int l_condition_notify(lua_State *L) {
  struct tg_condition *condition = tg_condition_check(L, "c:notify");
  lua_settop(L, 2);
  if (lua_isnil(L, 2)) {
    lua_pushinteger(L, 1);
    lua_replace(L, 2);
  }
  unsigned told = tg_condition_notify(condition, check_count(L, "c:notify", 0, INT32_MAX));
  lua_pushinteger(L, (lua_Integer)told);
  return 1;
}

static int l_condition_notify_all(lua_State *L) {
  unsigned told = tg_condition_notify(tg_condition_check(L, "c:notify_all"), UINT32_MAX);
  lua_pushinteger(L, (lua_Integer)told);
  return 1;
}

/* ---- semaphores ---- */

static int l_semaphore(lua_State *L) {
  tg_semaphore_push(L, META, check_count(L, "tg.semaphore", 1, INT32_MAX));
  return 1;
}

static int l_semaphore_try_acquire(lua_State *L) {
  struct tg_semaphore *semaphore = tg_semaphore_check(L, "sem:try_acquire");
  bool free = semaphore->free > 0;
  if (free) semaphore->free--;
  lua_pushboolean(L, free);
  return 1;
}

static int l_semaphore_release(lua_State *L) {
  struct tg_semaphore *semaphore = tg_semaphore_check(L, "sem:release");
  if (!tg_semaphore_release(semaphore))
    tg_error_throw(L, "not_acquired", "sem:release: all %u places are free; nothing was acquired",
                   semaphore->places);
  return 0;
}

static int l_semaphore_available(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)tg_semaphore_check(L, "sem:available")->free);
  return 1;
}

/* ---- events and barriers ---- */

static int l_event(lua_State *L) {
  tg_event_push(L, META);
  return 1;
}

static int l_event_set(lua_State *L) {
  tg_event_set(tg_event_check(L, "ev:set"));
  return 0;
}

static int l_event_clear(lua_State *L) {
  tg_event_check(L, "ev:clear")->set = false;
  return 0;
}

static int l_event_is_set(lua_State *L) {
  lua_pushboolean(L, tg_event_check(L, "ev:is_set")->set);
  return 1;
}

static int l_barrier(lua_State *L) {
  tg_barrier_push(L, META, check_count(L, "tg.barrier", 1, INT32_MAX));
  return 1;
}

static int l_barrier_waiting(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)tg_barrier_check(L, "b:waiting")->sync.waiting);
  return 1;
}

static const luaL_Reg functions[] = {{"channel", l_channel},
                                     {"gc", l_gc},
                                     {"channel_try_send", l_channel_try_send},
                                     {"channel_try_recv", l_channel_try_recv},
                                     {"channel_close", l_channel_close},
                                     {"channel_len", l_channel_len},
                                     {"channel_capacity", l_channel_capacity},
                                     {"channel_closed", l_channel_closed},
                                     {"mutex", l_mutex},
                                     {"mutex_gc", l_mutex_gc},
                                     {"mutex_try_lock", l_mutex_try_lock},
                                     {"mutex_unlock", l_mutex_unlock},
                                     {"mutex_locked", l_mutex_locked},
                                     {"condition", l_condition},
                                     {"condition_mutex", l_condition_mutex},
                                     {"condition_notify", l_condition_notify},
                                     {"condition_notify_all", l_condition_notify_all},
                                     {"semaphore", l_semaphore},
                                     {"semaphore_try_acquire", l_semaphore_try_acquire},
                                     {"semaphore_release", l_semaphore_release},
                                     {"semaphore_available", l_semaphore_available},
                                     {"event", l_event},
                                     {"event_set", l_event_set},
                                     {"event_clear", l_event_clear},
                                     {"event_is_set", l_event_is_set},
                                     {"barrier", l_barrier},
                                     {"barrier_waiting", l_barrier_waiting},
                                     {NULL, NULL}};

int tg_open_sync(lua_State *L) {
  lua_createtable(L, 0, (int)(sizeof functions / sizeof functions[0]));
  luaL_register(L, NULL, functions);
  return 1;
}
