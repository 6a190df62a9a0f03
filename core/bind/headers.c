/* The tables of header fields, for requests and for parts of forms. */
#include "bind/headers.h"

#include <lauxlib.h>

static inline char lower(char c) {
  return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

static void push_lower(lua_State *L, struct tg_slice name) {
  char small[128];
  if (name.len <= sizeof small) {
    for (size_t i = 0; i < name.len; i++) small[i] = lower(name.ptr[i]);
    lua_pushlstring(L, small, name.len);
    return;
  }
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  for (size_t i = 0; i < name.len; i++) luaL_addchar(&buffer, lower(name.ptr[i]));
  luaL_pushresult(&buffer);
}

void tg_headers_add(lua_State *L, struct tg_slice name, struct tg_slice value,
                    const char *separator) {  // .. headers
  push_lower(L, name);                        // .. headers name
  lua_pushvalue(L, -1);
  lua_rawget(L, -3);  // .. headers name old
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    lua_pushlstring(L, value.ptr ? value.ptr : "", value.len);  // .. headers name value
  } else {
    lua_pushstring(L, separator);
    lua_pushlstring(L, value.ptr ? value.ptr : "", value.len);
    lua_concat(L, 3);  // .. headers name value
  }
  lua_rawset(L, -3);  // .. headers
}

static int l_header_of_any_case(lua_State *L) {
  size_t len;
  if (lua_type(L, 2) != LUA_TSTRING) return 0;
  const char *name = lua_tolstring(L, 2, &len);
  push_lower(L, tg_slice(name, len));  // headers name lower
  if (lua_rawequal(L, 2, 3)) return 0;
  lua_rawget(L, 1);
  return 1;
}

void tg_headers_finish(lua_State *L) {       // .. headers
  if (luaL_newmetatable(L, "tg.headers")) {  // .. headers meta
    lua_pushcfunction(L, l_header_of_any_case);
    lua_setfield(L, -2, "__index");
  }
  lua_setmetatable(L, -2);
}
