/* What the client of the running request has got already, and what it takes: and where
 * it has asked: for the middleware of tg.middleware. */
#include <lauxlib.h>

#include "bind/handler.h"
#include "http/accept.h"
#include "http/precondition.h"
#include "script/module.h"
#include "script/vm.h"

/// Functions of _core/kit_*.lua; not for routes.
TG_MODULE(negotiate)

static const struct tg_request *request_of(lua_State *L) {
  struct tg_handling *handling = tg_handler_current(tg_vm_of(L));
  if (!handling) tg_error_misuse(L, "a middleware runs in the task of its request");
  return handling->exchange->request;
}

/* takes(coding): does the client take it, and rather than the bytes as they are? */
static int l_takes(lua_State *L) {
  static const struct tg_slice field = {"accept-encoding", 15}, identity = {"identity", 8};
  const struct tg_request *request = request_of(L);
  struct tg_slice coding;
  coding.ptr = luaL_checklstring(L, 1, &coding.len);
  int weight = tg_accept_weight(request, field, coding);
  lua_pushboolean(L, weight > 0 && weight >= tg_accept_weight(request, field, identity));
  return 1;
}

/* condition(etag) -> 304, 412 or nothing: what is to be answered instead of this representation */
static int l_condition(lua_State *L) {
  struct tg_validators validators = {0};
  validators.etag.ptr = luaL_checklstring(L, 1, &validators.etag.len);
  switch (tg_precondition_check(request_of(L), &validators)) {
    case TG_PRECONDITION_NOT_MODIFIED: lua_pushinteger(L, 304); return 1;
    case TG_PRECONDITION_FAILED: lua_pushinteger(L, 412); return 1;
    default: return 0;
  }
}

/* target() -> path and query, as they were sent */
static int l_target(lua_State *L) {
  const struct tg_request *request = request_of(L);
  bool is_path = request->raw_path.len && request->raw_path.ptr[0] == '/';
  lua_pushlstring(L, is_path ? request->raw_path.ptr : "/", is_path ? request->raw_path.len : 1);
  if (!request->query.len) return 1;
  lua_pushliteral(L, "?");
  lua_pushlstring(L, request->query.ptr, request->query.len);
  lua_concat(L, 3);
  return 1;
}

int tg_open_negotiate(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"takes", l_takes}, {"condition", l_condition}, {"target", l_target}, {NULL, NULL}};
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
