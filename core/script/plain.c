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

enum slot { SLOT_MARK = 1, SLOT_INT64, SLOT_UINT64, SLOT_MAKE_INT64, SLOT_MAKE_UINT64, SLOT_WHERE };

/* Only their addresses matter: the key in the registry, and what a mark holds at [1]. */
static const char registry_key, array_mark;

/* The suffixes make LuaJIT's parser load the ffi library, once a state. Opening it a second time by
 * its C function would leave the first one's types behind. */
static const char capture[] =
    "local slots = ...\n"
    "slots[2], slots[3] = 0LL, 0ULL\n"
    "slots[4] = function(high, low) return high * 0x100000000LL + low end\n"
    "slots[5] = function(high, low) return high * 0x100000000ULL + low end\n";

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

/* The type number of a cdata lies before its bytes, where neither the C API nor Lua code shows it
 * without allocating, and an allocation may run finalizers, which a caller that walks a table must
 * not let happen. */
static unsigned type_number(const char *bytes, size_t before) {
  uint16_t number;
  memcpy(&number, bytes - before, sizeof number);
  return number;
}

/* How far before: 6 bytes with 64-bit collector references, 2 with 32-bit ones. Nothing is taken on
 * trust: where the samples do not have LuaJIT's fixed numbers, it is 0 and no cdata is an integer.
 */
static size_t find_type_number(lua_State *L, int slots) {
  enum { INT64_NUMBER = 11, UINT64_NUMBER = 12 };
  lua_rawgeti(L, slots, SLOT_INT64);
  lua_rawgeti(L, slots, SLOT_UINT64);
  const char *a = lua_topointer(L, -2), *b = lua_topointer(L, -1);
  lua_pop(L, 2);
  for (size_t before = 2; before <= 6; before += 4)
    if (type_number(a, before) == INT64_NUMBER && type_number(b, before) == UINT64_NUMBER)
      return before;
  return 0;
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
  if (luaL_loadbuffer(L, capture, sizeof capture - 1, "=plain")) lua_error(L);
  lua_pushvalue(L, -2);
  lua_call(L, 1, 0);
  lua_pushnumber(L, (lua_Number)find_type_number(L, lua_gettop(L)));
  lua_rawseti(L, -2, SLOT_WHERE);
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

bool tg_plain_get_int64(lua_State *L, int index, uint64_t *bits, bool *is_unsigned) {
  if (lua_type(L, index) != TYPE_CDATA) return false;
  const char *bytes = lua_topointer(L, index);
  if (!find_slots(L)) return false;
  lua_rawgeti(L, -1, SLOT_WHERE);
  lua_rawgeti(L, -2, SLOT_INT64);
  lua_rawgeti(L, -3, SLOT_UINT64);
  size_t before = (size_t)lua_tonumber(L, -3);
  unsigned type = type_number(bytes, before);
  bool is_signed = type == type_number(lua_topointer(L, -2), before);
  *is_unsigned = type == type_number(lua_topointer(L, -1), before);
  lua_pop(L, 4);
  if (!before || (!is_signed && !*is_unsigned)) return false;
  memcpy(bits, bytes, sizeof *bits);
  return true;
}
