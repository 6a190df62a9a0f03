/* gzip (RFC 1952) for _core/kit_compress.lua: one object compresses one body, piece by piece. */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#define ZLIB_CONST
#include <zlib.h>

#include "script/error.h"
#include "script/module.h"
#include "script/vm.h"

#define GZIP_BITS    (16 + MAX_WBITS)
#define MEMORY       8
#define ROOM         ((size_t)16 * 1024)
#define SCRATCH_KEEP ((size_t)256 * 1024)
#define PIECE_MAX    ((size_t)1 << 30) /* zlib counts in unsigned int */
#define OBJECT       "tg.gzip"

/// Functions of _core/kit_compress.lua; not for routes.
TG_MODULE(gzip)

struct gzip {
  z_stream stream;
  bool open;
};

static void end(struct gzip *gzip) {
  if (gzip->open) (void)deflateEnd(&gzip->stream);
  gzip->open = false;
}

/* new(level) -> object */
static int l_new(lua_State *L) {
  int level = (int)luaL_checkinteger(L, 1);
  struct gzip *gzip = lua_newuserdata(L, sizeof *gzip);  // level gzip
  *gzip = (struct gzip){0};
  luaL_getmetatable(L, OBJECT);
  lua_setmetatable(L, -2);
  gzip->open =
      deflateInit2(&gzip->stream, level, Z_DEFLATED, GZIP_BITS, MEMORY, Z_DEFAULT_STRATEGY) == Z_OK;
  if (!gzip->open) tg_error_throw(L, "out_of_memory", "gzip: no memory");
  return 1;
}

/* Everything that zlib has for these bytes, into the buffer. */
static tg_status deflate_into(struct gzip *gzip, struct tg_slice bytes, int flush,
                              struct tg_buffer *buffer) {
  z_stream *stream = &gzip->stream;
  stream->next_in = (const unsigned char *)bytes.ptr;
  stream->avail_in = (uInt)bytes.len;
  do {
    char room[ROOM];
    stream->next_out = (unsigned char *)room;
    stream->avail_out = (uInt)sizeof room;
    (void)deflate(stream, flush); /* Z_BUF_ERROR only says that there was nothing to do */
    tg_status status = tg_buffer_append(buffer, room, sizeof room - stream->avail_out);
    if (status) return status;
  } while (stream->avail_out == 0);
  return TG_OK;
}

/* write(object, bytes, "more"|"flush"|"finish") -> compressed bytes, perhaps none */
static int l_write(lua_State *L) {
  static const char *const modes[] = {"more", "flush", "finish", NULL};
  static const int flushes[] = {Z_NO_FLUSH, Z_SYNC_FLUSH, Z_FINISH};
  struct gzip *gzip = luaL_checkudata(L, 1, OBJECT);
  struct tg_slice bytes;
  bytes.ptr = luaL_checklstring(L, 2, &bytes.len);
  int mode = luaL_checkoption(L, 3, "more", modes);
  struct tg_buffer *scratch = &tg_vm_of(L)->scratch;
  if (!gzip->open) return luaL_error(L, "gzip: the stream has ended");
  if (bytes.len > PIECE_MAX) tg_error_throw(L, "too_large", "gzip: more than 1 GiB at once");
  tg_buffer_clear(scratch);
  tg_status status = deflate_into(gzip, bytes, flushes[mode], scratch);
  if (status || flushes[mode] == Z_FINISH) end(gzip);
  if (status) tg_error_throw(L, "out_of_memory", "gzip: no memory");
  struct tg_slice text = tg_buffer_slice(scratch);
  lua_pushlstring(L, text.ptr ? text.ptr : "", text.len);
  if (scratch->cap > SCRATCH_KEEP) tg_buffer_deinit(scratch);
  return 1;
}

static int l_gc(lua_State *L) {
  end(lua_touserdata(L, 1));
  return 0;
}

int tg_open_gzip(lua_State *L) {
  static const luaL_Reg functions[] = {{"new", l_new}, {"write", l_write}, {NULL, NULL}};
  luaL_newmetatable(L, OBJECT);
  lua_pushcfunction(L, l_gc);
  lua_setfield(L, -2, "__gc");
  lua_pushliteral(L, OBJECT);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
