/* The JSON encoder and decoder, in plain Lua states. The texts to refuse and to accept are named
 * after the public JSON parsing test collection where it has the same case. */
#include <lauxlib.h>
#include <lualib.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "bind/json.h"
#include "plain_vm.h"
#include "script/module.h"
#include "script/plain.h"

#include <cmocka.h>

static int setup(void **state) {
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  tg_plain_open(L);
  *state = L;
  return 0;
}

static int teardown(void **state) {
  lua_State *L = *state;
  assert_int_equal(lua_gettop(L), 0);
  lua_close(L);
  return 0;
}

TG_MODULE(json)

struct text {
  const char *name;
  const char *ptr;
  size_t len;
};
#define T(name, literal) \
  { name, "" literal, sizeof(literal) - 1 }

#include "json_texts.h"

static tg_status decode(lua_State *L, const char *ptr, size_t len, struct tg_json_error *err) {
  /* An exact copy on the heap: reading past its end is found by the address sanitizer. */
  char *copy = malloc(len ? len : 1);
  memcpy(copy, ptr, len);
  tg_status status = tg_json_decode(L, tg_slice(copy, len), NULL, err);
  free(copy);
  return status;
}

static void test_refused(void **state) {
  lua_State *L = *state;
  for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
    struct tg_json_error err = {0};
    tg_status status = decode(L, refused[i].ptr, refused[i].len, &err);
    if (status != TG_ESYNTAX && status != TG_ERANGE)
      fail_msg("%s: status %d", refused[i].name, status);
    assert_int_equal(lua_gettop(L), 0);
    assert_non_null(err.text);
    assert_true(err.offset <= refused[i].len && err.line >= 1 && err.column >= 1);
  }
}

static void test_accepted(void **state) {
  lua_State *L = *state;
  for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++) {
    struct tg_json_error err = {0};
    tg_status status = decode(L, accepted[i].ptr, accepted[i].len, &err);
    if (status) fail_msg("%s: %s at %zu", accepted[i].name, err.text, err.offset);
    assert_int_equal(lua_gettop(L), 1);
    struct tg_buffer out = {0};
    assert_int_equal(tg_json_encode(L, -1, &out, NULL, &err), TG_OK);
    assert_int_equal(decode(L, out.data, out.len, &err), TG_OK);
    tg_buffer_deinit(&out);
    lua_settop(L, 0);
  }
}

/* Every proper prefix of a text with all kinds of values is refused, and stays inside its bytes. */
static void test_cut_off(void **state) {
  lua_State *L = *state;
  static const char text[] =
      "[{\"k\\u00e9\\ud83d\\ude00\":-12.5e+3,\"\xc3\xa9\":[true,false,null]},\"\\n plain text "
      "here\"]";
  for (size_t len = 0; len < sizeof text - 1; len++) {
    assert_int_equal(decode(L, text, len, NULL), TG_ESYNTAX);
    assert_int_equal(lua_gettop(L), 0);
  }
  assert_int_equal(decode(L, text, sizeof text - 1, NULL), TG_OK);
  lua_settop(L, 0);
}

static void test_depth(void **state) {
  lua_State *L = *state;
  char text[4100];
  static const unsigned depths[] = {1, 100, 128, 129, 2000};
  for (size_t i = 0; i < 5; i++) {
    unsigned depth = depths[i];
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    assert_int_equal(decode(L, text, depth * 2, NULL), depth > 128 ? TG_ERANGE : TG_OK);
    lua_settop(L, 0);
  }
  struct tg_json_limits limits = {.max_depth = 3};
  assert_int_equal(tg_json_decode(L, TG_SLICE("[[[{}]]]"), &limits, NULL), TG_ERANGE);
  assert_int_equal(tg_json_decode(L, TG_SLICE("[[[]],{\"a\":[]},[[]]]"), &limits, NULL), TG_OK);
  lua_settop(L, 0);
  memset(text, '[', sizeof text);
  assert_int_equal(decode(L, text, sizeof text, NULL), TG_ERANGE);
  limits = (struct tg_json_limits){.max_size = 4};
  assert_int_equal(tg_json_decode(L, TG_SLICE("12345"), &limits, NULL), TG_ETOO_LARGE);
}

