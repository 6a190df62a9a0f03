/* tg.shared: dictionaries of the whole process, as objects of a state.
 *
 * An object is a userdata that borrows its tg_shared from the process's registry, which outlives
 * every state, and owns a buffer for the bytes of values on their way in or out; one object for
 * each name is kept in the module. Pushing a value may run finalizers, which may use the same
 * object: a buffer in use is left alone and a fresh one is taken. A dictionary's locks are never
 * held while Lua runs. */
#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>

#include "script/error.h"
#include "script/module.h"
#include "script/values.h"
#include "script/vm.h"
#include "store/shared.h"

/// ---@class tidegate.shared_options
/// ---@field bytes? integer budget of the dictionary, 4096 or more; 16 MiB unless somebody says so
///
/// ---@class tidegate.shared_dictionary A dictionary that all loops and workers see; every call is one atomic step
/// ---@field get fun(self, key: string|number): any the value, or nil
/// ---@field set fun(self, key: string|number, value: any, ttl?: number): true stores; nil deletes; `ttl` in seconds
/// ---@field add fun(self, key: string|number, value: any, ttl?: number): boolean stores only where there is none
/// ---@field replace fun(self, key: string|number, value: any, ttl?: number): boolean stores only where there is one
/// ---@field incr fun(self, key: string|number, by?: number, init?: number|false, ttl?: number): number? adds 1 or `by`; an absent key begins at 0 or `init`, with `ttl`; nil where `init` is false and there is none
/// ---@field delete fun(self, key: string|number): boolean was there one?
/// ---@field ttl fun(self, key: string|number): number? seconds left; math.huge without an end; nil where there is none
/// ---@field expire fun(self, key: string|number, ttl?: number): boolean gives a key `ttl` seconds from now, or no end; false where there is none
///
/// ---@alias tidegate.shared fun(name: string, options?: tidegate.shared_options): tidegate.shared_dictionary
TG_MODULE(shared)

#define KEEP_MAX ((size_t)64 << 10) /* a larger buffer is not kept for the next call */

struct dictionary {
  struct tg_shared *shared;
  struct tg_buffer bytes;
  bool busy;
};

/* The metatable of dictionaries is the first upvalue of all functions here. */
#define META lua_upvalueindex(1)

static struct dictionary *push_dictionary(lua_State *L, struct tg_shared *shared) {
  struct dictionary *dictionary = lua_newuserdata(L, sizeof *dictionary);
  *dictionary = (struct dictionary){.shared = shared};
  lua_pushvalue(L, META);
  lua_setmetatable(L, -2);
  return dictionary;
}

static int on_dictionary_gc(lua_State *L) {
  struct dictionary *dictionary = lua_touserdata(L, 1);
  tg_buffer_deinit(&dictionary->bytes);
  return 0;
}

static struct dictionary *check_self(lua_State *L) {
  bool is_one = lua_type(L, 1) == LUA_TUSERDATA && lua_getmetatable(L, 1);
  if (!is_one || !lua_rawequal(L, -1, META)) {
    luaL_argerror(L, 1, "a dictionary of tg.shared expected; call its functions with ':'");
    return NULL;
  }
  lua_pop(L, 1);
  return lua_touserdata(L, 1);
}

/* A number stands for its text, as in a path. */
static struct tg_slice check_key(lua_State *L) {
  struct tg_slice key;
  key.ptr = luaL_checklstring(L, 2, &key.len);
  return key;
}

/* Seconds, or 0 (for ever) where none are given. */
static double check_ttl(lua_State *L, int index) {
  if (lua_isnoneornil(L, index)) return 0;
  double ttl = luaL_checknumber(L, index);
  if (!(ttl > 0)) luaL_argerror(L, index, "a time to live is more than 0 seconds (nil: for ever)");
  return ttl;
}

/* --- values --- */

/* The buffer of `self`, or that of an object of its own where it is in use; on the stack then. */
static struct dictionary *take_buffer(lua_State *L, struct dictionary *self) {
  struct dictionary *holder = self->busy ? push_dictionary(L, self->shared) : self;
  tg_buffer_clear(&holder->bytes);
  return holder;
}

static void give_buffer(struct dictionary *holder) {
  if (holder->bytes.cap > KEEP_MAX) tg_buffer_deinit(&holder->bytes);
}

