/* Media types for _core/media.lua: what a Content-Type is, without a copy of it. */
#include "http/media.h"

#include <lauxlib.h>

#include "script/module.h"

/// Functions of _core/media.lua; not for routes.
TG_MODULE(media)

static struct tg_slice check_text(lua_State *L, int index) {
  struct tg_slice text;
  text.ptr = luaL_checklstring(L, index, &text.len);
  return text;
}

/* matches(content_type, pattern) */
static int l_matches(lua_State *L) {
  lua_pushboolean(L, tg_media_matches(check_text(L, 1), check_text(L, 2)));
  return 1;
}

/* charset(content_type): "none", "utf-8", "other", or "bad" */
static int l_charset(lua_State *L) {
  static const char *const names[] = {[TG_CHARSET_NONE] = "none",
                                      [TG_CHARSET_UTF8] = "utf-8",
                                      [TG_CHARSET_OTHER] = "other",
                                      [TG_CHARSET_BAD] = "bad"};
  lua_pushstring(L, names[tg_media_charset(check_text(L, 1))]);
  return 1;
}

int tg_open_media(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"matches", l_matches}, {"charset", l_charset}, {NULL, NULL}};
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
