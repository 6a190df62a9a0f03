/* The mark and the 64-bit integers of plain.h.
 *
 * Everything that it needs of Lua is captured once, in one table of the registry under our own
 * address, where no script can reach or replace it. */
#include "script/plain.h"

#include <lauxlib.h>
#include <stdint.h>
#include <string.h>

/* LuaJIT's type number of cdata; lua.h has no name for it. */
#define TYPE_CDATA 10

enum slot {
  SLOT_MARK = 1,
  SLOT_ISTYPE,
  SLOT_INT64,
  SLOT_UINT64,
  SLOT_MAKE_INT64,
  SLOT_MAKE_UINT64
};

/* Only their addresses matter: the key in the registry, and what a mark holds at [1]. */
static const char registry_key, array_mark;

/* The suffixes make LuaJIT's parser load the ffi library, once a state, as require would. Opening
 * it a second time by its C function would leave the first one's types behind. */
static const char capture[] =
    "local slots, loaded = ...\n"
    "slots[3], slots[4] = 0LL, 0ULL\n"
    "slots[2] = loaded.ffi and loaded.ffi.istype\n"
    "slots[5] = function(high, low) return high * 0x100000000LL + low end\n"
    "slots[6] = function(high, low) return high * 0x100000000ULL + low end\n";

static void push_address(lua_State *L, const char *address) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)address);
}

/* Pushes our table where it exists. */
static bool find_slots(lua_State *L) {
  push_address(L, &registry_key);
  lua_rawget(L, LUA_REGISTRYINDEX);
  if (lua_istable(L, -1)) return true;
  lua_pop(L, 1);
  return false;
}

static void push_slots(lua_State *L) {
  if (find_slots(L)) return;
  tg_plain_open(L);
  find_slots(L);
}

void tg_plain_open(lua_State *L) {
  luaL_checkstack(L, 8, "plain values");
  if (find_slots(L)) {
    lua_pop(L, 1);
    return;
  }
  lua_newtable(L);
  lua_newtable(L);
  push_address(L, &array_mark);
  lua_rawseti(L, -2, 1);
  lua_rawseti(L, -2, SLOT_MARK); /* slots */
  luaL_findtable(L, LUA_REGISTRYINDEX, "_LOADED", 16);
  if (luaL_loadbuffer(L, capture, sizeof capture - 1, "=plain")) lua_error(L);
  lua_pushvalue(L, -3);
  lua_pushvalue(L, -3);
  lua_call(L, 2, 0); /* slots loaded */
  lua_pop(L, 1);
  push_address(L, &registry_key);
  lua_insert(L, -2);
  lua_rawset(L, LUA_REGISTRYINDEX);
}

void tg_plain_mark_array(lua_State *L, int index) {
  if (index < 0) index += lua_gettop(L) + 1;
  push_slots(L);
  lua_rawgeti(L, -1, SLOT_MARK);
  lua_setmetatable(L, index);
  lua_pop(L, 1);
}

bool tg_plain_is_array(lua_State *L, int index) {
  if (!lua_getmetatable(L, index)) return false;
  lua_rawgeti(L, -1, 1);
  bool marked = lua_touserdata(L, -1) == (const void *)&array_mark;
  lua_pop(L, 2);
  return marked;
}

void tg_plain_push_int64(lua_State *L, uint64_t bits, bool is_unsigned) {
  push_slots(L);
  lua_rawgeti(L, -1, is_unsigned ? SLOT_MAKE_UINT64 : SLOT_MAKE_INT64);
  lua_remove(L, -2);
  uint32_t high = (uint32_t)(bits >> 32);
  lua_pushnumber(L, is_unsigned ? (lua_Number)high : (lua_Number)(int32_t)high);
  lua_pushnumber(L, (lua_Number)(uint32_t)bits);
  lua_call(L, 2, 1);
}

static int l_open(lua_State *L) {
  tg_plain_open(L);
  return 0;
}

/* `slots` and `index` are absolute. ffi.istype ignores qualifiers and runs nothing of the user's.
 */
static bool is_type(lua_State *L, int slots, int sample, int index) {
  lua_rawgeti(L, slots, SLOT_ISTYPE);
  lua_rawgeti(L, slots, sample);
  lua_pushvalue(L, index);
  bool is = lua_pcall(L, 2, 1, 0) == 0 && lua_toboolean(L, -1);
  lua_pop(L, 1);
  return is;
}

bool tg_plain_get_int64(lua_State *L, int index, uint64_t *bits, bool *is_unsigned) {
  if (lua_type(L, index) != TYPE_CDATA) return false;
  int top = lua_gettop(L);
  if (index < 0) index += top + 1;
  if (!find_slots(L)) {
    if (lua_cpcall(L, l_open, NULL) || !find_slots(L)) {
      lua_settop(L, top);
      return false;
    }
  }
  *is_unsigned = is_type(L, top + 1, SLOT_UINT64, index);
  bool found = *is_unsigned || is_type(L, top + 1, SLOT_INT64, index);
  if (found) {
    /* istype also says yes to references and to the type itself; a sum is always the bare integer.
     */
    lua_rawgeti(L, top + 1, *is_unsigned ? SLOT_MAKE_UINT64 : SLOT_MAKE_INT64);
    lua_pushnumber(L, 0);
    lua_pushvalue(L, index);
    found = lua_pcall(L, 2, 1, 0) == 0;
    if (found) memcpy(bits, lua_topointer(L, -1), sizeof *bits);
  }
  lua_settop(L, top);
  return found;
}
