/* Pages that templates write: the one call that generated code makes, and what it stands on.
 *
 * A page is a buffer of its own, because a template may suspend in its middle. The code of a
 * template calls write(page, spec, ...): a letter of the spec for each argument, then, a line each,
 * the expressions that the arguments come from, for errors (_core/template_compile.lua). So a row
 * of a table is one call, and nothing but the whole page becomes a Lua string. */
#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "base/html.h"
#include "base/number.h"
#include "http/media.h"
#include "script/error.h"
#include "script/module.h"
#include "script/plain.h"
#include "script/vm.h"

/// Functions of _core/templates.lua; not for routes.
TG_MODULE(markup)

#define PAGE_OBJECT "tg.page"
#define PAGE_KEEP   (256u * 1024)

/* Stands in place of a URL that a browser would run. */
static const struct tg_slice refused = {"about:invalid", 13};

static struct tg_buffer *page_at(lua_State *L, int index) {
  return luaL_checkudata(L, index, PAGE_OBJECT);
}

static int l_free(lua_State *L) {
  tg_buffer_deinit(page_at(L, 1));
  return 0;
}

static int l_new(lua_State *L) {
  struct tg_buffer *page = lua_newuserdata(L, sizeof *page);  // page
  tg_buffer_init(page);
  luaL_getmetatable(L, PAGE_OBJECT);
  lua_setmetatable(L, -2);
  return 1;
}

/* take(page): its text; it is empty then. */
static int l_take(lua_State *L) {
  struct tg_buffer *page = page_at(L, 1);
  lua_pushlstring(L, page->len ? page->data : "", page->len);
  if (page->cap > PAGE_KEEP)
    tg_buffer_deinit(page);
  else
    tg_buffer_clear(page);
  return 1;
}

/* ---- values ---- */

/* The expression of the value number `index` (from 0) of a call. */
static struct tg_slice expression(struct tg_slice names, int index) {
  const char *end;
  while (names.len && (end = memchr(names.ptr, '\n', names.len)) && index--)
    names = tg_slice_skip(names, (size_t)(end - names.ptr) + 1);
  end = names.len ? memchr(names.ptr, '\n', names.len) : NULL;
  if (end) names.len = (size_t)(end - names.ptr);
  return names;
}

struct call {
  struct tg_buffer *page;
  struct tg_slice names;
  int value; /* number of the value that is written */
};

__attribute__((noreturn)) static void refuse(lua_State *L, const struct call *call,
                                             const char *code, const char *what) {
  struct tg_slice name = expression(call->names, call->value);
  int len = name.len > 200 ? 200 : (int)name.len;
  tg_error_throw(L, code, "{{ %.*s }} is %s", len, name.ptr ? name.ptr : "", what);
}

static struct tg_slice number_text(double number, char out[TG_NUMBER_LEN]) {
  if (isfinite(number)) return tg_slice(out, tg_number_write(number, out));
  return isnan(number) ? TG_SLICE("nan") : number > 0 ? TG_SLICE("inf") : TG_SLICE("-inf");
}

/* A table or userdata that can say itself what it is, a date or a number of its own kind. */
static struct tg_slice text_by_metamethod(lua_State *L, const struct call *call, int index) {
  struct tg_slice text;
  uint64_t bits;
  bool is_unsigned;
  if (tg_plain_get_int64(L, index, &bits, &is_unsigned)) {
    char digits[TG_NUMBER_LEN];
    size_t len = is_unsigned ? tg_number_write_u64(bits, digits)
                             : tg_number_write_i64((int64_t)bits, digits);
    lua_pushlstring(L, digits, len);
  } else if (!luaL_callmeta(L, index, "__tostring") || lua_type(L, -1) != LUA_TSTRING) {
    char what[32] = "a ";
    strncat(what, luaL_typename(L, index), sizeof what - 3);
    refuse(L, call, "template_value", what);
  }
  lua_replace(L, index);
  text.ptr = lua_tolstring(L, index, &text.len);
  return text;
}

