/* Random bytes of the kernel, and UUIDs (RFC 9562) made of them.
 *
 * Nothing is kept but the time of the last version 7 of a state, so that those of one state go up:
 * 48 bits of milliseconds, then the part of the millisecond in 12 bits (section 6.2, method 3), and
 * one more than the last where the clock has not moved on. */
#include <errno.h>
#include <lauxlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/check.h"
#include "base/clock.h"
#include "script/error.h"
#include "script/module.h"

#define BYTES_MOST (1 << 20)

TG_MODULE(random)

static void fill(void *to, size_t size) {
  for (size_t done = 0; done < size;) {
    ssize_t n = getrandom((char *)to + done, size - done, 0);
    TG_CHECK(n >= 0 || errno == EINTR);
    if (n > 0) done += (size_t)n;
  }
}

static int l_random_bytes(lua_State *L) {
  lua_Number count = lua_tonumber(L, 1);
  if (lua_type(L, 1) != LUA_TNUMBER)
    tg_error_misuse(L, "tg.random_bytes: a number of bytes expected, got %s", luaL_typename(L, 1));
  if (!(count >= 0 && count <= BYTES_MOST && count == (lua_Number)(size_t)count))
    tg_error_misuse(L, "tg.random_bytes: a whole number from 0 to %d expected, got %.14g",
                    BYTES_MOST, count);
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  for (size_t left = (size_t)count; left;) {
    size_t n = left < LUAL_BUFFERSIZE ? left : LUAL_BUFFERSIZE;
    fill(luaL_prepbuffer(&buffer), n);
    luaL_addsize(&buffer, n);
    left -= n;
  }
  luaL_pushresult(&buffer);
  return 1;
}

static int push_uuid(lua_State *L, unsigned char bytes[16], unsigned version) {
  static const char digits[] = "0123456789abcdef";
  bytes[6] = (unsigned char)((bytes[6] & 0x0f) | version << 4);
  bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80); /* the variant of section 4.1 */
  char text[36], *to = text;
  for (int i = 0; i < 16; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10) *to++ = '-';
    *to++ = digits[bytes[i] >> 4];
    *to++ = digits[bytes[i] & 15];
  }
  lua_pushlstring(L, text, sizeof text);
  return 1;
}

static uint64_t time_of_version_7(uint64_t *last) {
  uint64_t now = tg_clock_wall();
  uint64_t time = (now / TG_MILLISECOND) << 12 | (now % TG_MILLISECOND) * 4096 / TG_MILLISECOND;
  if (time <= *last) time = *last + 1;
  *last = time;
  return time;
}

static int l_uuid(lua_State *L) {
  unsigned char bytes[16];
  lua_Number version = lua_isnoneornil(L, 1) ? 4 : lua_tonumber(L, 1);
  fill(bytes, sizeof bytes);
  if (version == 4) return push_uuid(L, bytes, 4);
  if (version != 7) tg_error_misuse(L, "tg.uuid: version 4 or 7 expected");
  uint64_t time = time_of_version_7(lua_touserdata(L, lua_upvalueindex(1)));
  for (int i = 0; i < 6; i++) bytes[i] = (unsigned char)(time >> (52 - 8 * i));
  bytes[6] = (unsigned char)(time >> 8 & 15);
  bytes[7] = (unsigned char)time;
  return push_uuid(L, bytes, 7);
}

int tg_open_random(lua_State *L) {
  lua_newtable(L);
  lua_pushcfunction(L, l_random_bytes);
  lua_setfield(L, -2, "random_bytes");
  uint64_t *last = lua_newuserdata(L, sizeof *last);  // table last
  *last = 0;
  lua_pushcclosure(L, l_uuid, 1);
  lua_setfield(L, -2, "uuid");
  return 1;
}
