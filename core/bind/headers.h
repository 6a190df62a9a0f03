/* Header fields as Lua tables: names in lower case, found in any case; equal names joined. */
#ifndef TG_BIND_HEADERS_H
#define TG_BIND_HEADERS_H

#include <lua.h>

#include "base/slice.h"

/* Adds a field to the table on top; `separator` stands between values of equal names. */
void tg_headers_add(lua_State *L, struct tg_slice name, struct tg_slice value,
                    const char *separator);

/* Has the table on top find names in any case. */
void tg_headers_finish(lua_State *L);

#endif
