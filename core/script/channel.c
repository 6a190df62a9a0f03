/* The two ends of a channel; see channel.h. Somebody waits to take only while nothing lies there
 * and nobody waits to give, but for a tg.select that waits on both sides of one channel. */
#include "script/channel.h"

#include <lauxlib.h>

#include "base/check.h"
#include "script/error.h"

static bool ready(const struct tg_sync *sync, enum tg_sync_side side) {
  const struct tg_channel *channel = TG_CONTAINER(sync, const struct tg_channel, sync);
  if (channel->closed) return true;
  return side == TG_SYNC_GIVE
             ? channel->count < channel->capacity || tg_sync_first(sync, TG_SYNC_TAKE)
             : channel->count > 0 || tg_sync_first(sync, TG_SYNC_GIVE);
}

/* Key in the table of the value that is `offset` behind the oldest. */
static int slot(const struct tg_channel *channel, uint32_t offset) {
  uint64_t at = (uint64_t)channel->head + offset;
  return (int)(at < channel->capacity ? at : at - channel->capacity) + 1;
}

static int give(lua_State *L, struct tg_channel *channel, int object, int value) {
  if (channel->closed)
    tg_error_throw(L, "closed", "the channel is closed; nothing more can be sent");
  struct tg_waiter *taker = tg_sync_first(&channel->sync, TG_SYNC_TAKE);
  lua_pushvalue(L, value);  // .. value
  if (taker) {
    if (!tg_waiter_serve_value(taker, L)) tg_error_throw(L, "out_of_memory", "ch:send: no memory");
    return 0;
  }
  lua_getfenv(L, object);  // .. value values
  lua_insert(L, -2);       // .. values value
  lua_rawseti(L, -2, slot(channel, channel->count));
  channel->count++;
  return 0;
}

/* The slot that has just become free takes the value of the first who waits: no allocation. */
static void refill(lua_State *L, struct tg_channel *channel) {  // .. values value
  struct tg_waiter *giver = tg_sync_first(&channel->sync, TG_SYNC_GIVE);
  if (!giver) return;
  tg_waiter_push_value(L, giver);
  lua_rawseti(L, -3, slot(channel, channel->count));
  channel->count++;
  tg_waiter_serve(giver, TG_SYNC_SERVED);
}

static int take_oldest(lua_State *L, struct tg_channel *channel, int object) {
  int key = slot(channel, 0);
  lua_getfenv(L, object);
  lua_rawgeti(L, -1, key);  // .. values value
  lua_pushboolean(L, false);
  lua_rawseti(L, -3, key);
  channel->head = channel->head + 1 < channel->capacity ? channel->head + 1 : 0;
  channel->count--;
  refill(L, channel);
  return 1;
}

static int take(lua_State *L, struct tg_sync *sync, enum tg_sync_side side, int object, int value) {
  struct tg_channel *channel = TG_CONTAINER(sync, struct tg_channel, sync);
  if (side == TG_SYNC_GIVE) return give(L, channel, object, value);
  if (channel->count) return take_oldest(L, channel, object);
  struct tg_waiter *giver = tg_sync_first(sync, TG_SYNC_GIVE);
  if (giver) {
    tg_waiter_push_value(L, giver);
    tg_waiter_serve(giver, TG_SYNC_SERVED);
    return 1;
  }
  lua_pushnil(L);
  lua_pushliteral(L, "closed");
  return 2;
}

const struct tg_sync_type tg_channel_type = {.name = "channel", .ready = ready, .take = take};

void tg_channel_push(lua_State *L, int meta, uint32_t capacity) {
  struct tg_sync *sync = tg_sync_push(L, &tg_channel_type, sizeof(struct tg_channel), meta);
  TG_CONTAINER(sync, struct tg_channel, sync)->capacity = capacity;
  lua_createtable(L, capacity < 64 ? (int)capacity : 64, 0);
  lua_setfenv(L, -2);
}

struct tg_channel *tg_channel_check(lua_State *L, const char *method) {
  return TG_CONTAINER(tg_sync_check(L, &tg_channel_type, method), struct tg_channel, sync);
}

void tg_channel_refuse_nil(lua_State *L, const char *method) {
  tg_error_throw(L, "nil_value",
                 "%s: nil cannot be sent, it is what receivers get at the end; send false or "
                 "tg.null",
                 method);
}

void tg_channel_check_value(lua_State *L, int index, const char *method) {
  if (lua_isnoneornil(L, index)) tg_channel_refuse_nil(L, method);
}

void tg_channel_close(struct tg_channel *channel) {
  channel->closed = true;
  struct tg_waiter *waiter;
  while ((waiter = tg_sync_first(&channel->sync, TG_SYNC_TAKE)))
    tg_waiter_serve(waiter, TG_SYNC_ENDED);
  while ((waiter = tg_sync_first(&channel->sync, TG_SYNC_GIVE)))
    tg_waiter_serve(waiter, TG_SYNC_REFUSED);
}
