/* The reader of multipart forms for _core/parts.lua: a userdata around http/multipart.h.
 *
 * It borrows the piece that it was fed, a Lua string, which its environment keeps alive until the
 * next one. */
#include <lauxlib.h>

#include "bind/headers.h"
#include "http/multipart.h"
#include "script/module.h"
#include "script/vm.h"

/// Functions of _core/parts.lua; not for routes.
TG_MODULE(form)

#define READER "tg.form_reader"

struct reader {
  struct tg_multipart multipart;
  struct tg_slice input;
};

static void push_slice(lua_State *L, struct tg_slice s) {
  lua_pushlstring(L, s.ptr ? s.ptr : "", s.len);
}

/* reader(content_type, fields, files): a reader; or nil, and why a body of this type has no parts.
 */
static int l_reader(lua_State *L) {
  struct tg_slice type;
  type.ptr = luaL_checklstring(L, 1, &type.len);
  uint64_t fields = (uint64_t)luaL_checknumber(L, 2), files = (uint64_t)luaL_checknumber(L, 3);
  struct reader *reader = lua_newuserdata(L, sizeof *reader);
  reader->input = tg_slice(NULL, 0);
  if (tg_multipart_init(&reader->multipart, type, fields, files)) {
    lua_pushnil(L);
    lua_pushstring(L, reader->multipart.why);
    return 2;
  }
  luaL_getmetatable(L, READER);
  lua_setmetatable(L, -2);
  lua_createtable(L, 1, 0);
  lua_setfenv(L, -2);
  return 1;
}

/* reader:feed(bytes), when `next` has used up what came before. */
static int l_feed(lua_State *L) {
  struct reader *reader = luaL_checkudata(L, 1, READER);
  reader->input.ptr = luaL_checklstring(L, 2, &reader->input.len);
  lua_getfenv(L, 1);
  lua_pushvalue(L, 2);
  lua_rawseti(L, -2, 1);
  return 0;
}

static int push_bad(lua_State *L, const struct reader *reader) {
  lua_pushliteral(L, "bad");
  lua_pushinteger(L, reader->multipart.status == TG_ETOO_LARGE ? 413 : 400);
  lua_pushstring(L, reader->multipart.why);
  return 3;
}

static void push_head(lua_State *L, const struct tg_multipart_part *part) {
  lua_createtable(L, 0, 6);  // .. part
  push_slice(L, part->name);
  lua_setfield(L, -2, "name");
  if (part->is_file) {
    push_slice(L, part->filename);
    lua_setfield(L, -2, "filename");
  }
  /* RFC 7578 section 4.4 */
  push_slice(L, part->type.ptr ? part->type : TG_SLICE("text/plain"));
  lua_setfield(L, -2, "type");
  lua_createtable(L, 0, (int)part->field_count);  // .. part headers
  for (size_t i = 0; i < part->field_count; i++)
    tg_headers_add(L, part->fields[i].name, part->fields[i].value, ", ");
  tg_headers_finish(L);
  lua_setfield(L, -2, "headers");
}

/* reader:next(): nothing when it needs more; "part" and its head, "data" and bytes, "over"; "bad",
 * the status of the answer, and why. */
static int l_next(lua_State *L) {
  struct reader *reader = luaL_checkudata(L, 1, READER);
  struct tg_slice data;
  switch (tg_multipart_next(&reader->multipart, &reader->input, &data)) {
    case TG_MULTIPART_MORE: return 0;
    case TG_MULTIPART_PART:
      lua_pushliteral(L, "part");
      push_head(L, &reader->multipart.part);
      return 2;
    case TG_MULTIPART_DATA:
      lua_pushliteral(L, "data");
      push_slice(L, data);
      return 2;
    case TG_MULTIPART_OVER: lua_pushliteral(L, "over"); return 1;
    case TG_MULTIPART_BAD: break;
  }
  return push_bad(L, reader);
}

/* reader:finish(): the body has ended; nothing, or what `next` says of a bad one. */
static int l_finish(lua_State *L) {
  struct reader *reader = luaL_checkudata(L, 1, READER);
  return tg_multipart_finish(&reader->multipart) ? push_bad(L, reader) : 0;
}

/* limits(): of this generation */
static int l_limits(lua_State *L) {
  const struct tg_settings *settings = tg_vm_of(L)->settings;
  lua_createtable(L, 0, 4);
  lua_pushnumber(L, (lua_Number)settings->limits_form_fields);
  lua_setfield(L, -2, "fields");
  lua_pushnumber(L, (lua_Number)settings->limits_form_files);
  lua_setfield(L, -2, "files");
  lua_pushnumber(L, (lua_Number)settings->limits_form_field);
  lua_setfield(L, -2, "field");
  lua_pushnumber(L, (lua_Number)settings->limits_form_memory);
  lua_setfield(L, -2, "memory");
  return 1;
}

int tg_open_form(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"feed", l_feed}, {"next", l_next}, {"finish", l_finish}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"reader", l_reader}, {"limits", l_limits}, {NULL, NULL}};
  if (luaL_newmetatable(L, READER)) {  // meta
    lua_newtable(L);                   // meta methods
    luaL_register(L, NULL, methods);
    lua_setfield(L, -2, "__index");
  }
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
