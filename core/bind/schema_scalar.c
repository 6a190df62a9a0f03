/* Values that are no tables of fields or items: types, bounds, lengths, patterns and formats. */
#include <math.h>
#include <string.h>

#include "base/calendar.h"
#include "base/multiple.h"
#include "base/number.h"
#include "base/utf8.h"
#include "bind/pattern.h"
#include "bind/schema_program.h"
#include "http/format.h"
#include "script/plain.h"

#define MEDIA_MAX 128

#define TYPE_CDATA 10 /* LuaJIT's, without a name in lua.h */

#define FAIL(pass, suffix, node) tg_schema_fail(pass, TG_SCHEMA_FAULT_##suffix, node)

/* --- numbers --- */

static enum tg_schema_outcome check_bounds(struct tg_schema_pass *pass,
                                           const struct tg_schema_node *node, double value) {
  if (value < node->low || ((node->flags & TG_SCHEMA_LOW_OPEN) && value == node->low))
    return FAIL(pass, TOO_SMALL, node);
  if (value > node->high || ((node->flags & TG_SCHEMA_HIGH_OPEN) && value == node->high))
    return FAIL(pass, TOO_LARGE, node);
  if (node->step != 0 && !tg_multiple_of(value, node->step)) return FAIL(pass, MULTIPLE_OF, node);
  return TG_SCHEMA_SAME;
}

/* A 64-bit integer stands for the number that it is; false: there is none on top. */
static bool take_cdata(lua_State *L, double *value) {
  uint64_t bits;
  bool is_unsigned;
  if (lua_type(L, -1) != TYPE_CDATA || !tg_plain_get_int64(L, -1, &bits, &is_unsigned))
    return false;
  *value = is_unsigned ? (double)bits : (double)(int64_t)bits;
  return true;
}

static enum tg_schema_outcome replace_number(lua_State *L, double value,
                                             enum tg_schema_outcome outcome) {
  if (outcome == TG_SCHEMA_FAILED) return outcome;
  lua_pop(L, 1);
  lua_pushnumber(L, value);
  return TG_SCHEMA_CHANGED;
}

static enum tg_schema_outcome check_num(struct tg_schema_pass *pass,
                                        const struct tg_schema_node *node) {
  double value;
  if (lua_type(pass->L, -1) != LUA_TNUMBER) {
    if (!take_cdata(pass->L, &value)) return FAIL(pass, NUM_TYPE, node);
    return replace_number(pass->L, value, check_bounds(pass, node, value));
  }
  value = lua_tonumber(pass->L, -1);
  if (!isfinite(value)) return FAIL(pass, NUM_TYPE, node);
  return check_bounds(pass, node, value);
}

static enum tg_schema_outcome check_int(struct tg_schema_pass *pass,
                                        const struct tg_schema_node *node) {
  double value;
  bool is_cdata = lua_type(pass->L, -1) != LUA_TNUMBER;
  if (!is_cdata)
    value = lua_tonumber(pass->L, -1);
  else if (!take_cdata(pass->L, &value))
    return FAIL(pass, INT_TYPE, node);
  if (value != floor(value) || !isfinite(value)) return FAIL(pass, INT_TYPE, node);
  if (value < -TG_NUMBER_EXACT || value > TG_NUMBER_EXACT) return FAIL(pass, INT_RANGE, node);
  enum tg_schema_outcome outcome = check_bounds(pass, node, value);
  return is_cdata ? replace_number(pass->L, value, outcome) : outcome;
}

static enum tg_schema_outcome check_int64(struct tg_schema_pass *pass,
                                          const struct tg_schema_node *node) {
  lua_State *L = pass->L;
  uint64_t bits;
  bool is_unsigned = false, is_number = lua_type(L, -1) == LUA_TNUMBER;
  if (is_number) {
    double value = lua_tonumber(L, -1);
    if (value != floor(value) || !isfinite(value)) return FAIL(pass, INT64_TYPE, node);
    if (value < -0x1p63 || value >= 0x1p63) return FAIL(pass, INT_RANGE, node);
    bits = (uint64_t)(int64_t)value;
  } else if (lua_type(L, -1) != TYPE_CDATA || !tg_plain_get_int64(L, -1, &bits, &is_unsigned)) {
    return FAIL(pass, INT64_TYPE, node);
  }
  int64_t value = (int64_t)bits;
  if (is_unsigned && value < 0) return FAIL(pass, INT_RANGE, node);
  if (value < node->low64) return FAIL(pass, TOO_SMALL, node);
  if (value > node->high64) return FAIL(pass, TOO_LARGE, node);
  if (node->step != 0 && !tg_multiple_of_int64(value, node->step))
    return FAIL(pass, MULTIPLE_OF, node);
  if (!is_number && !is_unsigned) return TG_SCHEMA_SAME;
  lua_pop(L, 1);
  tg_plain_push_int64(L, bits, false);
  return TG_SCHEMA_CHANGED;
}

