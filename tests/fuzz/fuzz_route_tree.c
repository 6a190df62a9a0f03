/* Builds a tree from the input's lines and compares every search with a matcher that knows nothing
 * but the rules of route_tree.h: it tries all patterns and compares their ranks.
 *
 * Input: lines. "<letter><pattern>" adds a route for the methods that the letter's bits say; a line
 * that begins with '?' is a path to look for. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "http/route_pattern.h"
#include "http/route_tree.h"

#define ROUTES_MAX 48
#define PATHS_MAX  16

struct route {
  uint32_t methods;
  struct tg_route_pattern pattern;
};

struct world {
  struct route routes[ROUTES_MAX];
  uint32_t count;
  struct tg_route_tree *tree;
  struct tg_arena arena;
};

static const enum tg_method methods[] = {TG_METHOD_GET, TG_METHOD_HEAD, TG_METHOD_POST,
                                         TG_METHOD_OPTIONS};

static bool same_segment(const struct tg_route_segment *a, const struct tg_route_segment *b) {
  if (a->is_param || b->is_param)
    return a->is_param && b->is_param && a->param.kind == b->param.kind;
  char x[TG_ROUTE_SEGMENT_MAX], y[TG_ROUTE_SEGMENT_MAX];
  return tg_slice_eq(tg_slice(x, tg_route_pattern_decode(a->text, x)),
                     tg_slice(y, tg_route_pattern_decode(b->text, y)));
}

static bool same_pattern(const struct tg_route_pattern *a, const struct tg_route_pattern *b) {
  if (a->count != b->count) return false;
  for (uint32_t i = 0; i < a->count; i++)
    if (!same_segment(&a->segments[i], &b->segments[i])) return false;
  return true;
}

/* The pattern's text stays alive with the input. */
static void add(struct world *world, struct tg_slice line) {
  static const uint32_t bits[] = {1u << TG_METHOD_GET, 1u << TG_METHOD_HEAD, 1u << TG_METHOD_POST,
                                  1u << TG_METHOD_OPTIONS};
  struct route *route = &world->routes[world->count];
  uint32_t other = UINT32_MAX;
  const char *why = NULL;
  route->methods = 0;
  for (int i = 0; i < 4; i++)
    if (line.ptr[0] >> i & 1) route->methods |= bits[i];
  struct tg_slice text = tg_slice_skip(line, 1);
  tg_status status =
      tg_route_tree_add(world->tree, route->methods, text, world->count, &other, &why);
  if (status == TG_EINVALID) {
    TG_CHECK(why);
    return;
  }
  TG_CHECK(tg_route_pattern_parse(&route->pattern, text, &why) == TG_OK);
  uint32_t clash = UINT32_MAX;
  for (uint32_t i = 0; i < world->count && clash == UINT32_MAX; i++)
    if ((world->routes[i].methods & route->methods) &&
        same_pattern(&world->routes[i].pattern, &route->pattern))
      clash = i;
  TG_CHECK(clash == other);
  TG_CHECK(status == (clash == UINT32_MAX ? TG_OK : TG_ECONFLICT));
  if (status == TG_OK) world->count++;
}

/* Does the pattern match? Then `rank` tells how good: one digit a segment, smaller is better. */
static bool matches(const struct tg_route_pattern *pattern, struct tg_slice path, char *plain,
                    unsigned char rank[TG_ROUTE_DEPTH_MAX + 1]) {
  if (path.len == 0 || path.ptr[0] != '/') return false;
  const char *at = path.ptr + 1, *end = path.ptr + path.len;
  memset(rank, 0, TG_ROUTE_DEPTH_MAX + 1);
  for (uint32_t i = 0; i < pattern->count; i++) {
    const struct tg_route_segment *segment = &pattern->segments[i];
    if (!at) return false;
    if (segment->is_param && segment->param.kind == TG_ROUTE_PATH) {
      rank[i] = 9;
      return at < end;
    }
    const char *stop = at;
    while (stop < end && *stop != '/') stop++;
    struct tg_slice raw = tg_slice(at, (size_t)(stop - at));
    struct tg_slice text = tg_slice(plain, tg_route_pattern_decode(raw, plain));
    if (segment->is_param) {
      if (!tg_route_pattern_accepts(segment->param.kind, text)) return false;
      rank[i] = (unsigned char)(1 + segment->param.kind);
    } else {
      char mine[TG_ROUTE_SEGMENT_MAX];
      if (!tg_slice_eq(text, tg_slice(mine, tg_route_pattern_decode(segment->text, mine))))
        return false;
    }
    at = stop < end ? stop + 1 : NULL;
  }
  return at == NULL;
}

