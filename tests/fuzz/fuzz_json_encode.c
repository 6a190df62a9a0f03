/* Any Lua value is encoded to text that the decoder takes, or refused with a path; the stack and
 * the buffer's earlier content stay as they were. */
#include <stdint.h>

#include "base/check.h"
#include "base/utf8.h"
#include "bind/json.h"
#include "fuzz_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(lua_State *L, const struct tg_json_options *opts) {
  struct tg_buffer out = {0};
  struct tg_json_error err = {0};
  TG_CHECK(tg_buffer_append(&out, "ab", 2) == TG_OK);
  tg_buffer_consume(&out, 1);
  int top = lua_gettop(L);
  tg_status status = tg_json_encode(L, top, &out, opts, &err);
  TG_CHECK(out.data && lua_gettop(L) == top && tg_buffer_slice(&out).ptr[0] == 'b');
  if (status) {
    TG_CHECK(tg_buffer_size(&out) == 1 && err.text && err.path[0] == '$');
    TG_CHECK(tg_utf8_check(err.path, strlen(err.path)) == strlen(err.path));
  } else {
    tg_buffer_consume(&out, 1);
    TG_CHECK(tg_json_decode(L, tg_buffer_slice(&out), NULL, &err) == TG_OK);
    lua_settop(L, top);
  }
  tg_buffer_deinit(&out);
}

static int l_run(lua_State *L) {
  const struct fuzz_input *in = lua_touserdata(L, 1);
  struct tg_json_options opts = {.max_size = 1 << 16};
  fuzz_build(L, in->p, (size_t)(in->end - in->p));
  encode(L, &opts);
  opts.sorted = opts.pretty = true;
  encode(L, &opts);
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct fuzz_input in = {data, data + size};
  lua_State *L = luaL_newstate();
  tg_plain_open(L);
  TG_CHECK(lua_cpcall(L, l_run, &in) == 0);
  lua_close(L);
  return 0;
}
