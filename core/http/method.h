/* The request methods that the gateway serves, as small numbers and as bits of an Allow set. */
#ifndef TG_HTTP_METHOD_H
#define TG_HTTP_METHOD_H

#include <stdint.h>

#include "base/slice.h"

/* CONNECT and TRACE are read and refused (405); no route can name them. */
#define TG_METHOD_MAP(X) \
  X(GET)                 \
  X(HEAD)                \
  X(POST)                \
  X(PUT)                 \
  X(PATCH)               \
  X(DELETE)              \
  X(OPTIONS)             \
  X(CONNECT)             \
  X(TRACE)               \
  X(PROPFIND)            \
  X(PROPPATCH)           \
  X(MKCOL)               \
  X(COPY)                \
  X(MOVE)                \
  X(LOCK)                \
  X(UNLOCK)              \
  X(SEARCH)              \
  X(REPORT)              \
  X(PURGE)

enum tg_method {
#define X(name) TG_METHOD_##name,
  TG_METHOD_MAP(X)
#undef X
      TG_METHOD_COUNT,
  TG_METHOD_NONE = 255,
};

#define TG_METHOD_BIT(method) (1u << (method))
/* What the key `ANY` of a route stands for: all but CONNECT and TRACE. */
#define TG_METHOD_ANY \
  (((1u << TG_METHOD_COUNT) - 1) & ~(1u << TG_METHOD_CONNECT) & ~(1u << TG_METHOD_TRACE))

/* Name of a method in upper case; static storage. */
struct tg_slice tg_method_name(enum tg_method method);

/* The method of that exact (case-sensitive, RFC 9110 section 9.1) name; TG_METHOD_NONE if unknown.
 */
enum tg_method tg_method_find(struct tg_slice name);

/* Writes the names of a set of method bits, ", " between, for Allow (RFC 9110 section 10.2.1) into
 * `out` (at least 200 bytes); returns the length. */
size_t tg_method_list(uint32_t bits, char *out);

#endif