/* --- text --- */

static size_t count_characters(struct tg_slice text) {
  size_t count = 0;
  for (size_t i = 0; i < text.len; i++) count += ((unsigned char)text.ptr[i] & 0xc0) != 0x80;
  return count;
}

/* A character has one to four bytes, so that most lengths need no counting. */
static enum tg_schema_outcome check_length(struct tg_schema_pass *pass,
                                           const struct tg_schema_node *node,
                                           struct tg_slice text) {
  if (text.len < node->min_len) return FAIL(pass, TOO_SHORT, node);
  bool surely_long_enough = text.len / 4 >= node->min_len;
  if ((node->min_len <= 1 || surely_long_enough) && text.len <= node->max_len)
    return TG_SCHEMA_SAME;
  size_t count = count_characters(text);
  if (count < node->min_len) return FAIL(pass, TOO_SHORT, node);
  if (count > node->max_len) return FAIL(pass, TOO_LONG, node);
  return TG_SCHEMA_SAME;
}

static enum tg_schema_outcome check_pattern(struct tg_schema_pass *pass,
                                            const struct tg_schema_node *node,
                                            struct tg_slice text) {
  switch (tg_pattern_search(node->pattern, text, &pass->budget)) {
    case TG_PATTERN_YES: return TG_SCHEMA_SAME;
    case TG_PATTERN_NO: return FAIL(pass, PATTERN, node);
    default: return FAIL(pass, PATTERN_LIMIT, node);
  }
}

static enum tg_schema_outcome check_uuid(struct tg_schema_pass *pass,
                                         const struct tg_schema_node *node, struct tg_slice text) {
  if (!tg_format_is_uuid(text)) return FAIL(pass, UUID, node);
  char lower[TG_FORMAT_UUID_LEN];
  bool changed = false;
  for (size_t i = 0; i < sizeof lower; i++) {
    bool upper = text.ptr[i] >= 'A' && text.ptr[i] <= 'F';
    lower[i] = (char)(upper ? text.ptr[i] | 0x20 : text.ptr[i]);
    changed |= upper;
  }
  if (!changed) return TG_SCHEMA_SAME;
  lua_pop(pass->L, 1);
  lua_pushlstring(pass->L, lower, sizeof lower);
  return TG_SCHEMA_CHANGED;
}

static enum tg_schema_outcome check_format(struct tg_schema_pass *pass,
                                           const struct tg_schema_node *node,
                                           struct tg_slice text) {
  int64_t seconds;
  uint32_t nanoseconds;
  switch (node->kind) {
    case TG_SCHEMA_DATE:
      return tg_calendar_read_date(text, &seconds) ? FAIL(pass, DATE, node) : TG_SCHEMA_SAME;
    case TG_SCHEMA_DATETIME:
      return tg_calendar_read_rfc3339(text, &seconds, &nanoseconds) ? FAIL(pass, DATETIME, node)
                                                                    : TG_SCHEMA_SAME;
    case TG_SCHEMA_EMAIL:
      return tg_format_is_email(text) ? TG_SCHEMA_SAME : FAIL(pass, EMAIL, node);
    case TG_SCHEMA_URL: return tg_format_is_url(text) ? TG_SCHEMA_SAME : FAIL(pass, URL, node);
    case TG_SCHEMA_UUID: return check_uuid(pass, node, text);
    default: return TG_SCHEMA_SAME;
  }
}

static enum tg_schema_outcome check_text(struct tg_schema_pass *pass,
                                         const struct tg_schema_node *node) {
  if (lua_type(pass->L, -1) != LUA_TSTRING) return FAIL(pass, STR_TYPE, node);
  struct tg_slice text;
  text.ptr = lua_tolstring(pass->L, -1, &text.len);
  if (!pass->from_json && tg_utf8_check(text.ptr, text.len) != text.len)
    return FAIL(pass, ENCODING, node);
  enum tg_schema_outcome outcome = check_length(pass, node, text);
  if (outcome != TG_SCHEMA_FAILED && node->pattern) outcome = check_pattern(pass, node, text);
  if (outcome == TG_SCHEMA_FAILED || node->kind == TG_SCHEMA_STR) return outcome;
  return check_format(pass, node, text);
}

