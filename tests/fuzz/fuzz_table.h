/* Builds Lua values from bytes, for the targets that take values: a small stack machine. Every
 * value that Lua has may come out, also tables that contain themselves. */
#ifndef TG_FUZZ_TABLE_H
#define TG_FUZZ_TABLE_H

#include <lauxlib.h>
#include <stdint.h>
#include <string.h>

#include "script/plain.h"

struct fuzz_input {
  const uint8_t *p, *end;
};

static uint64_t fuzz_take(struct fuzz_input *in, size_t bytes) {
  uint64_t value = 0;
  size_t rest = (size_t)(in->end - in->p);
  if (bytes > rest) bytes = rest;
  memcpy(&value, in->p, bytes);
  in->p += bytes;
  return value;
}

static int fuzz_function(lua_State *L) {
  (void)L;
  return 0;
}

/* Pushes one value; tables are filled later, by fuzz_build. */
static void fuzz_push(lua_State *L, struct fuzz_input *in, int tables) {
  uint64_t kind = fuzz_take(in, 1), bits;
  size_t len;
  double number;
  switch (kind % 16) {
    case 0: lua_pushboolean(L, 1); break;
    case 1: lua_pushlightuserdata(L, kind & 0x80 ? L : NULL); break;
    case 2:
    case 3: lua_pushnumber(L, (lua_Number)(int8_t)fuzz_take(in, 1)); break;
    case 4:
      bits = fuzz_take(in, 8);
      memcpy(&number, &bits, sizeof number);
      lua_pushnumber(L, number);
      break;
    case 5: tg_plain_push_int64(L, fuzz_take(in, 8), kind & 0x80); break;
    case 6:
      if (kind & 0x80)
        lua_newthread(L);
      else
        lua_pushcfunction(L, fuzz_function);
      break;
    case 7:
    case 8:
      lua_rawgeti(L, tables, (int)(fuzz_take(in, 1) % (lua_objlen(L, tables) + 1)));
      if (lua_isnil(L, -1)) lua_pushvalue(L, tables), lua_replace(L, -2);
      break;
    case 9:
    case 10:
    case 11:
      lua_newtable(L);
      if (kind & 0x80) tg_plain_mark_array(L, -1);
      lua_pushvalue(L, -1);
      lua_rawseti(L, tables, (int)lua_objlen(L, tables) + 1);
      break;
    default:
      len = fuzz_take(in, 1) % 24;
      if (len > (size_t)(in->end - in->p)) len = (size_t)(in->end - in->p);
      lua_pushlstring(L, (const char *)in->p, len);
      in->p += len;
  }
}

/* Pushes one table, filled with what the bytes say. */
static void fuzz_build(lua_State *L, const uint8_t *data, size_t size) {
  struct fuzz_input in = {data, data + size};
  lua_newtable(L);
  int root = lua_gettop(L);
  lua_newtable(L);
  lua_pushvalue(L, root);
  lua_rawseti(L, root + 1, 1);
  while (in.p < in.end) {
    uint64_t how = fuzz_take(&in, 1);
    lua_rawgeti(L, root + 1, (int)(how >> 2) % (int)lua_objlen(L, root + 1) + 1);
    int into = lua_gettop(L);
    if (how & 1) {
      fuzz_push(L, &in, root + 1);
      fuzz_push(L, &in, root + 1);
      bool is_nan = lua_type(L, -2) == LUA_TNUMBER && !lua_rawequal(L, -2, -2);
      if (!is_nan) lua_rawset(L, into);
    } else {
      fuzz_push(L, &in, root + 1);
      lua_rawseti(L, into, (int)lua_objlen(L, into) + 1);
    }
    lua_settop(L, root + 1);
  }
  lua_settop(L, root);
}

#endif
