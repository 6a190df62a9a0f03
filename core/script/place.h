/* Where user code stands: "routes/x.lua:12". */
#ifndef TG_SCRIPT_PLACE_H
#define TG_SCRIPT_PLACE_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#define TG_PLACE_MAX 96

/* Writes the place of the nearest Lua function of `L` that is not the library's, from `level` on.
 * False, and nothing written, where there is none. Allocates nothing, never throws. */
bool tg_place_write(lua_State *L, int level, char out[TG_PLACE_MAX]);

#endif