/* The deepest that the settings allow, both ways. */
static void test_deepest(void **state) {
  lua_State *L = *state;
  struct tg_buffer text = {0}, again = {0};
  for (unsigned i = 0; i < TG_JSON_DEPTH_MAX; i++)
    assert_int_equal(tg_buffer_append(&text, "{\"a\":", 5), TG_OK);
  assert_int_equal(tg_buffer_append(&text, "0", 1), TG_OK);
  for (unsigned i = 0; i < TG_JSON_DEPTH_MAX; i++)
    assert_int_equal(tg_buffer_append(&text, "}", 1), TG_OK);
  struct tg_json_limits limits = {.max_depth = 100000};
  struct tg_json_options opts = {.max_depth = 100000};
  assert_int_equal(tg_json_decode(L, tg_buffer_slice(&text), &limits, NULL), TG_OK);
  assert_int_equal(tg_json_encode(L, 1, &again, &opts, NULL), TG_OK);
  assert_int_equal(again.len, text.len);
  lua_newtable(L);
  lua_insert(L, 1);
  lua_rawseti(L, 1, 1);
  tg_buffer_clear(&again);
  assert_int_equal(tg_json_encode(L, 1, &again, &opts, NULL), TG_ERANGE);
  lua_settop(L, 0);
  tg_buffer_deinit(&text);
  tg_buffer_deinit(&again);
}

static void test_decode_place(void **state) {
  lua_State *L = *state;
  struct tg_json_error err;
  assert_int_equal(tg_json_decode(L, TG_SLICE("{\n  \"a\": 1,\n  \"b\": x\n}"), NULL, &err),
                   TG_ESYNTAX);
  assert_int_equal(err.line, 3);
  assert_int_equal(err.column, 8);
  assert_int_equal(err.offset, 19);
  assert_string_equal(err.text, "a value expected");
  assert_int_equal(tg_json_decode(L, TG_SLICE("[1] 2"), NULL, &err), TG_ESYNTAX);
  assert_string_equal(err.text, "more after the value");
  assert_int_equal(err.column, 5);
}

/* --- encoding: an expression in Lua and its text, or the error's text and path --- */

/* The results lie on the stack. `array` gives the mark, `mark` is it, `null` is null, and any look
 * into `trap` is an error. */
static void evaluate(lua_State *L, const char *code) {
  lua_getglobal(L, "mark");
  if (lua_isnil(L, -1)) {
    lua_pushlightuserdata(L, NULL);
    lua_setglobal(L, "null");
    lua_newtable(L);
    tg_plain_mark_array(L, -1);
    lua_getmetatable(L, -1);
    lua_setglobal(L, "mark");
    luaL_dostring(L,
                  "function array(t) return setmetatable(t, mark) end "
                  "trap = setmetatable({}, {__index = error, __len = error, __pairs = error, "
                  "__tostring = error})");
  }
  lua_settop(L, 0);
  if (luaL_dostring(L, code)) fail_msg("%s: %s", code, lua_tostring(L, -1));
}

static void check_encode(lua_State *L, const struct tg_json_options *opts, const char *code,
                         const char *want) {
  evaluate(L, code);
  int top = lua_gettop(L);
  struct tg_buffer out = {0};
  struct tg_json_error err = {0};
  assert_int_equal(tg_buffer_append(&out, "head ", 5), TG_OK);
  tg_buffer_consume(&out, 3);
  tg_status status = tg_json_encode(L, 1, &out, opts, &err);
  assert_int_equal(lua_gettop(L), top);
  struct tg_slice text = tg_buffer_slice(&out);
  assert_memory_equal(text.ptr, "d ", 2);
  char got[1024];
  if (status)
    snprintf(got, sizeof got, "! %s: %s %zu", err.path, err.text, err.offset);
  else
    snprintf(got, sizeof got, "%.*s", (int)text.len - 2, text.ptr + 2);
  if (status) assert_int_equal(text.len, 2);
  if (strcmp(got, want) != 0) fail_msg("%s\n  gives %s\n  not   %s", code, got, want);
  tg_buffer_deinit(&out);
  lua_settop(L, 0);
}

