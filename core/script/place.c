/* A walk up the stack, for hooks and recorders, which must not allocate in Lua. */
#include "script/place.h"

#include <stdio.h>
#include <string.h>

static const char OURS[] = "@lua/tidegate/";

bool tg_place_write(lua_State *L, int level, char out[TG_PLACE_MAX]) {
  lua_Debug ar;
  for (; lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "Sl", &ar);
    if (ar.currentline <= 0 || strncmp(ar.source, OURS, sizeof OURS - 1) == 0) continue;
    snprintf(out, TG_PLACE_MAX, "%s:%d", ar.short_src, ar.currentline);
    return true;
  }
  return false;
}
