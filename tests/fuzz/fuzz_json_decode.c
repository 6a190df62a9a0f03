/* What the decoder accepts, the encoder can write, and reading that again gives the same value.
 *
 * Input: the text. The second text of both rounds must be equal, with sorted members. */
#include <lauxlib.h>
#include <stdint.h>

#include "base/check.h"
#include "base/utf8.h"
#include "bind/json.h"
#include "script/plain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int l_round(lua_State *L) {
  struct tg_slice *text = lua_touserdata(L, 1);
  struct tg_json_options sorted = {.sorted = true};
  struct tg_buffer first = {0}, second = {0};
  struct tg_json_error err = {0};
  lua_settop(L, 0);
  tg_status status = tg_json_decode(L, *text, NULL, &err);
  TG_CHECK(lua_gettop(L) == (status == TG_OK));
  if (status) {
    TG_CHECK(err.text && err.offset <= text->len && err.line >= 1 && err.column >= 1);
    return 0;
  }
  TG_CHECK(tg_json_encode(L, 1, &first, &sorted, &err) == TG_OK);
  TG_CHECK(tg_utf8_check(first.data, first.len) == first.len);
  TG_CHECK(tg_json_decode(L, tg_buffer_slice(&first), NULL, &err) == TG_OK);
  TG_CHECK(tg_json_encode(L, 2, &second, &sorted, &err) == TG_OK);
  TG_CHECK(first.data && second.data);
  TG_CHECK(tg_slice_eq(tg_buffer_slice(&first), tg_buffer_slice(&second)));
  tg_buffer_deinit(&first);
  tg_buffer_deinit(&second);
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct tg_slice text = tg_slice((const char *)data, size);
  lua_State *L = luaL_newstate();
  tg_plain_open(L);
  TG_CHECK(lua_cpcall(L, l_round, &text) == 0);
  lua_close(L);
  return 0;
}