static void test_encode(void **state) {
  static const char *const rows[][2] = {
      {"return nil", "null"},
      {"return null", "null"},
      {"return true", "true"},
      {"return false", "false"},
      {"return 1", "1"},
      {"return -0.5", "-0.5"},
      {"return 1700000000123456", "1700000000123456"},
      {"return 2^53", "9007199254740992"},
      {"return 9007199254740993LL", "9007199254740993"},
      {"return -9223372036854775807LL - 1", "-9223372036854775808"},
      {"return 18446744073709551615ULL", "18446744073709551615"},
      {"return {n = 5LL}", "{\"n\":5}"},
      {"return 'a/b'", "\"a/b\""},
      {"return ''", "\"\""},
      {"return 'q\"b\\\\s'", "\"q\\\"b\\\\s\""},
      {"return '\\0\\1\\8\\9\\10\\11\\12\\13\\31\\127'",
       "\"\\u0000\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f\x7f\""},
      {"return 'plain text of some length\\nand more of it'",
       "\"plain text of some length\\nand more of it\""},
      {"return '\xc3\xa9\xe2\x80\xa8\xf0\x9f\x98\x80'", "\"\xc3\xa9\xe2\x80\xa8\xf0\x9f\x98\x80\""},
      {"return {}", "{}"},
      {"return array{}", "[]"},
      {"return {array{}, {}}", "[[],{}]"},
      {"return {1, 2, 3}", "[1,2,3]"},
      {"return array{1, 'x'}", "[1,\"x\"]"},
      {"return {[2] = 'b', [1] = 'a'}", "[\"a\",\"b\"]"},
      {"return {a = {b = {1, null, false}}}", "{\"a\":{\"b\":[1,null,false]}}"},
      {"return {['1'] = 1}", "{\"1\":1}"},
      {"local x = {1} return {x, x}", "[[1],[1]]"},
      {"return {trap, trap}", "[{},{}]"},
      {"return 0/0", "! $: NaN 0"},
      {"return {a = {1, 0/0}}", "! $.a[2]: NaN 0"},
      {"return {[2] = 2, [1] = -1/0}", "! $[1]: an infinity 0"},
      {"return {a = {1, 2, {b = print}}}", "! $.a[3].b: a function 0"},
      {"return {['two words'] = print}", "! $[\"two words\"]: a function 0"},
      {"return {['x\\n\\255\xc3\xa9'] = print}", "! $[\"x??\xc3\xa9\"]: invalid UTF-8 3"},
      {"return coroutine.create(print)", "! $: a coroutine 0"},
      {"return io.stdout", "! $: a userdata 0"},
      {"return newproxy()", "! $: a userdata 0"},
      {"return require('ffi').new('int[3]')", "! $: a cdata that is no 64-bit integer 0"},
      {"return require('ffi').typeof('int64_t')", "! $: a cdata that is no 64-bit integer 0"},
      {"return require('ffi').new('int64_t', -7)", "-7"},
      {"return require('ffi').new('uint64_t[2]', 7, 8)[1]", "8"},
      {"return require('ffi').new('struct { int64_t a; }', 7).a", "7"},
      {"return {1, 2, [4] = 4}", "! $: an array with holes (fill them with tg.null) 0"},
      {"return {x = {[1e300] = 1}}", "! $.x: an array with holes (fill them with tg.null) 0"},
      {"return {[1/0] = 1}", "! $: an array with holes (fill them with tg.null) 0"},
      {"return {[0] = 1}", "! $: a table with keys of different kinds 0"},
      {"return {1, a = 2}", "! $: a table with keys of different kinds 0"},
      {"return {a = 2, [1.5] = 2}", "! $: a table with keys of different kinds 0"},
      {"return {[true] = 2}", "! $: a table with keys of different kinds 0"},
      {"return array{a = 2}", "! $: a table with keys of different kinds 0"},
      {"local t = {} t.x = {t} return t", "! $.x[1]: a table that contains itself 0"},
      {"return {name = 'ab\\255'}", "! $.name: invalid UTF-8 3"},
      {"return {'\\237\\160\\128'}", "! $[1]: invalid UTF-8 1"},
      {"return {['\\255'] = 1}", "! $[\"?\"]: invalid UTF-8 1"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    check_encode(*state, NULL, rows[i][0], rows[i][1]);
}

static void test_encode_options(void **state) {
  lua_State *L = *state;
  struct tg_json_options opts = {.pretty = true, .sorted = true};
  check_encode(
      L, &opts, "return {b = {1, {}}, a = {z = null, y = array{}}}",
      "{\n  \"a\": {\n    \"y\": [],\n    \"z\": null\n  },\n  \"b\": [\n    1,\n    {}\n  "
      "]\n}");
  opts.pretty = false;
  check_encode(L, &opts, "return {bb = 1, b = 2, a = {d = {f = 1, e = 2}, c = 4}, ab = 3}",
               "{\"a\":{\"c\":4,\"d\":{\"e\":2,\"f\":1}},\"ab\":3,\"b\":2,\"bb\":1}");
  check_encode(L, &opts, "return {b = 1, a = print}", "! $.a: a function 0");
  opts = (struct tg_json_options){.max_depth = 2};
  check_encode(L, &opts, "return {{}}", "[{}]");
  check_encode(L, &opts, "return {a = {b = {}}}", "! $.a.b: nested too deep 0");
  opts = (struct tg_json_options){.max_size = 10};
  check_encode(L, &opts, "return '12345678'", "\"12345678\"");
  check_encode(L, &opts, "return '123456789'", "! $: the text is too long 0");
}

static void test_encode_bomb(void **state) {
  lua_State *L = *state;
  evaluate(L, "local t = {'x'} for i = 1, 60 do t = {t, t} end return t");
  struct tg_buffer out = {0};
  struct tg_json_options opts = {.max_size = 1 << 20};
  assert_int_equal(tg_json_encode(L, 1, &out, &opts, NULL), TG_ETOO_LARGE);
  tg_buffer_deinit(&out);
  lua_settop(L, 0);
}

static void test_long_path(void **state) {
  lua_State *L = *state;
  evaluate(L, "local t = {f = print} for i = 1, 60 do t = {['key_' .. i] = t} end return t");
  struct tg_buffer out = {0};
  struct tg_json_error err;
  assert_int_equal(tg_json_encode(L, 1, &out, NULL, &err), TG_EINVALID);
  assert_int_equal(strlen(err.path), sizeof err.path - 1);
  assert_string_equal(err.path + sizeof err.path - 4, "...");
  tg_buffer_deinit(&out);
  lua_settop(L, 0);
}

static void check_decode(lua_State *L, const char *text, const char *test) {
  struct tg_json_error err;
  evaluate(L, "return 0");
  lua_settop(L, 0);
  if (tg_json_decode(L, tg_slice_cstr(text), NULL, &err)) fail_msg("%s: %s", text, err.text);
  lua_setglobal(L, "v");
  evaluate(L, test);
  if (!lua_toboolean(L, 1)) fail_msg("%s: not so: %s", text, test);
  lua_settop(L, 0);
}

static void test_decode_values(void **state) {
  static const char *const rows[][2] = {
      {"null", "return v == null"},
      {" [1, 2.5,\t-3e2\n] ", "return #v == 3 and v[1] == 1 and v[2] == 2.5 and v[3] == -300"},
      {"[]", "return getmetatable(v) == mark"},
      {"{}", "return next(v) == nil and not getmetatable(v)"},
      {"{\"a\":1,\"a\":2}", "return v.a == 2"},
      {"{\"a\":1,\"a\":null}", "return v.a == null"},
      {"9007199254740993", "return v == 9007199254740993LL and type(v) == 'cdata'"},
      {"-9223372036854775808", "return tostring(v) == '-9223372036854775808LL'"},
      {"18446744073709551615", "return tostring(v) == '18446744073709551615ULL'"},
      {"18446744073709551616", "return v == 2^64"},
      {"9007199254740992", "return v == 2^53 and type(v) == 'number'"},
      {"-0", "return 1 / v == -1 / 0"},
      {"0.1", "return v == 0.1"},
      {"1e-400", "return v == 0"},
      {"123456789012345678901234567890", "return v == 123456789012345678901234567890"},
      {"\"\\u00e9\\u20ac\\ud83d\\ude00\\u0000x\"",
       "return v == '\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\\0x'"},
      {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "return v == '\"\\\\/\\b\\f\\n\\r\\t'"},
      {"{\"__index\":{\"x\":1}}", "return v.__index.x == 1 and v.x == nil"},
      {"{\"\":0}", "return v[''] == 0"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    check_decode(*state, rows[i][0], rows[i][1]);
}

/* Strings with escapes, short enough for local memory and longer. */
static void test_long_strings(void **state) {
  lua_State *L = *state;
  for (size_t n = 1; n < 3000; n = n * 5 / 3 + 1) {
    struct tg_buffer text = {0};
    assert_int_equal(tg_buffer_append(&text, "[\"", 2), TG_OK);
    for (size_t i = 0; i < n; i++) assert_int_equal(tg_buffer_append(&text, "ab\\n", 4), TG_OK);
    assert_int_equal(tg_buffer_append(&text, "\"]", 2), TG_OK);
    assert_int_equal(decode(L, text.data, text.len, NULL), TG_OK);
    lua_rawgeti(L, 1, 1);
    assert_int_equal(lua_objlen(L, -1), n * 3);
    struct tg_buffer again = {0};
    assert_int_equal(tg_json_encode(L, 1, &again, NULL, NULL), TG_OK);
    assert_int_equal(again.len, text.len);
    assert_memory_equal(again.data, text.data, text.len);
    tg_buffer_deinit(&again);
    tg_buffer_deinit(&text);
    lua_settop(L, 0);
  }
}

static void test_round_trip_doubles(void **state) {
  lua_State *L = *state;
  uint64_t bits = 0x9e3779b97f4a7c15u;
  struct tg_buffer out = {0};
  for (int i = 0; i < 100000; i++) {
    bits ^= bits << 13;
    bits ^= bits >> 7;
    bits ^= bits << 17;
    double value;
    memcpy(&value, &bits, sizeof value);
    if (!isfinite(value)) continue;
    lua_pushnumber(L, value);
    tg_buffer_clear(&out);
    assert_int_equal(tg_json_encode(L, -1, &out, NULL, NULL), TG_OK);
    assert_int_equal(tg_json_decode(L, tg_buffer_slice(&out), NULL, NULL), TG_OK);
    assert_int_equal(lua_type(L, -1), LUA_TNUMBER);
    assert_true(lua_tonumber(L, -1) == value);
    lua_settop(L, 0);
  }
  tg_buffer_deinit(&out);
}

/* Memory that runs out in the middle is an error of Lua, and the state goes on. */
static size_t memory_left;

static void *limited(void *owner, void *ptr, size_t old, size_t size) {
  (void)owner;
  if (size > old && size - old > memory_left) return NULL;
  memory_left = memory_left + old - size;
  if (size) return realloc(ptr, size);
  free(ptr);
  return NULL;
}

static int l_decode_big(lua_State *L) {
  struct tg_slice *text = lua_touserdata(L, 1);
  assert_int_equal(tg_json_decode(L, *text, NULL, NULL), TG_OK);
  return 0;
}

static void test_out_of_memory(void **state) {
  (void)state;
  memory_left = 1 << 20;
  lua_State *L = lua_newstate(limited, NULL);
  assert_non_null(L);
  tg_plain_open(L);
  struct tg_buffer text = {0};
  assert_int_equal(tg_buffer_append(&text, "[0", 2), TG_OK);
  for (int i = 0; i < 100000; i++) assert_int_equal(tg_buffer_append(&text, ",[]", 3), TG_OK);
  assert_int_equal(tg_buffer_append(&text, "]", 1), TG_OK);
  struct tg_slice slice = tg_buffer_slice(&text);
  assert_int_equal(lua_cpcall(L, l_decode_big, &slice), LUA_ERRMEM);
  lua_settop(L, 0);
  lua_gc(L, LUA_GCCOLLECT, 0);
  assert_int_equal(tg_json_decode(L, TG_SLICE("[[],{}]"), NULL, NULL), TG_OK);
  tg_buffer_deinit(&text);
  lua_close(L);
}

/* --- tg.json --- */

static void test_module(void **state) {
  (void)state;
  static const char *const rows[] = {
      "return module.encode({a = 1}) == '{\"a\":1}'",
      "return module.encode(nil) == 'null' and module.encode(module.null) == 'null'",
      "return module.encode({b = 1, a = 2}, {sorted = true, pretty = true}) == '{\\n  \"a\": 2,\\n "
      " "
      "\"b\": 1\\n}'",
      "return module.encode(module.array()) == '[]' and module.encode(module.array{}) == '[]'",
      "return module.is_array(module.decode('[]')) and not module.is_array({}) and not "
      "module.is_array('x')",
      "local t = {} return rawequal(module.array(t), t)",
      "return not pcall(module.array, setmetatable({}, {}))",
      "return module.encode(module.decode('[[],{},[1],null]')) == '[[],{},[1],null]'",
      "local ok, e = pcall(module.encode, {a = {print}}) return not ok and e.code == 'json' and "
      "e.path == '$.a[1]' and e.message == '$.a[1] cannot be JSON: a function'",
      "local ok, e = pcall(module.encode, {a = '\\255'}) return not ok and e.message == '$.a "
      "cannot "
      "be JSON: invalid UTF-8 at byte 1'",
      "local ok, e = pcall(module.decode, '[1,\\n 01]') return not ok and e.code == 'json' and "
      "e.line == 2 and e.column == 3 and e.offset == 6",
      "local ok, e = pcall(module.decode, ('['):rep(200)) return e.message:find('too deep')",
      "local ok, e = pcall(module.decode, 5) return not ok and type(e) == 'string'",
      "local ok, e = pcall(module.encode, 5, 6) return not ok and type(e) == 'string'",
      "return #module.encode(('x'):rep(2^20)) == 2^20 + 2 and module.encode(1) == '1'",
      /* A finalizer that encodes while encode makes its string. */
      "local n = 0 for i = 1, 20000 do local p = newproxy(true) getmetatable(p).__gc = function() "
      "n "
      "= n + 1 assert(module.encode({('y'):rep(50)}) == '[\"' .. ('y'):rep(50) .. '\"]') end "
      "assert(module.encode({i .. ''}) == '[\"' .. i .. '\"]') end return n > 0",
  };
  struct plain_vm plain;
  lua_State *L = plain_vm_open(&plain, tg_open_json);
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    if (luaL_dostring(L, rows[i])) fail_msg("%s: %s", rows[i], lua_tostring(L, -1));
    if (!lua_toboolean(L, -1)) fail_msg("not so: %s", rows[i]);
    lua_settop(L, 0);
  }
  plain.settings.limits_json_depth = 2;
  assert_int_equal(luaL_dostring(L, "return pcall(module.decode, '[[[]]]')"), 0);
  assert_false(lua_toboolean(L, 1));
  lua_settop(L, 0);
  plain_vm_close(&plain);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_refused),
      TEST(test_accepted),
      TEST(test_cut_off),
      TEST(test_depth),
      TEST(test_deepest),
      TEST(test_decode_place),
      TEST(test_encode),
      TEST(test_encode_options),
      TEST(test_encode_bomb),
      TEST(test_long_path),
      TEST(test_decode_values),
      TEST(test_long_strings),
      TEST(test_round_trip_doubles),
      TEST(test_out_of_memory),
      cmocka_unit_test(test_module),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
