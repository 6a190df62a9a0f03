/* Values between states: any bytes unpack or are an error; any value packs or is refused with a
 * path, and what was packed unpacks, and packs again.
 *
 * Input: the first byte says whether the rest is a message or builds a value. */
#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"
#include "fuzz_table.h"
#include "script/values.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int l_unpack(lua_State *L) {
  struct fuzz_input *in = lua_touserdata(L, 1);
  lua_settop(L, 0);
  int count = tg_values_unpack(L, in->p, (size_t)(in->end - in->p));
  TG_CHECK(lua_gettop(L) == count);
  return 0;
}

static int l_round(lua_State *L) {
  struct fuzz_input *in = lua_touserdata(L, 1);
  struct tg_buffer first = {0}, second = {0};
  char *path = NULL;
  lua_settop(L, 0);
  fuzz_build(L, in->p, (size_t)(in->end - in->p));
  tg_status status = tg_values_pack(L, 1, 1, &first, &path);
  TG_CHECK(lua_gettop(L) == 1 && (status == TG_EINVALID) == (path != NULL));
  if (status) {
    TG_CHECK(first.len == 0);
  } else {
    TG_CHECK(tg_values_unpack(L, first.data, first.len) == 1);
    TG_CHECK(tg_values_pack(L, 2, 1, &second, &path) == TG_OK);
  }
  free(path);
  tg_buffer_deinit(&first);
  tg_buffer_deinit(&second);
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!size) return 0;
  struct fuzz_input in = {data + 1, data + size};
  lua_State *L = luaL_newstate();
  tg_plain_open(L);
  if (data[0] & 1)
    TG_CHECK(lua_cpcall(L, l_round, &in) == 0);
  else
    (void)lua_cpcall(L, l_unpack, &in);
  lua_close(L);
  return 0;
}
