/* The JSON decoder: recursive descent over RFC 8259, one Lua value a JSON value.
 *
 * The Lua API may throw when memory is gone, at any push; therefore nothing is held here but stack
 * slots, and unescaped strings are put together in local memory or in a userdata. */
#include <lauxlib.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/number.h"
#include "base/utf8.h"
#include "bind/json.h"
#include "script/plain.h"

struct decoder {
  lua_State *L;
  const char *p, *end;
  unsigned depth, depth_max;
  const char *text; /* of the error, which is at p */
};

static tg_status read_value(struct decoder *dec);

static tg_status fail(struct decoder *dec, const char *text) {
  dec->text = text;
  return TG_ESYNTAX;
}

static tg_status fail_expected(struct decoder *dec, const char *text) {
  return fail(dec, dec->p == dec->end ? "unexpected end" : text);
}

static inline void skip_space(struct decoder *dec) {
  const char *p = dec->p;
  while (p < dec->end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) p++;
  dec->p = p;
}

static inline bool take(struct decoder *dec, char c) {
  if (dec->p == dec->end || *dec->p != c) return false;
  dec->p++;
  return true;
}

/* --- strings --- */

#define ONES  0x0101010101010101u
#define HIGHS 0x8080808080808080u

/* Skips characters that stand for themselves; stops at a quote, a backslash or the end. */
static tg_status skip_plain(struct decoder *dec) {
  const char *p = dec->p, *end = dec->end;
  for (;;) {
    while (end - p >= 8) {
      uint64_t word;
      memcpy(&word, p, 8);
      uint64_t quote = word ^ (ONES * '"'), slash = word ^ (ONES * '\\');
      if (((word - ONES * 0x20) | (quote - ONES) | (slash - ONES) | word) & HIGHS) break;
      p += 8;
    }
    if (p == end) break;
    unsigned char c = (unsigned char)*p;
    if (c == '"' || c == '\\') break;
    size_t n = c < 0x20 ? 0 : tg_utf8_sequence(p, (size_t)(end - p));
    if (!n) {
      dec->p = p;
      return fail(dec, c < 0x20 ? "a control character in a string" : "invalid UTF-8");
    }
    p += n;
  }
  dec->p = p;
  return p < end ? TG_OK : fail(dec, "unexpected end of a string");
}

static bool read_hex(struct decoder *dec, uint32_t *unit) {
  if (dec->end - dec->p < 4) return false;
  uint32_t value = 0;
  for (int i = 0; i < 4; i++) {
    char c = dec->p[i], lower = (char)(c | 0x20);
    if (c >= '0' && c <= '9')
      value = value << 4 | (uint32_t)(c - '0');
    else if (lower >= 'a' && lower <= 'f')
      value = value << 4 | (uint32_t)(lower - 'a' + 10);
    else
      return false;
  }
  dec->p += 4;
  *unit = value;
  return true;
}

/* Behind `\u`. A character outside the basic plane is two units (RFC 8259 section 7). */
static tg_status read_unicode(struct decoder *dec, char **out) {
  uint32_t unit, low = 0;
  if (!read_hex(dec, &unit)) return fail(dec, "four hexadecimal digits expected");
  if (unit >= 0xd800 && unit < 0xe000) {
    if (unit >= 0xdc00 || !take(dec, '\\') || !take(dec, 'u') || !read_hex(dec, &low) ||
        low < 0xdc00 || low > 0xdfff)
      return fail(dec, "an unpaired surrogate");
    unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
  }
  *out += tg_utf8_write(unit, *out);
  return TG_OK;
}

static tg_status read_escape(struct decoder *dec, char **out) {
  dec->p++; /* the backslash */
  if (dec->p == dec->end) return fail(dec, "unexpected end of a string");
  char c = *dec->p++;
  switch (c) {
    case '"':
    case '\\':
    case '/': break;
    case 'b': c = '\b'; break;
    case 'f': c = '\f'; break;
    case 'n': c = '\n'; break;
    case 'r': c = '\r'; break;
    case 't': c = '\t'; break;
    case 'u': return read_unicode(dec, out);
    default: dec->p--; return fail(dec, "an unknown escape");
  }
  *(*out)++ = c;
  return TG_OK;
}

/* Bytes from p to the closing quote: no less than what they become. */
static size_t measure_string(const struct decoder *dec) {
  const char *p = dec->p;
  while (p < dec->end && *p != '"') p += *p == '\\' ? 2 : 1;
  return (size_t)((p < dec->end ? p : dec->end) - dec->p);
}

/* A string with escapes; p is where its first one is. */
static __attribute__((noinline)) tg_status read_escaped(struct decoder *dec, const char *start) {
  char local[512];
  size_t plain = (size_t)(dec->p - start), size = plain + measure_string(dec);
  int top = lua_gettop(dec->L);
  char *text = size <= sizeof local ? local : lua_newuserdata(dec->L, size), *out = text;
  memcpy(out, start, plain);
  out += plain;
  tg_status status = TG_OK;
  while (!status && *dec->p == '\\') {
    status = read_escape(dec, &out);
    start = dec->p;
    if (!status) status = skip_plain(dec);
    if (status) break;
    memcpy(out, start, (size_t)(dec->p - start));
    out += dec->p - start;
  }
  if (!status) {
    dec->p++;
    lua_pushlstring(dec->L, text, (size_t)(out - text));
    if (text != local) lua_remove(dec->L, top + 1);
  }
  lua_settop(dec->L, top + !status);
  return status;
}

