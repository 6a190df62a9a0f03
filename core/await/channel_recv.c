/* ch:recv: the taking end of a channel. */
#include "script/channel.h"
#include "script/module.h"

/// Takes the oldest value; suspends while there is none. nil, "closed" at the end. ⏸
TG_AWAITABLE(channel_recv)

static const struct tg_op_kind kind = {
    .name = "ch:recv", .cancel = tg_wait_cancel, .finish = tg_wait_finish};

int tg_await_channel_recv(lua_State *L) {
  struct tg_channel *channel = tg_channel_check(L, kind.name);
  return tg_sync_await(L, &channel->sync, TG_SYNC_TAKE, &kind);
}
