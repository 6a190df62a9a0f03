/* Plain values that Lua's types do not tell apart: tables that mean arrays, and 64-bit integers.
 *
 * Used where values become bytes and back (JSON, messages between states). null is a light userdata
 * of address NULL, as in lua-cjson. The mark of an array is a metatable, one a state; it changes
 * nothing but how the table is written. 64-bit integers are LuaJIT's cdata of int64_t and uint64_t;
 * scripts need no access to `ffi` for them. */
#ifndef TG_SCRIPT_PLAIN_H
#define TG_SCRIPT_PLAIN_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

/* Prepares a state; those functions below that may throw do it where it has not been done, and
 * until then no cdata is an integer. Loads LuaJIT's ffi library, so that package.loaded.ffi exists
 * afterwards: a sandbox hides it itself. May throw (memory). */
void tg_plain_open(lua_State *L);

/* Gives the table at `index` the mark in place of any metatable. May throw (memory). */
void tg_plain_mark_array(lua_State *L, int index);

/* Does the table at `index` bear the mark? Needs two free stack slots; never throws. */
bool tg_plain_is_array(lua_State *L, int index);

/* Pushes a 64-bit integer; `bits` in two's complement. May throw (memory). */
void tg_plain_push_int64(lua_State *L, uint64_t bits, bool is_unsigned);

/* Is the value at `index` an int64_t or uint64_t? Needs five free stack slots; never throws,
 * allocates nothing and runs no metamethod. */
bool tg_plain_get_int64(lua_State *L, int index, uint64_t *bits, bool *is_unsigned);

#endif