static void pack(lua_State *L, int index, struct dictionary *holder) {
  char *path = NULL;
  tg_status status = tg_values_pack(L, index, 1, &holder->bytes, &path);
  if (status == TG_OK) return;
  char text[400];
  snprintf(text, sizeof text, "%s", path ? path : tg_status_text(status));
  free(path);
  /* The value is the only argument of the packer, which counts from 1. */
  const char *detail = strncmp(text, "argument 1", 10) == 0 ? text + 10 : text;
  tg_error_throw(L, tg_status_name(status), "tg.shared cannot keep this value%s%s",
                 detail == text ? ": " : "", detail);
}

/* Reads the Lua value at `index`; its bytes lie in the Lua string or in the holder's buffer. */
static struct tg_shared_value check_value(lua_State *L, int index, struct dictionary *holder) {
  struct tg_shared_value value = {.kind = TG_SHARED_NIL};
  switch (lua_type(L, index)) {
    case LUA_TNONE:
    case LUA_TNIL: break;
    case LUA_TBOOLEAN:
      value.kind = TG_SHARED_BOOLEAN;
      value.boolean = lua_toboolean(L, index);
      break;
    case LUA_TNUMBER:
      value.kind = TG_SHARED_NUMBER;
      value.number = lua_tonumber(L, index);
      break;
    case LUA_TSTRING:
      value.kind = TG_SHARED_STRING;
      value.bytes.ptr = lua_tolstring(L, index, &value.bytes.len);
      break;
    default: /* a table, a 64-bit integer, tg.null; the packer refuses the rest by name */
      pack(L, index, holder);
      value.kind = TG_SHARED_TABLE;
      value.bytes = tg_buffer_slice(&holder->bytes);
      break;
  }
  return value;
}

static void push_value(lua_State *L, const struct tg_shared_value *value) {
  switch (value->kind) {
    case TG_SHARED_NIL: lua_pushnil(L); break;
    case TG_SHARED_BOOLEAN: lua_pushboolean(L, value->boolean); break;
    case TG_SHARED_NUMBER: lua_pushnumber(L, value->number); break;
    case TG_SHARED_STRING: lua_pushlstring(L, value->bytes.ptr, value->bytes.len); break;
    case TG_SHARED_TABLE: tg_values_unpack(L, value->bytes.ptr, value->bytes.len); break;
  }
}

/* Raises what is left of statuses after a function has dealt with those it expects. */
static int fail(lua_State *L, tg_status status) {
  if (status == TG_ETOO_LARGE)
    tg_error_throw(L, "too_large", "tg.shared: key and value are larger than the dictionary");
  if (status == TG_ECONFLICT)
    tg_error_throw(L, "not_a_number", "tg.shared: incr of a value that is no number");
  tg_error_throw(L, tg_status_name(status), "tg.shared: %s", tg_status_text(status));
}

/* --- methods --- */

static int l_get(lua_State *L) {
  struct dictionary *self = check_self(L);
  struct tg_slice key = check_key(L);
  struct dictionary *holder = take_buffer(L, self);
  struct tg_shared_value value;
  tg_status status = tg_shared_get(self->shared, key, &holder->bytes, &value);
  if (status == TG_ENOT_FOUND) return lua_pushnil(L), 1;
  if (status) return fail(L, status);
  holder->busy = true;
  push_value(L, &value);
  holder->busy = false;
  give_buffer(holder);
  return 1;
}

static int put(lua_State *L, enum tg_shared_mode mode, tg_status refusal) {
  struct dictionary *self = check_self(L);
  struct tg_slice key = check_key(L);
  double ttl = check_ttl(L, 4);
  lua_settop(L, 3);
  struct dictionary *holder = take_buffer(L, self);
  struct tg_shared_value value = check_value(L, 3, holder);
  tg_status status = tg_shared_put(self->shared, mode, key, &value, ttl);
  give_buffer(holder);
  if (status && status != refusal) return fail(L, status);
  lua_pushboolean(L, status == TG_OK);
  return 1;
}

static int l_set(lua_State *L) {
  return put(L, TG_SHARED_SET, TG_OK);
}
static int l_add(lua_State *L) {
  return put(L, TG_SHARED_ADD, TG_EEXISTS);
}
static int l_replace(lua_State *L) {
  return put(L, TG_SHARED_REPLACE, TG_ENOT_FOUND);
}

static int l_incr(lua_State *L) {
  struct dictionary *self = check_self(L);
  struct tg_slice key = check_key(L);
  double by = luaL_optnumber(L, 3, 1), init = 0, sum;
  bool begin = lua_type(L, 4) != LUA_TBOOLEAN || lua_toboolean(L, 4);
  if (begin) init = luaL_optnumber(L, 4, 0);
  if (!isfinite(by)) return luaL_argerror(L, 3, "a finite number expected");
  double ttl = check_ttl(L, 5);
  tg_status status = tg_shared_incr(self->shared, key, by, begin ? &init : NULL, ttl, &sum);
  if (status == TG_ENOT_FOUND) return lua_pushnil(L), 1;
  if (status) return fail(L, status);
  lua_pushnumber(L, sum);
  return 1;
}

