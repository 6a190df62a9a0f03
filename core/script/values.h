/* Plain values as bytes, to carry them between Lua states: nil, booleans, numbers, strings, 64-bit
 * integers (cdata), and tables of these (also shared and cyclic references inside one message),
 * tg.null and tg.json.array marks. */
#ifndef TG_SCRIPT_VALUES_H
#define TG_SCRIPT_VALUES_H

#include <lua.h>

#include "base/buffer.h"
#include "base/status.h"

/* Appends the values at [first, first+count) of the stack. TG_EINVALID: a value cannot cross; then
 * *path (malloc'ed, the caller frees) says which and why: "argument 2.user.db: a function".
 * TG_EFOREIGN: the same, and it is a handle that belongs to this state. TG_ETOO_LARGE over 64 MiB;
 * TG_ENOMEM. Runs no metamethod; never throws. */
TG_MUST_CHECK tg_status tg_values_pack(lua_State *L, int first, int count, struct tg_buffer *out,
                                       char **path);

/* Pushes the values that `bytes` hold; returns their number. May throw (memory); the caller holds
 * nothing. Malformed bytes are an error. */
int tg_values_unpack(lua_State *L, const void *bytes, size_t len);

#endif