static void compare(struct world *world, enum tg_method method, struct tg_slice path) {
  char *plain = malloc(path.len + 1);
  unsigned char best_rank[TG_ROUTE_DEPTH_MAX + 1], rank[TG_ROUTE_DEPTH_MAX + 1];
  uint32_t best = UINT32_MAX, allow = 0;
  bool best_exact = false;
  for (uint32_t i = 0; i < world->count; i++) {
    const struct route *route = &world->routes[i];
    if (!matches(&route->pattern, path, plain, rank)) continue;
    allow |= route->methods;
    bool exact = route->methods & TG_METHOD_BIT(method);
    bool serves =
        exact || (method == TG_METHOD_HEAD && (route->methods & TG_METHOD_BIT(TG_METHOD_GET)));
    if (!serves) continue;
    int order = best == UINT32_MAX ? -1 : memcmp(rank, best_rank, sizeof rank);
    if (order > 0 || (order == 0 && (best_exact || !exact))) continue;
    best = i;
    best_exact = exact;
    memcpy(best_rank, rank, sizeof rank);
  }
  struct tg_route_match match;
  enum tg_route_result result =
      tg_route_tree_find(world->tree, method, path, &world->arena, &match);
  if (best != UINT32_MAX) {
    TG_CHECK(result == TG_ROUTE_FOUND && match.route == best);
    uint32_t params = 0;
    for (uint32_t i = 0; i < world->routes[best].pattern.count; i++)
      params += world->routes[best].pattern.segments[i].is_param;
    TG_CHECK(match.param_count == params);
    for (uint32_t i = 0; i < params; i++)
      TG_CHECK(match.params[i].ptr > path.ptr && match.params[i].len > 0 &&
               match.params[i].ptr + match.params[i].len <= path.ptr + path.len);
  } else if (allow) {
    if (allow & TG_METHOD_BIT(TG_METHOD_GET)) allow |= TG_METHOD_BIT(TG_METHOD_HEAD);
    TG_CHECK(result == TG_ROUTE_METHOD);
    TG_CHECK(match.allow == (allow | TG_METHOD_BIT(TG_METHOD_OPTIONS)));
  } else {
    TG_CHECK(result == TG_ROUTE_NOT_FOUND);
  }
  free(plain);
}

static void on_route(void *owner, uint32_t route, uint32_t bits, const struct tg_slice *params,
                     uint32_t param_count, bool wins) {
  const struct world *world = owner;
  (void)params;
  (void)wins;
  TG_CHECK(route < world->count && bits == world->routes[route].methods);
  TG_CHECK(param_count <= TG_ROUTE_PARAMS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct world *world = calloc(1, sizeof *world);
  struct tg_slice paths[PATHS_MAX], rest = tg_slice((const char *)data, size);
  size_t path_count = 0;
  TG_CHECK(world && (world->tree = tg_route_tree_new()));
  tg_arena_init(&world->arena, NULL, 0);
  while (rest.len) {
    const char *newline = memchr(rest.ptr, '\n', rest.len);
    struct tg_slice line = newline ? tg_slice(rest.ptr, (size_t)(newline - rest.ptr)) : rest;
    rest = tg_slice_skip(rest, line.len + (newline != NULL));
    if (line.len && line.ptr[0] == '?' && path_count < PATHS_MAX)
      paths[path_count++] = tg_slice_skip(line, 1);
    else if (line.len && line.ptr[0] != '?' && world->count < ROUTES_MAX)
      add(world, line);
  }
  for (size_t i = 0; i < path_count; i++) {
    for (size_t m = 0; m < sizeof methods / sizeof methods[0]; m++)
      compare(world, methods[m], paths[i]);
    tg_route_tree_explain(world->tree, TG_METHOD_GET, paths[i], &world->arena, on_route, world);
  }
  tg_route_tree_free(world->tree);
  tg_arena_reset(&world->arena);
  free(world);
  return 0;
}