static int l_delete(lua_State *L) {
  struct dictionary *self = check_self(L);
  lua_pushboolean(L, tg_shared_delete(self->shared, check_key(L)));
  return 1;
}

static int l_ttl(lua_State *L) {
  struct dictionary *self = check_self(L);
  double seconds;
  if (tg_shared_ttl(self->shared, check_key(L), &seconds)) return lua_pushnil(L), 1;
  lua_pushnumber(L, seconds);
  return 1;
}

static int l_expire(lua_State *L) {
  struct dictionary *self = check_self(L);
  struct tg_slice key = check_key(L);
  tg_status status = tg_shared_expire(self->shared, key, check_ttl(L, 3));
  if (status && status != TG_ENOT_FOUND) return fail(L, status);
  lua_pushboolean(L, status == TG_OK);
  return 1;
}

/* --- the module --- */

static uint64_t check_budget(lua_State *L, int index) {
  if (lua_isnoneornil(L, index)) return 0;
  if (!lua_istable(L, index)) luaL_argerror(L, 2, "a table of options expected");
  lua_pushliteral(L, "bytes");
  lua_rawget(L, index);
  double bytes = lua_tonumber(L, -1);
  bool given = !lua_isnil(L, -1);
  lua_pop(L, 1);
  if (!given) return 0;
  if (!(bytes >= TG_SHARED_BYTES_MIN && bytes <= 1e15))
    luaL_argerror(L, 2, "bytes is a number, 4096 or more");
  return (uint64_t)bytes;
}

/* tg.shared(name, options): the arguments come after the module itself, which messages do not
 * count. Upvalue 2 keeps the objects by name. */
static int l_shared(lua_State *L) {
  struct tg_slice name;
  if (lua_type(L, 2) != LUA_TSTRING) return luaL_argerror(L, 1, "the dictionary's name expected");
  name.ptr = lua_tolstring(L, 2, &name.len);
  uint64_t bytes = check_budget(L, 3);
  lua_pushvalue(L, 2);
  lua_rawget(L, lua_upvalueindex(2));
  if (!bytes && !lua_isnil(L, -1)) return 1;
  struct tg_shared_registry *registry = tg_vm_of(L)->host->shared;
  if (!registry) tg_error_throw(L, "not_available", "tg.shared is not available here");
  struct tg_shared *shared;
  tg_status status = tg_shared_registry_get(registry, name, bytes, &shared);
  if (status == TG_EINVALID) return luaL_argerror(L, 1, "a name has 1 to 255 bytes");
  if (status == TG_EOVERLOAD) tg_error_throw(L, "overload", "tg.shared: too many dictionaries");
  if (status) return fail(L, status);
  if (!lua_isnil(L, -1)) return 1;
  push_dictionary(L, shared);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, -2);
  lua_rawset(L, lua_upvalueindex(2));
  return 1;
}

static void push_metatable(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"get", l_get},   {"set", l_set},       {"add", l_add}, {"replace", l_replace},
      {"incr", l_incr}, {"delete", l_delete}, {"ttl", l_ttl}, {"expire", l_expire}};
  lua_createtable(L, 0, 3);                                 // meta
  lua_createtable(L, 0, sizeof methods / sizeof *methods);  // meta methods
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    lua_pushvalue(L, -2);
    lua_pushcclosure(L, methods[i].func, 1);
    lua_setfield(L, -2, methods[i].name);
  }
  lua_setfield(L, -2, "__index");  // meta
  lua_pushcfunction(L, on_dictionary_gc);
  lua_setfield(L, -2, "__gc");
  lua_pushliteral(L, "tg.shared");
  lua_setfield(L, -2, "__metatable");
}

int tg_open_shared(lua_State *L) {
  lua_newtable(L);           // module
  lua_createtable(L, 0, 2);  // module class
  push_metatable(L);         // module class meta
  lua_newtable(L);           // module class meta objects
  lua_pushcclosure(L, l_shared, 2);
  lua_setfield(L, -2, "__call");  // module class
  lua_pushliteral(L, "tg.shared");
  lua_setfield(L, -2, "__metatable");
  lua_setmetatable(L, -2);  // module
  return 1;
}
