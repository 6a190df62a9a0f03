/* Which route a request matches: a tree over path segments, built once a generation, then shared
 * by all threads without a lock, because nothing changes it any more.
 *
 * Patterns: "/users/{id:int}/files/{rest:path}". A parameter is a whole segment: {name}, {name:int},
 * {name:num}, {name:uuid}, {name:path} (the rest, slashes included, at least one byte; last only).
 * Static beats typed parameter (uuid, int, num in this order) beats {name} beats path, segment by segment from the left, with
 * backtracking, whatever the order of declaration. Methods are looked at after the path: the best
 * pattern that has the method wins; where none has it, the answer is METHOD with all allowed ones. */
#ifndef TG_HTTP_ROUTE_TREE_H
#define TG_HTTP_ROUTE_TREE_H

#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"
#include "base/status.h"
#include "http/method.h"

#define TG_ROUTE_PARAMS_MAX 16

struct tg_route_tree;

enum tg_route_result { TG_ROUTE_FOUND, TG_ROUTE_NOT_FOUND, TG_ROUTE_METHOD };

struct tg_route_match {
  uint32_t route;    /* the id given to tg_route_tree_add */
  uint32_t allow;    /* METHOD: bits of the methods that this path has, HEAD and OPTIONS included */
  uint32_t param_count;
  struct tg_slice params[TG_ROUTE_PARAMS_MAX]; /* values in the pattern's order, still encoded */
};

struct tg_route_tree *tg_route_tree_new(void);
void tg_route_tree_free(struct tg_route_tree *tree);

/* Adds a route for a set of methods. `route` is any number of the caller's.
 * TG_EINVALID: the pattern is malformed, *why (static storage) says how.
 * TG_ECONFLICT: another route matches the same requests; *other is its id. TG_ENOMEM. */
TG_MUST_CHECK tg_status tg_route_tree_add(struct tg_route_tree *tree, uint32_t methods,
                                          struct tg_slice pattern, uint32_t route,
                                          uint32_t *other, const char **why);

/* Finds the route for a normalised, still encoded path. HEAD falls back to GET. Segments that hold
 * '%' are compared decoded. Time is bounded by the path's length times the tree's depth of
 * alternatives. Never allocates, unless an encoded segment must be decoded (then in `scratch`). */
enum tg_route_result tg_route_tree_find(const struct tg_route_tree *tree, enum tg_method method,
                                        struct tg_slice path, struct tg_arena *scratch,
                                        struct tg_route_match *match);

#endif
