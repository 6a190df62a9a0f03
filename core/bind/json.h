/* JSON text of Lua values and back: RFC 8259, exact and strict.
 *
 * Called by whoever answers with JSON (bind/response), reads a JSON body, or is the Lua module
 * tg.json. Both directions work in any lua_State and keep nothing between two calls.
 *
 * What goes out: nil at the top and tg.null are null; a table is an array where its keys are
 * exactly 1..n or where it bears the mark of tg.json.array, else an object with string keys; an
 * empty table is {}. Integers to 2^53 and 64-bit integers (cdata) are written in full, other
 * numbers as the shortest decimal that reads back equal. Refused, with the path: NaN and infinity,
 * functions, userdata, threads, other cdata, cycles, holes in arrays, keys of mixed kinds, invalid
 * UTF-8, and nesting over the limit.
 *
 * What comes in: null is tg.null; an empty array bears the mark; an integer literal beyond 2^53
 * that fits 64 bits is a 64-bit integer; of equal keys the last wins. Refused, with the place: all
 * that RFC 8259 does not allow, a byte order mark, unpaired surrogates, numbers beyond a double. */
#ifndef TG_BIND_JSON_H
#define TG_BIND_JSON_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/slice.h"
#include "base/status.h"

#define TG_JSON_DEPTH     128u
#define TG_JSON_DEPTH_MAX 1000u
#define TG_JSON_SIZE_MAX  ((size_t)64 << 20)

/* How to write. NULL and all zero stand for the defaults. */
struct tg_json_options {
  bool pretty;        /* two spaces a level, one member a line */
  bool sorted;        /* members in the order of their keys' bytes */
  unsigned max_depth; /* 0: TG_JSON_DEPTH; at most TG_JSON_DEPTH_MAX */
  size_t max_size;    /* bytes written by one call; 0: TG_JSON_SIZE_MAX */
};

/* How much to read. NULL and all zero stand for the defaults. */
struct tg_json_limits {
  unsigned max_depth; /* 0: TG_JSON_DEPTH; at most TG_JSON_DEPTH_MAX */
  size_t max_size;    /* bytes of text; 0: unbounded */
};

/* Why it was refused. No part of it needs to be freed. */
struct tg_json_error {
  const char *text; /* what is wrong, static: "a function" */
  size_t
      offset;  /* encode: byte inside the string, from 1, or 0; decode: byte of the text, from 0 */
  size_t line; /* decode: from 1 */
  size_t column;  /* decode: byte of the line, from 1 */
  char path[256]; /* encode: "$.users[3].name", cut off with "..." where too long */
};

/* Appends the value at `index` to `out`. Never throws and runs no Lua code and no metamethod.
 * TG_EINVALID: it cannot be JSON; TG_ERANGE: nested too deep; TG_ETOO_LARGE: text too long; each
 * with `err` filled (may be NULL). TG_ENOMEM. On failure `out` holds what it held before. */
TG_MUST_CHECK tg_status tg_json_encode(lua_State *L, int index, struct tg_buffer *out,
                                       const struct tg_json_options *opts,
                                       struct tg_json_error *err);

/* Pushes the value that `text` says. TG_ESYNTAX: not JSON; TG_ERANGE: nested too deep, or a number
 * that no double holds; TG_ETOO_LARGE: longer than the limit; each with `err` filled (may be NULL),
 * and nothing pushed. Throws when Lua is out of memory: call it where that may happen, and hold
 * nothing. The text must stay where it is meanwhile: a string on the stack, or memory that no
 * finalizer frees. */
TG_MUST_CHECK tg_status tg_json_decode(lua_State *L, struct tg_slice text,
                                       const struct tg_json_limits *limits,
                                       struct tg_json_error *err);

/* Pushes an error object, code "json", for a failed encode or decode, with the fields path, or
 * line, column and offset. May throw (memory). */
void tg_json_push_error(lua_State *L, tg_status status, const struct tg_json_error *err);

#endif