/* Behind the opening quote. */
static tg_status read_string(struct decoder *dec) {
  const char *start = dec->p;
  tg_status status = skip_plain(dec);
  if (status) return status;
  if (*dec->p == '\\') return read_escaped(dec, start);
  lua_pushlstring(dec->L, start, (size_t)(dec->p++ - start));
  return TG_OK;
}

/* --- scalars --- */

static tg_status read_number(struct decoder *dec) {
  struct tg_number number;
  size_t len = tg_number_read(dec->p, (size_t)(dec->end - dec->p), &number);
  if (!len) return fail(dec, "a malformed number");
  if (isinf(number.real)) {
    dec->text = "a number out of range";
    return TG_ERANGE;
  }
  dec->p += len;
  if (number.kind == TG_NUMBER_DOUBLE)
    lua_pushnumber(dec->L, number.real);
  else
    tg_plain_push_int64(dec->L, number.bits, number.kind == TG_NUMBER_UINT64);
  return TG_OK;
}

static bool take_word(struct decoder *dec, const char *word, size_t len) {
  if ((size_t)(dec->end - dec->p) < len || memcmp(dec->p, word, len) != 0) return false;
  dec->p += len;
  return true;
}

static tg_status read_word(struct decoder *dec) {
  if (take_word(dec, "true", 4))
    lua_pushboolean(dec->L, 1);
  else if (take_word(dec, "false", 5))
    lua_pushboolean(dec->L, 0);
  else if (take_word(dec, "null", 4))
    lua_pushlightuserdata(dec->L, NULL);
  else
    return fail(dec, "a value expected");
  return TG_OK;
}

/* --- containers --- */

static tg_status enter(struct decoder *dec) {
  if (dec->depth == dec->depth_max) {
    dec->text = "nested too deep";
    return TG_ERANGE;
  }
  dec->depth++;
  dec->p++;
  luaL_checkstack(dec->L, 12, "JSON");
  return TG_OK;
}

static tg_status read_array(struct decoder *dec) {
  lua_State *L = dec->L;
  tg_status status = enter(dec);
  if (status) return status;
  skip_space(dec);
  bool empty = take(dec, ']');
  lua_createtable(L, empty ? 0 : 4, 0);
  if (empty) tg_plain_mark_array(L, -1);
  for (int i = 1; !empty; i++) {
    status = read_value(dec);
    if (status) return status;
    lua_rawseti(L, -2, i);
    if (take(dec, ']')) break;
    if (!take(dec, ',')) return fail_expected(dec, "',' or ']' expected");
  }
  dec->depth--;
  return TG_OK;
}

static tg_status read_object(struct decoder *dec) {
  lua_State *L = dec->L;
  tg_status status = enter(dec);
  if (status) return status;
  skip_space(dec);
  bool empty = take(dec, '}');
  lua_createtable(L, 0, empty ? 0 : 4);
  while (!empty) {
    skip_space(dec);
    if (!take(dec, '"')) return fail_expected(dec, "a string expected as key");
    status = read_string(dec);
    if (status) return status;
    skip_space(dec);
    if (!take(dec, ':')) return fail_expected(dec, "':' expected");
    status = read_value(dec);
    if (status) return status;
    lua_rawset(L, -3);
    if (take(dec, '}')) break;
    if (!take(dec, ',')) return fail_expected(dec, "',' or '}' expected");
  }
  dec->depth--;
  return TG_OK;
}

/* Skips the space on both sides of the value. */
static tg_status read_value(struct decoder *dec) {
  tg_status status;
  skip_space(dec);
  if (dec->p == dec->end) return fail(dec, "unexpected end");
  char c = *dec->p;
  if (c == '"') {
    dec->p++;
    status = read_string(dec);
  } else if (c == '{') {
    status = read_object(dec);
  } else if (c == '[') {
    status = read_array(dec);
  } else if (c == '-' || (c >= '0' && c <= '9')) {
    status = read_number(dec);
  } else {
    status = read_word(dec);
  }
  skip_space(dec);
  return status;
}

static void fill_error(struct tg_json_error *err, const char *begin, const struct decoder *dec) {
  *err = (struct tg_json_error){.text = dec->text, .offset = (size_t)(dec->p - begin), .line = 1};
  const char *line = begin;
  for (const char *p = begin; (p = memchr(p, '\n', (size_t)(dec->p - p))); line = ++p) err->line++;
  err->column = (size_t)(dec->p - line) + 1;
}

tg_status tg_json_decode(lua_State *L, struct tg_slice text, const struct tg_json_limits *limits,
                         struct tg_json_error *err) {
  unsigned depth = limits && limits->max_depth ? limits->max_depth : TG_JSON_DEPTH;
  const char *begin = text.len ? text.ptr : "";
  struct decoder dec = {.L = L,
                        .p = begin,
                        .end = begin + text.len,
                        .depth_max = depth < TG_JSON_DEPTH_MAX ? depth : TG_JSON_DEPTH_MAX};
  int top = lua_gettop(L);
  tg_status status;
  if (limits && limits->max_size && text.len > limits->max_size) {
    dec.text = "the text is too long";
    status = TG_ETOO_LARGE;
  } else {
    luaL_checkstack(L, 12, "JSON");
    status = read_value(&dec);
    if (!status && dec.p != dec.end) status = fail(&dec, "more after the value");
  }
  if (!status) return TG_OK;
  lua_settop(L, top);
  if (err) fill_error(err, begin, &dec);
  return status;
}
