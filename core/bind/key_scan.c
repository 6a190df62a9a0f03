/* Keys in sources for _core/app.lua, which shows where errors stand.
 *
 * A load asks one file after another, and several questions of each: the last scan is kept, with
 * its source, until another one is asked for. Offsets count from 1, the last byte included. */
#include "script/key_scan.h"

#include <lauxlib.h>

#include "script/error.h"
#include "script/module.h"
#include "script/values.h"

#define SCANNER   lua_upvalueindex(1)
#define PATH_MOST 16

struct scanner {
  struct tg_key_scan scan;
  const char *source; /* which is held by `ref` */
  int ref;
};

TG_MODULE(key_scan)

static void forget(lua_State *L, struct scanner *scanner) {
  luaL_unref(L, LUA_REGISTRYINDEX, scanner->ref);
  scanner->ref = LUA_NOREF;
  scanner->source = NULL;
  tg_key_scan_deinit(&scanner->scan);
}

/* The scan of the source that is the first argument. */
static struct tg_key_scan *scan_of(lua_State *L) {
  struct scanner *scanner = lua_touserdata(L, SCANNER);
  struct tg_slice source;
  source.ptr = luaL_checklstring(L, 1, &source.len);
  if (scanner->source == source.ptr) return &scanner->scan; /* equal strings are one */
  if (scanner->ref == LUA_NOREF) {
    lua_pushboolean(L, 0);
    scanner->ref = luaL_ref(L, LUA_REGISTRYINDEX);
  }
  scanner->source = NULL;
  lua_pushvalue(L, 1);
  lua_rawseti(L, LUA_REGISTRYINDEX, scanner->ref);
  if (tg_key_scan_run(&scanner->scan, source)) tg_error_misuse(L, "not enough memory");
  scanner->source = source.ptr;
  return &scanner->scan;
}

static void set_number(lua_State *L, const char *name, uint32_t value) {  // .. table
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, name);
}

/* doubles(source) -> list of { name, first, offset, stop } | nil */
static int l_doubles(lua_State *L) {
  struct tg_key_scan *scan = scan_of(L);
  lua_settop(L, 1);
  int count = 0;
  for (size_t i = 0; i < scan->key_count; i++) {
    const struct tg_key *key = &scan->keys[i];
    if (key->before == TG_KEY_NONE) continue;
    if (!count) lua_newtable(L);  // source list
    lua_createtable(L, 0, 4);     // source list double
    lua_pushlstring(L, key->name.ptr, key->name.len), lua_setfield(L, -2, "name");
    set_number(L, "first", scan->keys[key->before].from + 1);
    set_number(L, "offset", key->from + 1);
    set_number(L, "stop", key->stop);
    lua_rawseti(L, 2, ++count);  // source list
  }
  return count ? 1 : 0;
}

/* The key of that name in the first table that has one. */
static const struct tg_key *find_anywhere(const struct tg_key_scan *scan, struct tg_slice name) {
  const struct tg_key *found = NULL;
  for (uint32_t i = 0; i < scan->table_count && !found; i++)
    found = tg_key_scan_find(scan, i, name);
  return found;
}

/* lookup(source, path) -> offset, stop | nil: the key by its path from the table that the source
 * returns, or the nearest key around it; the first of the path in any table where that one is not
 * written there. */
static int l_lookup(lua_State *L) {
  struct tg_key_scan *scan = scan_of(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  const struct tg_key *key = NULL;
  uint32_t table = scan->root;
  for (int i = 1; i <= PATH_MOST; i++) {
    struct tg_slice name;
    lua_rawgeti(L, 2, i);
    if (lua_type(L, -1) != LUA_TSTRING) break;
    name.ptr = lua_tolstring(L, -1, &name.len);
    const struct tg_key *here = table == TG_KEY_NONE ? NULL : tg_key_scan_find(scan, table, name);
    if (!here && i == 1) here = find_anywhere(scan, name);
    if (!here) break;
    key = here;
    table = key->value;
  }
  if (!key) return 0;
  lua_pushinteger(L, (lua_Integer)key->from + 1);
  lua_pushinteger(L, (lua_Integer)key->stop);
  return 2;
}

/* may_assign(source, names) -> false where no key of the table `names` is assigned to as a global
 */
static int l_may_assign(lua_State *L) {
  struct tg_key_scan *scan = scan_of(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  for (size_t i = 0; i < scan->assigned_count; i++) {
    lua_pushlstring(L, scan->assigned[i].ptr, scan->assigned[i].len);
    lua_rawget(L, 2);
    bool there = !lua_isnil(L, -1);
    lua_pop(L, 1);
    if (there) return lua_pushboolean(L, 1), 1;
  }
  lua_pushboolean(L, 0);
  return 1;
}

/* forget(): frees what the last scan holds */
static int l_forget(lua_State *L) {
  forget(L, lua_touserdata(L, SCANNER));
  return 0;
}

static int l_gc(lua_State *L) {
  struct scanner *scanner = lua_touserdata(L, 1);
  tg_key_scan_deinit(&scanner->scan);
  return 0;
}

static void set_function(lua_State *L, const char *name, lua_CFunction function) {
  lua_pushvalue(L, -1);  // module scanner scanner
  lua_pushcclosure(L, function, 1);
  lua_setfield(L, -3, name);  // module scanner
}

int tg_open_key_scan(lua_State *L) {
  lua_newtable(L);
  struct scanner *scanner = lua_newuserdata(L, sizeof *scanner);  // module scanner
  *scanner = (struct scanner){.ref = LUA_NOREF};
  tg_key_scan_init(&scanner->scan);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, l_gc), lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  set_function(L, "doubles", l_doubles);
  set_function(L, "lookup", l_lookup);
  set_function(L, "may_assign", l_may_assign);
  set_function(L, "forget", l_forget);
  lua_pop(L, 1);
  return 1;
}
