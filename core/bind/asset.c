/* Files that the program carries for browsers: what /docs is made of.
 *
 * They lie in the program as they lie in the tree, the large ones compressed, and cost no memory
 * until somebody asks. A client that does not take gzip gets them inflated. */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#define ZLIB_CONST
#include <zlib.h>

#include "script/error.h"
#include "script/module.h"

#define GZIP_BITS (16 + MAX_WBITS)

TG_MODULE(asset)

static const struct tg_asset *find(const char *name) {
  for (const struct tg_asset *asset = tg_assets; asset->name; asset++)
    if (strcmp(asset->name, name) == 0) return asset;
  return NULL;
}

static const struct tg_asset *check_asset(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  const struct tg_asset *asset = find(name);
  if (!asset) tg_error_misuse(L, "the program has no asset '%s'", name);
  return asset;
}

/* tag(name) -> tag, is_gzip | nil */
static int l_tag(lua_State *L) {
  const struct tg_asset *asset = find(luaL_checkstring(L, 1));
  if (!asset) return 0;
  lua_pushstring(L, asset->tag);
  lua_pushboolean(L, asset->is_gzip);
  return 2;
}

/* bytes(name) -> as they are in the program */
static int l_bytes(lua_State *L) {
  const struct tg_asset *asset = check_asset(L);
  lua_pushlstring(L, (const char *)asset->bytes, asset->len);
  return 1;
}

/* The last four bytes of a gzip file: how long it is inflated (RFC 1952). */
static size_t inflated_len(const struct tg_asset *asset) {
  const unsigned char *end = asset->bytes + asset->len;
  return end[-4] | (size_t)end[-3] << 8 | (size_t)end[-2] << 16 | (size_t)end[-1] << 24;
}

/* plain(name) -> inflated */
static int l_plain(lua_State *L) {
  const struct tg_asset *asset = check_asset(L);
  if (!asset->is_gzip) return l_bytes(L);
  size_t len = inflated_len(asset);
  unsigned char *plain = lua_newuserdata(L, len);
  z_stream stream = {.next_in = asset->bytes,
                     .avail_in = (uInt)asset->len,
                     .next_out = plain,
                     .avail_out = (uInt)len};
  int status = inflateInit2(&stream, GZIP_BITS);
  if (status == Z_OK) status = inflate(&stream, Z_FINISH);
  inflateEnd(&stream);
  if (status != Z_STREAM_END) return luaL_error(L, "the asset '%s' cannot be read", asset->name);
  lua_pushlstring(L, (const char *)plain, len);
  return 1;
}

static const luaL_Reg functions[] = {
    {"tag", l_tag}, {"bytes", l_bytes}, {"plain", l_plain}, {NULL, NULL}};

int tg_open_asset(lua_State *L) {
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
