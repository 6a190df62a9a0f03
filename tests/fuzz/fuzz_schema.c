/* Any program over any value: nothing crashes, the stack stays as it was, what fits once fits again
 * and is the same, in place or copied, and what fits is written as JSON that the decoder takes. */
#include <lualib.h>
#include <stdint.h>
#include <stdio.h>

#include "base/check.h"
#include "bind/json.h"
#include "bind/schema.h"
#include "fuzz_table.h"
#include "script/module.h"

TG_MODULE(schema)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Makes a description of the first bytes: a stack machine like that of fuzz_table.h, in Lua. */
static const char describe[] =
    "local bytes, pattern = ...\n"
    "local at, nodes, values = 0, {}, {}\n"
    "local function take() at = at + 1 return bytes:byte(at) or 0 end\n"
    "local function place(v) values[#values + 1] = v return #values end\n"
    "local patterns = { 'a', '^a+$', '(a+)+$', '\\\\d', '^.{2}', '[^a]$' }\n"
    "for i = 1, 1 + take() % 8 do nodes[i] = {} end\n"
    "for _, node in ipairs(nodes) do\n"
    "  local kind, how = take() % 17, take()\n"
    "  local function other() return 1 + take() % #nodes end\n"
    "  node.kind, node.optional, node.nullable = kind, how % 2 == 1, how % 4 > 1\n"
    "  if how % 8 > 3 then node.low, node.high = take() - 128, take() end\n"
    "  if how % 16 > 7 then node.min_len, node.max_len = take() % 4, take() % 16 end\n"
    "  if how % 32 > 15 then node.step = (1 + take()) / 8 end\n"
    "  if how % 64 > 31 then node.pattern = place(pattern(patterns[1 + take() % 6])) end\n"
    "  node.low_open, node.secret = how % 128 > 63, how > 191\n"
    "  if kind == 11 then\n"
    "    local set, texts = { a = true, [take()] = true, [true] = true }, { ['1'] = 1 }\n"
    "    node.set, node.texts, node.wanted = place(set), place(texts), place('must be one')\n"
    "  elseif kind == 13 or kind == 15 then node.item = other()\n"
    "  elseif kind == 14 then\n"
    "    node.fields, node.extra = {}, take() % 3\n"
    "    for i = 1, take() % 5 do\n"
    "      node.fields[i] = { place(string.char(96 + i)), other() }\n"
    "    end\n"
    "  elseif kind == 16 then\n"
    "    node.alternatives, node.wanted = { other(), other() }, place('must be one')\n"
    "    if how % 5 == 0 then node.tag, node.set = place('a'), place({ a = 1, [1] = 2 }) end\n"
    "  end\n"
    "end\n"
    "return { nodes = nodes, values = values }, at\n";

static void push_encoded(lua_State *L, int program, int value) {
  struct tg_buffer out = {0};
  struct tg_json_error err = {0};
  int top = lua_gettop(L);
  tg_status status = tg_schema_encode(L, program, value, &out, NULL, &err);
  TG_CHECK(lua_gettop(L) == top);
  if (status == TG_OK) {
    TG_CHECK(tg_json_decode(L, tg_buffer_slice(&out), NULL, &err) == TG_OK);
    lua_settop(L, top);
    lua_pushlstring(L, out.data, tg_buffer_size(&out));
  } else {
    TG_CHECK(err.text && tg_buffer_size(&out) == 0);
    lua_pushnil(L);
  }
  tg_buffer_deinit(&out);
}

/* Pushes value and errors of run(program, value, coerce, nil, "x", fresh). */
static void push_run(lua_State *L, int run, int program, int value, bool coerce, bool fresh) {
  lua_pushvalue(L, run);
  lua_pushvalue(L, program);
  lua_pushvalue(L, value);
  lua_pushboolean(L, coerce);
  lua_pushnil(L);
  lua_pushliteral(L, "x");
  lua_pushboolean(L, fresh);
  lua_call(L, 6, 2);
}

static void check(lua_State *L, int run, int program, int value, bool coerce) {
  int top = lua_gettop(L);
  push_run(L, run, program, value, coerce, false);  // checked errors
  if (!lua_isnil(L, -1)) {
    TG_CHECK(lua_isnil(L, -2) && lua_objlen(L, -1) > 0 && lua_objlen(L, -1) <= 101);
    lua_settop(L, top);
    return;
  }
  push_run(L, run, program, top + 1, coerce, false);  // checked nil again errors
  TG_CHECK(lua_isnil(L, -1));
  push_encoded(L, program, top + 1);
  push_encoded(L, program, top + 3);
  TG_CHECK(lua_isnil(L, -1) == lua_isnil(L, -2));
  push_run(L, run, program, top + 1, coerce, true);
  lua_settop(L, top);
  if (!tg_schema_promise(L, program, value)) TG_CHECK(lua_objlen(L, -1) > 0);
  lua_settop(L, top);
}

static int l_run(lua_State *L) {
  const struct fuzz_input *in = lua_touserdata(L, 1);
  size_t size = (size_t)(in->end - in->p);
  tg_open_schema(L);            // in module
  lua_getfield(L, 2, "run");    // in module run
  lua_getfield(L, 2, "build");  // in module run build
  TG_CHECK(luaL_loadbuffer(L, describe, sizeof describe - 1, "=describe") == 0);
  lua_pushlstring(L, (const char *)in->p, size);
  lua_getfield(L, 2, "pattern");
  lua_call(L, 2, 2);  // in module run build description used
  size_t used = (size_t)lua_tonumber(L, -1);
  lua_pop(L, 1);
  lua_call(L, 1, 1);  // in module run program
  if (used > size) used = size;
  fuzz_build(L, in->p + used, size - used);  // in module run program value
  check(L, 3, 4, 5, false);
  check(L, 3, 4, 5, true);
  push_encoded(L, 4, 5);
  lua_rawgeti(L, 5, 1);
  if (!lua_isnil(L, -1)) {
    int first = lua_gettop(L);
    check(L, 3, 4, first, true);
    check(L, 3, 4, first, false);
  }
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct fuzz_input in = {data, data + size};
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  tg_plain_open(L);
  int failed = lua_cpcall(L, l_run, &in);
  if (failed) fprintf(stderr, "%s\n", lua_tostring(L, -1));
  TG_CHECK(failed == 0);
  lua_close(L);
  return 0;
}
