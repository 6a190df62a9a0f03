/* Channels: values that go from task to task inside one Lua state, in order.
 *
 * Up to `capacity` values lie in the channel, in the environment table of its userdata, so that a
 * cycle through them is collected. Beyond that givers wait, with capacity 0 always, until somebody
 * takes what they give. Closing lets takers have what lies there, and refuses everything else. */
#ifndef TG_SCRIPT_CHANNEL_H
#define TG_SCRIPT_CHANNEL_H

#include "script/sync.h"

#define TG_CHANNEL_CAPACITY_MAX 1000000u

struct tg_channel {
  struct tg_sync sync;
  uint32_t capacity;
  uint32_t count; /* values that lie in it */
  uint32_t head;  /* where the oldest lies, from 0 */
  bool closed;
};

extern const struct tg_sync_type tg_channel_type;

/* Pushes a new one. */
void tg_channel_push(lua_State *L, int meta, uint32_t capacity);

/* The channel at stack index 1; raises misuse. */
struct tg_channel *tg_channel_check(lua_State *L, const char *method);

/* Checks that the value at a stack index can be given; throws nil_value. */
void tg_channel_check_value(lua_State *L, int index, const char *method);

/* Throws nil_value. */
__attribute__((noreturn)) void tg_channel_refuse_nil(lua_State *L, const char *method);

/* Idempotent. Givers who wait fail, takers who wait hear of it. */
void tg_channel_close(struct tg_channel *channel);

#endif
