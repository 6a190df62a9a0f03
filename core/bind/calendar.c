/* Dates for lua/tidegate/_core/time.lua, which checks its arguments: numbers and strings in, the
 * words of base/calendar.h out. */
#include <lauxlib.h>
#include <math.h>
#include <time.h>

#include "base/calendar.h"
#include "base/clock.h"
#include "script/module.h"

TG_MODULE(calendar)

/* Minutes east of UTC that the machine's zone had at that time; cut where it had seconds, too. */
static int local_offset(int64_t seconds) {
  time_t t = (time_t)seconds;
  struct tm tm;
  return localtime_r(&t, &tm) ? (int)(tm.tm_gmtoff / 60) : 0;
}

static int64_t to_nearest(double seconds, int digits, uint32_t *nanoseconds) {
  double whole = floor(seconds), unit = pow(10, digits);
  double parts = nearbyint((seconds - whole) * unit);
  if (parts >= unit) whole += 1, parts -= unit;
  *nanoseconds = (uint32_t)(parts * pow(10, 9 - digits));
  return (int64_t)whole;
}

static bool in_years(int64_t seconds) {
  return seconds >= TG_CALENDAR_LEAST && seconds <= TG_CALENDAR_MOST;
}

/* rfc3339(seconds, digits, offset) -> text | nil: minutes, "Z", or "local" as offset. Seconds are
 * rounded to the digits. */
static int l_rfc3339(lua_State *L) {
  double given = luaL_checknumber(L, 1);
  int digits = (int)luaL_checkinteger(L, 2);
  if (!(given >= (double)TG_CALENDAR_LEAST && given <= (double)TG_CALENDAR_MOST + 1)) return 0;
  uint32_t nanoseconds;
  int64_t seconds = to_nearest(given, digits, &nanoseconds);
  int offset = TG_CALENDAR_Z;
  if (lua_type(L, 3) == LUA_TNUMBER)
    offset = (int)lua_tointeger(L, 3);
  else if (lua_toboolean(L, 3))
    offset = local_offset(seconds);
  if (!in_years(seconds) || !in_years(seconds + (offset == TG_CALENDAR_Z ? 0 : offset * 60)))
    return 0;
  char text[TG_CALENDAR_TEXT];
  size_t len = tg_calendar_write_rfc3339(seconds, nanoseconds, digits, offset, text);
  lua_pushlstring(L, text, len);
  return 1;
}

/* http_date(seconds) -> text | nil: what is not a whole second is cut. */
static int l_http_date(lua_State *L) {
  double given = floor(luaL_checknumber(L, 1));
  if (!(given >= (double)TG_CALENDAR_LEAST && given <= (double)TG_CALENDAR_MOST)) return 0;
  char text[TG_CALENDAR_TEXT];
  lua_pushlstring(L, text, tg_calendar_write_http((int64_t)given, text));
  return 1;
}

static int push_outcome(lua_State *L, tg_status status, double seconds, const char *form) {
  if (status == TG_OK) {
    lua_pushnumber(L, seconds);
    return 1;
  }
  lua_pushnil(L);
  if (status == TG_ERANGE)
    lua_pushliteral(L, "there is no such date or time");
  else
    lua_pushstring(L, form);
  return 2;
}

/* parse_rfc3339(text) -> seconds | nil, why */
static int l_parse_rfc3339(lua_State *L) {
  struct tg_slice text;
  text.ptr = luaL_checklstring(L, 1, &text.len);
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;
  tg_status status = tg_calendar_read_rfc3339(text, &seconds, &nanoseconds);
  return push_outcome(L, status, (double)seconds + nanoseconds / 1e9,
                      "not of the form 2026-01-02T03:04:05Z (RFC 3339)");
}

/* parse_http_date(text) -> seconds | nil, why */
static int l_parse_http_date(lua_State *L) {
  struct tg_slice text;
  text.ptr = luaL_checklstring(L, 1, &text.len);
  int64_t seconds = 0, now = (int64_t)(tg_clock_wall() / TG_SECOND);
  tg_status status = tg_calendar_read_http(text, now, &seconds);
  return push_outcome(L, status, (double)seconds,
                      "not of the form Fri, 02 Jan 2026 03:04:05 GMT (RFC 9110)");
}

int tg_open_calendar(lua_State *L) {
  static const luaL_Reg functions[] = {{"rfc3339", l_rfc3339},
                                       {"http_date", l_http_date},
                                       {"parse_rfc3339", l_parse_rfc3339},
                                       {"parse_http_date", l_parse_http_date},
                                       {NULL, NULL}};
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
