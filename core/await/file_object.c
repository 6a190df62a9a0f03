/* See file_object.h. */
#include "await/file_object.h"

#include <lauxlib.h>

#include "base/check.h"
#include "script/error.h"

void tg_file_object_close(struct tg_file_object *object) {
  tg_owned_release(&object->owned);
  tg_file_body_deinit(&object->body, object->vm->loop);
}

static void on_scope_end(struct tg_owned *owned) {
  tg_file_object_close(TG_CONTAINER(owned, struct tg_file_object, owned));
}

static int l_gc(lua_State *L) {
  tg_file_object_close(lua_touserdata(L, 1));
  return 0;
}

struct tg_file_object *tg_file_object_push(lua_State *L) {
  struct tg_file_object *object = lua_newuserdata(L, sizeof *object);  // .. object
  *object = (struct tg_file_object){.vm = tg_vm_of(L), .owned.close = on_scope_end};
  object->body.parts = &object->body.one;
  tg_list_init(&object->owned.link);
  if (luaL_newmetatable(L, TG_FILE_BODY_OBJECT)) {  // .. object meta
    lua_pushcfunction(L, l_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushliteral(L, "tg.file_body");
    lua_setfield(L, -2, "__metatable");
  }
  lua_setmetatable(L, -2);
  return object;
}

void tg_file_object_own(struct tg_file_object *object) {
  tg_scope_own(tg_scope_owner(object->vm), &object->owned);
}

struct tg_file_object *tg_file_object_check(lua_State *L, int index) {
  struct tg_file_object *object = luaL_checkudata(L, index, TG_FILE_BODY_OBJECT);
  if (!object->body.file)
    tg_error_throw(L, "closed", "the file of this answer was sent, or its request is over");
  if (object->busy) tg_error_throw(L, "busy", "another task sends the file of this answer");
  return object;
}
