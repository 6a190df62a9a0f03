/* Set-Cookie for lua/tidegate/cookie.lua. */
#include "http/cookies.h"

#include <lauxlib.h>

#include "script/error.h"
#include "script/module.h"
#include "script/vm.h"

/// Functions of lua/tidegate/cookie.lua; not for routes.
TG_MODULE(cookie)

static struct tg_slice text_at(lua_State *L, int index) {
  struct tg_slice text = {NULL, 0};
  if (!lua_isnoneornil(L, index)) text.ptr = luaL_checklstring(L, index, &text.len);
  return text;
}

/* Numbers past these say the same as they do. */
static int64_t whole_at(lua_State *L, int index) {
  lua_Number value = luaL_checknumber(L, index), most = 9007199254740992.0;
  if (value != value) return 0;
  return (int64_t)(value > most ? most : value < -most ? -most : value);
}

/* write(name, value, path, domain|nil, max_age|nil, expires|nil, secure, http_only, partitioned,
 * "None"|"Lax"|"Strict"): the text; or nil, and why there can be no such cookie */
static int l_write(lua_State *L) {
  static const char *const same_sites[] = {"None", "Lax", "Strict", NULL};
  struct tg_cookie cookie = {.name = text_at(L, 1),
                             .value = text_at(L, 2),
                             .path = text_at(L, 3),
                             .domain = text_at(L, 4),
                             .has_max_age = !lua_isnil(L, 5),
                             .has_expires = !lua_isnil(L, 6),
                             .secure = lua_toboolean(L, 7),
                             .http_only = lua_toboolean(L, 8),
                             .partitioned = lua_toboolean(L, 9)};
  cookie.same_site = (enum tg_same_site)luaL_checkoption(L, 10, NULL, same_sites);
  if (cookie.has_max_age) cookie.max_age = whole_at(L, 5);
  if (cookie.has_expires) cookie.expires = whole_at(L, 6);
  const char *fault = tg_cookies_fault(&cookie);
  if (fault) {
    lua_pushnil(L);
    lua_pushstring(L, fault);
    return 2;
  }
  struct tg_buffer *scratch = &tg_vm_of(L)->scratch;
  tg_buffer_clear(scratch);
  if (tg_cookies_write(scratch, &cookie))
    tg_error_throw(L, "out_of_memory", "tg.cookie: no memory");
  struct tg_slice text = tg_buffer_slice(scratch);
  lua_pushlstring(L, text.ptr, text.len);
  return 1;
}

int tg_open_cookie(lua_State *L) {
  static const luaL_Reg functions[] = {{"write", l_write}, {NULL, NULL}};
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