/* --- the rest --- */

static enum tg_schema_outcome check_enum(struct tg_schema_pass *pass,
                                         const struct tg_schema_node *node) {
  lua_State *L = pass->L;
  int type = lua_type(L, -1);
  bool is_nan = type == LUA_TNUMBER && isnan(lua_tonumber(L, -1));
  if (type == LUA_TNIL || is_nan) return FAIL(pass, ENUM, node);
  lua_rawgeti(L, pass->values, node->set);
  lua_pushvalue(L, -2);
  lua_rawget(L, -2);
  bool found = lua_toboolean(L, -1);
  lua_pop(L, 2);
  return found ? TG_SCHEMA_SAME : FAIL(pass, ENUM, node);
}

static bool raw_member(lua_State *L, int table, const char *name, int type) {
  lua_pushstring(L, name);
  lua_rawget(L, table);
  return lua_type(L, -1) == type;
}

/* Pushes the media type at the beginning of a Content-Type, in small letters. */
static void push_media(lua_State *L, struct tg_slice type) {
  const char *end = memchr(type.ptr, ';', type.len);
  if (end) type.len = (size_t)(end - type.ptr);
  type = tg_slice_trim(type);
  char text[MEDIA_MAX];
  size_t len = type.len < sizeof text ? type.len : 0; /* longer: none that anybody declares */
  for (size_t i = 0; i < len; i++) {
    char c = type.ptr[i];
    text[i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
  }
  lua_pushlstring(L, text, len);
}

/* A file of a form: a table with `filename`, `size` and `type`, see _core/schema.lua. */
static enum tg_schema_outcome check_file(struct tg_schema_pass *pass,
                                         const struct tg_schema_node *node) {
  lua_State *L = pass->L;
  int file = lua_gettop(L);
  if (!lua_istable(L, file) || !raw_member(L, file, "filename", LUA_TSTRING)) {
    lua_settop(L, file);
    return FAIL(pass, FILE_TYPE, node);
  }
  bool has_size = raw_member(L, file, "size", LUA_TNUMBER);
  double size = has_size ? lua_tonumber(L, -1) : 0;
  bool fits = size >= (double)node->min_len && size <= (double)node->max_len;
  bool media_fits = true;
  if (node->media) {
    lua_rawgeti(L, pass->values, node->media);
    media_fits = raw_member(L, file, "type", LUA_TSTRING);  // file .. set type
    if (media_fits) {
      struct tg_slice type;
      type.ptr = lua_tolstring(L, -1, &type.len);
      push_media(L, type);
      lua_rawget(L, -3);
      media_fits = lua_toboolean(L, -1);
    }
  }
  lua_settop(L, file);
  if (!fits) return FAIL(pass, FILE_SIZE, node);
  return media_fits ? TG_SCHEMA_SAME : FAIL(pass, FILE_MEDIA, node);
}

static enum tg_schema_outcome check_kind(struct tg_schema_pass *pass,
                                         const struct tg_schema_node *node) {
  switch (node->kind) {
    case TG_SCHEMA_ANY: return TG_SCHEMA_SAME;
    case TG_SCHEMA_INT: return check_int(pass, node);
    case TG_SCHEMA_NUM: return check_num(pass, node);
    case TG_SCHEMA_INT64: return check_int64(pass, node);
    case TG_SCHEMA_BOOL:
      return lua_isboolean(pass->L, -1) ? TG_SCHEMA_SAME : FAIL(pass, BOOL_TYPE, node);
    case TG_SCHEMA_ENUM: return check_enum(pass, node);
    case TG_SCHEMA_FILE: return check_file(pass, node);
    default: return check_text(pass, node);
  }
}

enum tg_schema_outcome tg_schema_scalar(struct tg_schema_pass *pass,
                                        const struct tg_schema_node *node) {
  if (!pass->coerce) return check_kind(pass, node);
  enum tg_schema_outcome read = tg_schema_read_text(pass, node);
  if (read == TG_SCHEMA_FAILED) return read;
  enum tg_schema_outcome outcome = check_kind(pass, node);
  return outcome == TG_SCHEMA_SAME ? read : outcome;
}
