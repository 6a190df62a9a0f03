/* tg.json: the Lua module over json_encode.c and json_decode.c.
 *
 * encode builds its text in one buffer a state, owned by a userdata, and makes a Lua string of it.
 * Making the string may run finalizers, which may encode: a buffer in use is left alone and a fresh
 * one is taken. */
#include "bind/json.h"

#include <lauxlib.h>
#include <stdint.h>

#include "script/error.h"
#include "script/module.h"
#include "script/plain.h"
#include "script/vm.h"

/// ---@class tidegate.json
/// ---@field null lightuserdata JSON's null, inside tables and out; the same as tg.null
/// ---@field encode fun(value: any, opts?: {pretty?: boolean, sorted?: boolean}): string
/// ---@field decode fun(text: string): any
/// ---@field array fun(items?: any[]): any[] gives a table the mark of an array: empty, it is []
/// ---@field is_array fun(value: any): boolean does a table bear that mark?
TG_MODULE(json)

#define KEEP_MAX ((size_t)64 << 10) /* a larger buffer is not kept for the next call */

struct text {
  struct tg_buffer buffer;
  bool busy;
};

void tg_json_push_error(lua_State *L, tg_status status, const struct tg_json_error *err) {
  const char *text = err->text ? err->text : tg_status_text(status);
  if (err->line) {
    tg_error_push(L, "json", "JSON line %zu column %zu: %s", err->line, err->column, text);
    lua_pushnumber(L, (lua_Number)err->line);
    lua_setfield(L, -2, "line");
    lua_pushnumber(L, (lua_Number)err->column);
    lua_setfield(L, -2, "column");
    lua_pushnumber(L, (lua_Number)err->offset);
    lua_setfield(L, -2, "offset");
    return;
  }
  if (err->offset)
    tg_error_push(L, "json", "%s cannot be JSON: %s at byte %zu", err->path, text, err->offset);
  else
    tg_error_push(L, "json", "%s cannot be JSON: %s", err->path, text);
  lua_pushstring(L, err->path);
  lua_setfield(L, -2, "path");
}

static int on_text_gc(lua_State *L) {
  struct text *text = lua_touserdata(L, 1);
  tg_buffer_deinit(&text->buffer);
  return 0;
}

/* Pushes a userdata that owns an empty buffer; the metatable is the function's second upvalue. */
static struct text *push_text(lua_State *L, int metatable) {
  struct text *text = lua_newuserdata(L, sizeof *text);
  *text = (struct text){0};
  lua_pushvalue(L, metatable);
  lua_setmetatable(L, -2);
  return text;
}

static bool option(lua_State *L, const char *name) {
  lua_pushstring(L, name);
  lua_rawget(L, 2);
  bool value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

static unsigned depth_limit(lua_State *L) {
  return (unsigned)tg_vm_of(L)->settings->limits_json_depth;
}

static int l_encode(lua_State *L) {
  struct tg_json_options opts = {.max_depth = depth_limit(L)};
  struct tg_json_error err;
  luaL_checkany(L, 1);
  if (!lua_isnoneornil(L, 2)) {
    luaL_checktype(L, 2, LUA_TTABLE);
    opts.pretty = option(L, "pretty");
    opts.sorted = option(L, "sorted");
  }
  struct text *text = lua_touserdata(L, lua_upvalueindex(1));
  if (text->busy) text = push_text(L, lua_upvalueindex(2));
  tg_buffer_clear(&text->buffer);
  tg_status status = tg_json_encode(L, 1, &text->buffer, &opts, &err);
  if (!status) {
    text->busy = true;
    lua_pushlstring(L, text->buffer.data, text->buffer.len);
    text->busy = false;
  }
  if (text->buffer.cap > KEEP_MAX) tg_buffer_deinit(&text->buffer);
  if (!status) return 1;
  tg_json_push_error(L, status, &err);
  return lua_error(L);
}

static int l_decode(lua_State *L) {
  struct tg_json_limits limits = {.max_depth = depth_limit(L)};
  struct tg_json_error err;
  struct tg_slice text;
  luaL_checktype(L, 1, LUA_TSTRING);
  lua_settop(L, 1);
  text.ptr = lua_tolstring(L, 1, &text.len);
  tg_status status = tg_json_decode(L, text, &limits, &err);
  if (!status) return 1;
  tg_json_push_error(L, status, &err);
  return lua_error(L);
}

static int l_array(lua_State *L) {
  if (lua_isnoneornil(L, 1)) {
    lua_settop(L, 0);
    lua_newtable(L);
  }
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  bool other = lua_getmetatable(L, 1);
  lua_settop(L, 1);
  if (other && !tg_plain_is_array(L, 1))
    return luaL_argerror(L, 1, "the table has a metatable of its own");
  tg_plain_mark_array(L, 1);
  return 1;
}

static int l_is_array(lua_State *L) {
  lua_pushboolean(L, lua_istable(L, 1) && tg_plain_is_array(L, 1));
  return 1;
}

int tg_open_json(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"decode", l_decode}, {"array", l_array}, {"is_array", l_is_array}, {NULL, NULL}};
  tg_plain_open(L);
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, on_text_gc);
  lua_setfield(L, -2, "__gc"); /* json meta */
  push_text(L, -2);            /* push_text pushes its userdata first: meta is at -2 then */
  lua_insert(L, -2);           /* json text meta */
  lua_pushcclosure(L, l_encode, 2);
  lua_setfield(L, -2, "encode");
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "null");
  return 1;
}