/* Text of the value at `index`; nil and null are nothing, or in `dev` an error. */
static struct tg_slice text_at(lua_State *L, const struct call *call, int index,
                               char number[TG_NUMBER_LEN]) {
  struct tg_slice text;
  switch (lua_type(L, index)) {
    case LUA_TSTRING: text.ptr = lua_tolstring(L, index, &text.len); return text;
    case LUA_TNUMBER: return number_text(lua_tonumber(L, index), number);
    case LUA_TBOOLEAN: return lua_toboolean(L, index) ? TG_SLICE("true") : TG_SLICE("false");
    case LUA_TLIGHTUSERDATA:
      if (lua_touserdata(L, index)) break;
      __attribute__((fallthrough)); /* null of JSON */
    case LUA_TNIL:
      if (tg_vm_of(L)->host->dev) refuse(L, call, "template_nil", "nil; write {{ value or \"\" }}");
      return tg_slice("", 0);
    default: break;
  }
  return text_by_metamethod(L, call, index);
}

static tg_status write_one(struct tg_buffer *page, char kind, struct tg_slice text) {
  switch (kind) {
    case 'e': return tg_html_append(page, text);
    case 'u': return tg_html_append(page, tg_html_url_is_safe(text) ? text : refused);
    default: return text.len ? tg_buffer_append(page, text.ptr, text.len) : TG_OK;
  }
}

/* write(page, spec, ...) */
static int l_write(lua_State *L) {
  struct call call = {.page = page_at(L, 1)};
  struct tg_slice spec;
  spec.ptr = luaL_checklstring(L, 2, &spec.len);
  const char *end = memchr(spec.ptr, '\n', spec.len);
  size_t count = end ? (size_t)(end - spec.ptr) : spec.len;
  call.names = end ? tg_slice_skip(spec, count + 1) : tg_slice(NULL, 0);
  luaL_checkstack(L, 8, "template");
  for (size_t i = 0; i < count; i++) {
    char number[TG_NUMBER_LEN];
    struct tg_slice text = text_at(L, &call, (int)i + 3, number);
    if (write_one(call.page, spec.ptr[i], text)) tg_error_throw(L, "out_of_memory", "template");
    if (spec.ptr[i] != 't') call.value++;
  }
  uint64_t most = tg_vm_of(L)->settings->limits_response;
  if (call.page->len > most)
    tg_error_throw(L, "too_large", "the page has more than limits.response, %llu bytes",
                   (unsigned long long)most);
  return 0;
}

/* ---- helpers of templates ---- */

/* url(value): the URL, or about:invalid where a browser would run it. */
static int l_url(lua_State *L) {
  struct tg_slice url;
  url.ptr = luaL_checklstring(L, 1, &url.len);
  if (tg_html_url_is_safe(url)) {
    lua_settop(L, 1);
    return 1;
  }
  lua_pushlstring(L, refused.ptr, refused.len);
  return 1;
}

/* json(text): a text of JSON as it may stand in a script. */
static int l_json(lua_State *L) {
  struct tg_slice json;
  json.ptr = luaL_checklstring(L, 1, &json.len);
  struct tg_buffer *scratch = &tg_vm_of(L)->scratch;
  tg_buffer_clear(scratch);
  if (tg_html_append_json(scratch, json)) tg_error_throw(L, "out_of_memory", "template");
  lua_pushlstring(L, scratch->len ? scratch->data : "", scratch->len);
  if (scratch->cap > PAGE_KEEP) tg_buffer_deinit(scratch);
  return 1;
}

/* type(path): the media type by the name's ending. */
static int l_type(lua_State *L) {
  struct tg_slice path;
  path.ptr = luaL_checklstring(L, 1, &path.len);
  struct tg_slice type = tg_media_of_path(path);
  lua_pushlstring(L, type.ptr, type.len);
  return 1;
}

static const luaL_Reg functions[] = {{"new", l_new}, {"write", l_write}, {"take", l_take},
                                     {"url", l_url}, {"json", l_json},   {"type", l_type},
                                     {NULL, NULL}};

int tg_open_markup(lua_State *L) {
  luaL_newmetatable(L, PAGE_OBJECT);  // meta
  lua_pushcfunction(L, l_free);
  lua_setfield(L, -2, "__gc");
  lua_pushliteral(L, "locked");
  lua_setfield(L, -2, "__metatable");
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
