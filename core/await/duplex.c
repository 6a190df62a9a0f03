/* The userdata of a byte stream, and what its methods do without suspending. */
#include "await/duplex.h"

#include <lauxlib.h>
#include <stddef.h>
#include <string.h>

#include "await/duplex_tls.h"
#include "base/check.h"
#include "script/error.h"
#include "script/module.h"

/// For _core/duplex.lua: the metatable of byte streams, and the functions `get`, `shutdown`, `detach`.
TG_AWAITABLE(duplex_class)

static void let_go(struct tg_duplex_object *object) {
  struct tg_duplex *duplex = object->duplex;
  object->duplex = NULL;
  tg_owned_release(&object->owned);
  if (duplex) tg_duplex_close(duplex);
}

static void on_scope_end(struct tg_owned *owned) {
  let_go(TG_CONTAINER(owned, struct tg_duplex_object, owned));
}

static int l_gc(lua_State *L) {
  let_go(lua_touserdata(L, 1));
  return 0;
}

static void push_class(lua_State *L) {                  // ..
  if (!luaL_newmetatable(L, TG_DUPLEX_OBJECT)) return;  // .. meta
  lua_pushcfunction(L, l_gc);
  lua_setfield(L, -2, "__gc");
  lua_pushliteral(L, "tg.duplex");
  lua_setfield(L, -2, "__metatable");
}

struct push_call {
  struct tg_duplex *duplex;
  const char *noun;
};

static int l_push(lua_State *L) {
  struct push_call *call = lua_touserdata(L, 1);
  struct tg_duplex_object *object = lua_newuserdata(L, sizeof *object);  // call object
  *object = (struct tg_duplex_object){.owned = {.close = on_scope_end}, .noun = call->noun};
  tg_list_init(&object->owned.link);
  push_class(L);  // call object meta
  lua_setmetatable(L, -2);
  object->duplex = call->duplex;
  tg_scope_own(tg_scope_owner(tg_vm_of(L)), &object->owned);
  return 1;
}

int tg_duplex_push(lua_State *L, struct tg_duplex *duplex, const char *noun) {
  struct push_call call = {duplex, noun};
  lua_pushcfunction(L, l_push);
  lua_pushlightuserdata(L, &call);
  int rc = lua_pcall(L, 1, 1, 0);  // .. object | error
  if (rc) tg_duplex_close(duplex);
  return rc;
}

struct tg_duplex_object *tg_duplex_check(lua_State *L, int index) {
  struct tg_duplex_object *object = lua_touserdata(L, index);
  bool is_one = false;
  if (object && lua_getmetatable(L, index)) {  // .. meta
    luaL_getmetatable(L, TG_DUPLEX_OBJECT);    // .. meta class
    is_one = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
  }
  if (!is_one)
    tg_error_misuse(L, "a stream expected, got %s; methods are called with a colon, s:read()",
                    luaL_typename(L, index));
  return object;
}

void tg_duplex_throw_closed(lua_State *L, const char *noun, const char *method) {
  tg_error_throw(L, "closed", "%s:%s: the %s is closed", noun, method, noun);
}

void tg_duplex_detach(lua_State *L, struct tg_owned *owned, const char *noun) {
  struct tg_vm *vm = tg_vm_of(L);
  if (!vm->serving)
    tg_error_throw(L, "not_available",
                   "%s:detach: on_start runs elsewhere than what it prepares; open the %s in a "
                   "task of tg.background",
                   noun, noun);
  tg_scope_own(vm->root, owned);
}

/* ---- what never suspends ---- */

static int push_name(lua_State *L, tg_status status, const struct tg_address *address) {
  char text[TG_ADDRESS_TEXT];
  /* the end of a unix socket that has not bound itself has no name */
  if (status || address->len <= offsetof(struct sockaddr_un, sun_path)) return 0;
  lua_pushlstring(L, text, tg_address_format(address, text));
  return 1;
}

/* get(object, key): closed, address, remote, buffered, tls, noun */
static int l_get(lua_State *L) {
  struct tg_duplex_object *object = tg_duplex_check(L, 1);
  const char *key = luaL_checkstring(L, 2);
  struct tg_duplex *duplex = object->duplex;
  struct tg_address address;
  if (strcmp(key, "closed") == 0) return lua_pushboolean(L, !duplex), 1;
  if (strcmp(key, "noun") == 0) return lua_pushstring(L, object->noun), 1;
  if (!duplex) return 0;
  if (strcmp(key, "address") == 0) return push_name(L, tg_duplex_local(duplex, &address), &address);
  if (strcmp(key, "remote") == 0) return push_name(L, tg_duplex_remote(duplex, &address), &address);
  if (strcmp(key, "tls") == 0) return tg_duplex_tls_push(L, duplex);
  if (strcmp(key, "buffered") == 0)
    return lua_pushnumber(L, (lua_Number)tg_duplex_buffered(duplex)), 1;
  return 0;
}

static int l_shutdown(lua_State *L) {
  struct tg_duplex_object *object = tg_duplex_check(L, 1);
  if (!object->duplex) tg_duplex_throw_closed(L, object->noun, "shutdown");
  tg_duplex_shut(object->duplex);
  return 0;
}

static int l_detach(lua_State *L) {
  struct tg_duplex_object *object = tg_duplex_check(L, 1);
  if (!object->duplex) tg_duplex_throw_closed(L, object->noun, "detach");
  tg_duplex_detach(L, &object->owned, object->noun);
  lua_settop(L, 1);
  return 1;
}

int tg_await_duplex_class(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"get", l_get}, {"shutdown", l_shutdown}, {"detach", l_detach}, {NULL, NULL}};
  lua_settop(L, 0);
  push_class(L);    // meta
  lua_newtable(L);  // meta functions
  luaL_register(L, NULL, functions);
  return 2;
}
