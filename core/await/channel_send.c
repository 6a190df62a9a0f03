/* ch:send: the giving end of a channel. */
#include "script/channel.h"
#include "script/module.h"

/// Gives a value to the channel; suspends while it is full, with capacity 0 until it is received. ⏸
/// Errors: `closed`, also when it is closed meanwhile; `nil_value`.
TG_AWAITABLE(channel_send)

static const struct tg_op_kind kind = {
    .name = "ch:send", .cancel = tg_wait_cancel, .finish = tg_wait_finish};

int tg_await_channel_send(lua_State *L) {
  struct tg_channel *channel = tg_channel_check(L, kind.name);
  tg_channel_check_value(L, 2, kind.name);
  return tg_sync_await(L, &channel->sync, TG_SYNC_GIVE, &kind);
}
