/* Text into values: what comes from a path, a query, a header, a cookie or a form.
 *
 * Of several values that are given to something single, the last one counts. Numbers are decimal
 * digits as people write them: "1e3" is a number and no whole number, "0x10" and " 1" are neither.
 */
#include <string.h>

#include "base/number.h"
#include "base/slice.h"
#include "bind/schema_program.h"
#include "script/plain.h"

#define FAIL(pass, suffix, node) tg_schema_fail(pass, TG_SCHEMA_FAULT_##suffix, node)

static enum tg_schema_outcome replaced(lua_State *L) {  // .. old new -> .. new
  lua_remove(L, -2);
  return TG_SCHEMA_CHANGED;
}

/* Digits with an optional '-'; leading zeros are skipped, because days and months have them. */
static bool read_integer(struct tg_slice text, struct tg_number *number) {
  bool negative = text.len && text.ptr[0] == '-';
  struct tg_slice digits = tg_slice_skip(text, negative);
  if (!digits.len) return false;
  for (size_t i = 0; i < digits.len; i++)
    if (digits.ptr[i] < '0' || digits.ptr[i] > '9') return false;
  while (digits.len > 1 && digits.ptr[0] == '0') digits = tg_slice_skip(digits, 1);
  char copy[24] = "-";
  if (digits.len > 20) { /* no 64 bits hold it */
    *number = (struct tg_number){.kind = TG_NUMBER_DOUBLE, .real = negative ? -1e30 : 1e30};
    return true;
  }
  memcpy(copy + negative, digits.ptr, digits.len);
  return tg_number_read(copy, digits.len + negative, number) > 0;
}

static enum tg_schema_outcome read_int(struct tg_schema_pass *pass,
                                       const struct tg_schema_node *node, struct tg_slice text) {
  struct tg_number number;
  if (!read_integer(text, &number)) return FAIL(pass, INT_PARSING, node);
  if (number.kind != TG_NUMBER_DOUBLE || number.real > TG_NUMBER_EXACT ||
      number.real < -TG_NUMBER_EXACT)
    return FAIL(pass, INT_RANGE, node);
  lua_pushnumber(pass->L, number.real == 0 ? 0 : number.real); /* "-0" is 0 */
  return replaced(pass->L);
}

static enum tg_schema_outcome read_int64(struct tg_schema_pass *pass,
                                         const struct tg_schema_node *node, struct tg_slice text) {
  struct tg_number number;
  if (!read_integer(text, &number)) return FAIL(pass, INT64_PARSING, node);
  bool exact = number.real >= -TG_NUMBER_EXACT && number.real <= TG_NUMBER_EXACT;
  if (number.kind == TG_NUMBER_DOUBLE && !exact) return FAIL(pass, INT_RANGE, node);
  if (number.kind == TG_NUMBER_UINT64) return FAIL(pass, INT_RANGE, node);
  uint64_t bits = number.kind == TG_NUMBER_INT64 ? number.bits : (uint64_t)(int64_t)number.real;
  tg_plain_push_int64(pass->L, bits, false);
  return replaced(pass->L);
}

static enum tg_schema_outcome read_num(struct tg_schema_pass *pass,
                                       const struct tg_schema_node *node, struct tg_slice text) {
  struct tg_number number;
  if (read_integer(text, &number) && text.len <= 20) {
    lua_pushnumber(pass->L, number.real);
    return replaced(pass->L);
  }
  size_t len = tg_number_read(text.ptr, text.len, &number);
  if (!len || len != text.len) return FAIL(pass, NUM_PARSING, node);
  lua_pushnumber(pass->L, number.real); /* an infinite one is refused with the others */
  return replaced(pass->L);
}

static enum tg_schema_outcome read_bool(struct tg_schema_pass *pass,
                                        const struct tg_schema_node *node, struct tg_slice text) {
  static const char words[][6] = {"false", "0", "off", "no", "true", "1", "on", "yes"};
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
    if (!tg_slice_ieq(text, tg_slice_cstr(words[i]))) continue;
    lua_pushboolean(pass->L, i >= 4);
    return replaced(pass->L);
  }
  return FAIL(pass, BOOL_PARSING, node);
}

static enum tg_schema_outcome read_enum(struct tg_schema_pass *pass,
                                        const struct tg_schema_node *node) {
  lua_State *L = pass->L;
  lua_rawgeti(L, pass->values, node->texts);
  lua_pushvalue(L, -2);
  lua_rawget(L, -2);
  lua_remove(L, -2);  // .. text value
  if (!lua_isnil(L, -1)) return replaced(L);
  lua_pop(L, 1);
  return TG_SCHEMA_SAME;
}

/* The last of several values; false: there is none. */
static bool take_last(lua_State *L) {
  size_t count = lua_objlen(L, -1);
  if (!count) return false;
  lua_rawgeti(L, -1, (int)count);
  lua_remove(L, -2);
  return true;
}

enum tg_schema_outcome tg_schema_read_text(struct tg_schema_pass *pass,
                                           const struct tg_schema_node *node) {
  lua_State *L = pass->L;
  enum tg_schema_outcome taken = TG_SCHEMA_SAME;
  if (node->kind == TG_SCHEMA_ANY) return TG_SCHEMA_SAME;
  if (lua_istable(L, -1) && take_last(L)) taken = TG_SCHEMA_CHANGED;
  if (lua_type(L, -1) != LUA_TSTRING) return taken;
  struct tg_slice text;
  enum tg_schema_outcome outcome = TG_SCHEMA_SAME;
  text.ptr = lua_tolstring(L, -1, &text.len);
  switch (node->kind) {
    case TG_SCHEMA_INT: outcome = read_int(pass, node, text); break;
    case TG_SCHEMA_INT64: outcome = read_int64(pass, node, text); break;
    case TG_SCHEMA_NUM: outcome = read_num(pass, node, text); break;
    case TG_SCHEMA_BOOL: outcome = read_bool(pass, node, text); break;
    case TG_SCHEMA_ENUM: outcome = read_enum(pass, node); break;
    default: break;
  }
  return outcome == TG_SCHEMA_SAME ? taken : outcome;
}
