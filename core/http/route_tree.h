/* Which route a request matches: a tree over path segments, built once a generation, then shared
 * by all threads without a lock, because nothing changes it any more.
 *
 * Patterns: "/users/{id:int}/files/{rest:path}". A parameter is a whole segment and at least one
 * byte: {name}; {name:int}, a decimal whole number that fits into 64 bits with an optional '-';
 * {name:num}, a decimal number without an exponent; {name:uuid}, 8-4-4-4-12 hexadecimal digits;
 * {name:path}, the rest, slashes included (last only). Text of a pattern may be percent-encoded; a
 * '%' of its own is written "%25". "/a" and "/a/" are different paths.
 *
 * Static beats typed parameter (uuid, int, num in this order) beats {name} beats path, segment by
 * segment from the left, with backtracking, whatever the order of declaration. Methods are looked
 * at after the path: the best pattern that has the method wins; where none has it, the answer is
 * METHOD with all allowed ones. A pattern with GET has HEAD, too, unless another route of the same
 * pattern names HEAD. OPTIONS is found only where a route names it; else METHOD tells what to
 * answer. */
#ifndef TG_HTTP_ROUTE_TREE_H
#define TG_HTTP_ROUTE_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"
#include "base/status.h"
#include "http/method.h"

#define TG_ROUTE_PARAMS_MAX  16
#define TG_ROUTE_DEPTH_MAX   64  /* segments of a pattern */
#define TG_ROUTE_SEGMENT_MAX 255 /* bytes of one static segment */

struct tg_route_tree;

enum tg_route_result { TG_ROUTE_FOUND, TG_ROUTE_NOT_FOUND, TG_ROUTE_METHOD };

struct tg_route_match {
  uint32_t route; /* the id given to tg_route_tree_add */
  uint32_t allow; /* METHOD: bits of the methods that this path has, HEAD and OPTIONS included */
  uint32_t param_count;
  struct tg_slice params[TG_ROUTE_PARAMS_MAX]; /* values in the pattern's order, still encoded */
};

/* In the order in which they are tried. */
enum tg_route_kind {
  TG_ROUTE_UUID,
  TG_ROUTE_INT,
  TG_ROUTE_NUM,
  TG_ROUTE_NAME,
  TG_ROUTE_PATH,
  TG_ROUTE_KIND_COUNT,
};

struct tg_route_param {
  struct tg_slice name; /* inside the pattern that was parsed */
  enum tg_route_kind kind;
};

/* The word of a kind in a pattern ("int"; "" for TG_ROUTE_NAME). Static storage. */
struct tg_slice tg_route_kind_name(enum tg_route_kind kind);

/* Checks a pattern and lists its parameters from the left. TG_EINVALID: *why (static storage) says
 * what is wrong with it. */
TG_MUST_CHECK tg_status tg_route_tree_parse_pattern(
    struct tg_slice pattern, struct tg_route_param params[TG_ROUTE_PARAMS_MAX], uint32_t *count,
    const char **why);

/* NULL when memory is gone. */
struct tg_route_tree *tg_route_tree_new(void);
void tg_route_tree_free(struct tg_route_tree *tree);

/* Adds a route for a set of methods. `route` is any number of the caller's. Names of parameters
 * belong to the route: two patterns that differ in them alone are the same pattern.
 * TG_EINVALID: the pattern is malformed, or `methods` is empty, *why (static storage) says how.
 * TG_ECONFLICT: another route of the same pattern has one of the methods; *other is its id.
 * TG_ENOMEM. After an error the tree answers as before. */
TG_MUST_CHECK tg_status tg_route_tree_add(struct tg_route_tree *tree, uint32_t methods,
                                          struct tg_slice pattern, uint32_t route, uint32_t *other,
                                          const char **why);

/* Finds the route for a normalised, still encoded path. Segments that hold '%' are compared
 * decoded. Time is bounded by the tree, whatever the path: a node is entered at most once, and no
 * segment past the deepest pattern is looked at. Allocates only where an encoded segment must be
 * decoded, from `scratch`; a segment for which there is no memory matches nothing but {name} and
 * {name:path}. A path that does not begin with '/' is NOT_FOUND. */
enum tg_route_result tg_route_tree_find(const struct tg_route_tree *tree, enum tg_method method,
                                        struct tg_slice path, struct tg_arena *scratch,
                                        struct tg_route_match *match);

/* One route whose pattern matches the path. `methods` are the ones that it was added with; `wins`
 * is true for the one that tg_route_tree_find would choose. `params` end with the call. */
typedef void (*tg_route_tree_cb)(void *owner, uint32_t route, uint32_t methods,
                                 const struct tg_slice *params, uint32_t param_count, bool wins);

/* Calls `each` for every route that matches the path, best first, whatever its methods. */
void tg_route_tree_explain(const struct tg_route_tree *tree, enum tg_method method,
                           struct tg_slice path, struct tg_arena *scratch, tg_route_tree_cb each,
                           void *owner);

#endif
