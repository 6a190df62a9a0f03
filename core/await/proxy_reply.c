/* See proxy_reply.h. */
#include "await/proxy_reply.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/check.h"
#include "script/error.h"
#include "script/module.h"
#include "script/vm.h"

/// For _core/proxy.lua: of a reply its status, its fields by name (a text, or a list of them), the length of its body or
/// nil, and limits.response.
TG_AWAITABLE(proxy_head)

void tg_proxy_reply_free(struct tg_proxy_reply *reply) {
  if (!reply->over) tg_delivery_cancel(&reply->delivery);
  tg_mirror_release(reply->mirror);
  tg_buffer_deinit(&reply->bytes);
  tg_arena_reset(&reply->arena);
  free(reply);
}

static void let_go(struct tg_proxy_reply_object *object) {
  struct tg_proxy_reply *reply = object->reply;
  object->reply = NULL;
  tg_owned_release(&object->owned);
  if (reply) tg_proxy_reply_free(reply);
}

static void on_scope_end(struct tg_owned *owned) {
  let_go(TG_CONTAINER(owned, struct tg_proxy_reply_object, owned));
}

static int l_gc(lua_State *L) {
  let_go(lua_touserdata(L, 1));
  return 0;
}

static int l_push(lua_State *L) {
  struct tg_proxy_reply *reply = lua_touserdata(L, 1);
  struct tg_proxy_reply_object *object = lua_newuserdata(L, sizeof *object);  // reply object
  *object = (struct tg_proxy_reply_object){.owned = {.close = on_scope_end}};
  tg_list_init(&object->owned.link);
  if (luaL_newmetatable(L, TG_PROXY_REPLY)) {  // reply object meta
    lua_pushcfunction(L, l_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushliteral(L, TG_PROXY_REPLY);
    lua_setfield(L, -2, "__metatable");
  }
  lua_setmetatable(L, -2);
  object->reply = reply;
  tg_scope_own(tg_scope_owner(tg_vm_of(L)), &object->owned);
  return 1;
}

int tg_proxy_reply_push(lua_State *L, struct tg_proxy_reply *reply) {
  lua_pushcfunction(L, l_push);
  lua_pushlightuserdata(L, reply);
  int rc = lua_pcall(L, 1, 1, 0);  // .. object | error
  if (rc) tg_proxy_reply_free(reply);
  return rc;
}

struct tg_proxy_reply *tg_proxy_reply_check(lua_State *L, int index) {
  struct tg_proxy_reply_object *object = lua_touserdata(L, index);
  bool is_one = false;
  if (object && lua_getmetatable(L, index)) {  // .. meta
    luaL_getmetatable(L, TG_PROXY_REPLY);      // .. meta class
    is_one = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
  }
  if (!is_one) tg_error_misuse(L, "a reply expected, got %s", luaL_typename(L, index));
  if (!object->reply) tg_error_throw(L, "request_over", "tg.proxy: the reply's request is over");
  return object->reply;
}

void tg_proxy_reply_throw(lua_State *L, const struct tg_proxy_reply *reply, tg_status status) {
  const struct tg_delivery *delivery = &reply->delivery;
  const char *detail = delivery->call->detail;
  tg_error_push(L, tg_status_name(status), "tg.proxy: the answer of %.*s broke off: %s",
                (int)reply->rule.to.len, reply->rule.to.ptr,
                detail ? detail : tg_status_text(status));
  lua_pushinteger(L, status == TG_ETIMEOUT ? 504 : 502);
  lua_setfield(L, -2, "status");
  tg_error_push_place(L, 0);
  lua_setfield(L, -2, "place");
  lua_error(L);
  __builtin_unreachable();
}

/* A field that has come before makes a list of both. */
static void add_field(lua_State *L, int fields, const struct tg_response_field *field) {
  luaL_Buffer name;
  luaL_buffinit(L, &name);
  for (size_t i = 0; i < field->name.len; i++) {
    char c = field->name.ptr[i];
    luaL_addchar(&name, (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c));
  }
  luaL_pushresult(&name);                                  // .. name
  lua_pushlstring(L, field->value.ptr, field->value.len);  // .. name value
  lua_pushvalue(L, -2);
  lua_rawget(L, fields);  // .. name value old
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    lua_rawset(L, fields);
    return;
  }
  if (!lua_istable(L, -1)) {
    lua_createtable(L, 2, 0);  // .. name value old list
    lua_insert(L, -2);
    lua_rawseti(L, -2, 1);  // .. name value list
    lua_pushvalue(L, -3);
    lua_pushvalue(L, -2);
    lua_rawset(L, fields);
  }
  lua_insert(L, -2);  // .. name list value
  lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
  lua_pop(L, 2);
}

int tg_await_proxy_head(lua_State *L) {
  struct tg_proxy_reply *reply = tg_proxy_reply_check(L, 1);
  const struct tg_reply *head = reply->delivery.call->reply;
  struct tg_forward_fields fields;
  if (reply->over && !head) tg_error_throw(L, "request_over", "tg.proxy: the reply is over");
  if (tg_forward_reply(&reply->arena, head->fields, head->field_count, &reply->rule.reply,
                       head->status == 101, &fields))
    tg_error_throw(L, "bad_reply", "tg.proxy: the head of the answer is malformed");
  lua_pushinteger(L, head->status);
  lua_createtable(L, 0, (int)fields.count);
  for (size_t i = 0; i < fields.count; i++) add_field(L, lua_gettop(L), &fields.list[i]);
  if (head->content_length == TG_REPLY_NO_LENGTH)
    lua_pushnil(L);
  else
    lua_pushnumber(L, (lua_Number)head->content_length);
  lua_pushnumber(L, (lua_Number)tg_vm_of(L)->settings->limits_response);
  return 4;
}
