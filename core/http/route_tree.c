/* The tree behind route_tree.h.
 *
 * A node stands for the pattern segments above it; it has its static children in an open-addressed
 * table by the hash of their decoded text, at most one child for each kind of parameter, and the
 * routes of the pattern that ends at it. The parent of a node is unique, so a node at depth n is
 * reached with the nth segment of a path only and at most once a search: that is the bound on time,
 * and why nothing needs to be remembered about failed branches. */
#include "http/route_tree.h"

#include <stdlib.h>

#include "http/route_pattern.h"

struct route {
  uint32_t methods;
  uint32_t id;
};

struct child {
  uint32_t hash;
  struct node *node; /* NULL: a free place */
};

struct node {
  struct child *children; /* `mask` + 1 places, at most half of them taken; NULL with mask 0 */
  uint32_t mask;
  uint32_t child_count;
  struct node *params[TG_ROUTE_KIND_COUNT];
  bool has_params;
  struct route *routes;
  uint32_t route_count;
  uint32_t text_len; /* of a static child */
  char text[];
};

struct tg_route_tree {
  struct node *root;
};

/* Not seeded: what is in the tables comes from the application, requests only look. */
static uint32_t hash_text(const char *ptr, size_t len) {
  uint64_t hash = len * 0x9E3779B97F4A7C15ull;
  uint64_t word;
  for (; len >= 8; ptr += 8, len -= 8) {
    memcpy(&word, ptr, 8);
    hash = (hash ^ word) * 0xFF51AFD7ED558CCDull;
    hash ^= hash >> 32;
  }
  word = 0;
  for (size_t i = 0; i < len; i++) word = word << 8 | (unsigned char)ptr[i];
  hash = (hash ^ word) * 0xFF51AFD7ED558CCDull;
  return (uint32_t)(hash >> 32);
}

/* --- building ------------------------------------------------------------------------------------- */

static struct node *node_new(struct tg_slice text) {
  struct node *node = calloc(1, sizeof *node + text.len);
  if (!node) return NULL;
  node->text_len = (uint32_t)text.len;
  if (text.len) memcpy(node->text, text.ptr, text.len);
  return node;
}

/* As deep as the deepest pattern, which TG_ROUTE_DEPTH_MAX bounds. */
static void node_free(struct node *node) {
  if (!node) return;
  for (uint32_t i = 0; node->children && i <= node->mask; i++) node_free(node->children[i].node);
  for (int i = 0; i < TG_ROUTE_KIND_COUNT; i++) node_free(node->params[i]);
  free(node->children);
  free(node->routes);
  free(node);
}

struct tg_route_tree *tg_route_tree_new(void) {
  struct tg_route_tree *tree = calloc(1, sizeof *tree);
  if (!tree) return NULL;
  tree->root = node_new(tg_slice(NULL, 0));
  if (tree->root) return tree;
  free(tree);
  return NULL;
}

void tg_route_tree_free(struct tg_route_tree *tree) {
  if (!tree) return;
  node_free(tree->root);
  free(tree);
}

static inline struct node *find_child(const struct node *node, uint32_t hash,
                                      struct tg_slice text) {
  if (!node->children) return NULL;
  for (uint32_t i = hash & node->mask; node->children[i].node; i = (i + 1) & node->mask) {
    struct node *child = node->children[i].node;
    if (node->children[i].hash == hash && child->text_len == text.len &&
        memcmp(child->text, text.ptr, text.len) == 0)
      return child;
  }
  return NULL;
}

static void place(struct child *table, uint32_t mask, struct child child) {
  uint32_t i = child.hash & mask;
  while (table[i].node) i = (i + 1) & mask;
  table[i] = child;
}

static tg_status grow_children(struct node *node) {
  uint32_t size = node->children ? (node->mask + 1) * 2 : 4;
  struct child *table = calloc(size, sizeof *table);
  if (!table) return TG_ENOMEM;
  for (uint32_t i = 0; node->children && i <= node->mask; i++)
    if (node->children[i].node) place(table, size - 1, node->children[i]);
  free(node->children);
  node->children = table;
  node->mask = size - 1;
  return TG_OK;
}

static struct node *add_static(struct node *node, struct tg_slice text) {
  char decoded[TG_ROUTE_SEGMENT_MAX];
  struct tg_slice plain = tg_slice(decoded, tg_route_pattern_decode(text, decoded));
  uint32_t hash = hash_text(plain.ptr, plain.len);
  struct node *child = find_child(node, hash, plain);
  if (child) return child;
  if (!node->children || (node->child_count + 1) * 2 > node->mask + 1)
    if (grow_children(node)) return NULL;
  child = node_new(plain);
  if (!child) return NULL;
  place(node->children, node->mask, (struct child){hash, child});
  node->child_count++;
  return child;
}

static struct node *add_param(struct node *node, enum tg_route_kind kind) {
  if (!node->params[kind]) node->params[kind] = node_new(tg_slice(NULL, 0));
  if (node->params[kind]) node->has_params = true;
  return node->params[kind];
}

static tg_status add_route(struct node *node, uint32_t methods, uint32_t id, uint32_t *other) {
  for (uint32_t i = 0; i < node->route_count; i++) {
    if (!(node->routes[i].methods & methods)) continue;
    *other = node->routes[i].id;
    return TG_ECONFLICT;
  }
  struct route *routes = realloc(node->routes, (node->route_count + 1) * sizeof *routes);
  if (!routes) return TG_ENOMEM;
  routes[node->route_count++] = (struct route){methods, id};
  node->routes = routes;
  return TG_OK;
}

tg_status tg_route_tree_add(struct tg_route_tree *tree, uint32_t methods, struct tg_slice pattern,
                            uint32_t route, uint32_t *other, const char **why) {
  struct tg_route_pattern parsed;
  tg_status status = tg_route_pattern_parse(&parsed, pattern, why);
  if (status) return status;
  if (methods == 0) {
    *why = "no method";
    return TG_EINVALID;
  }
  struct node *node = tree->root;
  for (uint32_t i = 0; i < parsed.count && node; i++) {
    const struct tg_route_segment *segment = &parsed.segments[i];
    node =
        segment->is_param ? add_param(node, segment->param.kind) : add_static(node, segment->text);
  }
  return node ? add_route(node, methods, route, other) : TG_ENOMEM;
}

/* --- searching ------------------------------------------------------------------------------------ */

struct search {
  uint32_t wanted;   /* bit of the method; 0 for a method that no route can have */
  uint32_t fallback; /* bit of GET for HEAD, else 0 */
  bool encoded;      /* the path holds a '%' */
  bool found;
  struct tg_arena *scratch;
  struct tg_route_match *match;
  tg_route_tree_cb each; /* explaining: visit everything */
  void *owner;
};

static const struct route *choose(const struct search *search, const struct node *node) {
  const struct route *second = NULL;
  for (uint32_t i = 0; i < node->route_count; i++) {
    const struct route *route = &node->routes[i];
    if (route->methods & search->wanted) return route;
    if (route->methods & search->fallback) second = route;
  }
  return second;
}

/* The path matches the pattern that ends at `node`. True ends the search. */
static bool reach(struct search *search, const struct node *node, uint32_t param_count) {
  struct tg_route_match *match = search->match;
  const struct route *route = choose(search, node);
  bool wins = route && !search->found;
  if (wins) {
    search->found = true;
    match->route = route->id;
    match->param_count = param_count;
  }
  for (uint32_t i = 0; i < node->route_count; i++) match->allow |= node->routes[i].methods;
  for (uint32_t i = 0; search->each && i < node->route_count; i++)
    search->each(search->owner, node->routes[i].id, node->routes[i].methods, match->params,
                 param_count, wins && route == &node->routes[i]);
  return search->found && !search->each;
}

/* What is too long for any static text or typed value, even if all of it is escapes, stays as it
 * is. */
static struct tg_slice decode(const struct search *search, struct tg_slice raw) {
  if (raw.len > 3 * TG_ROUTE_SEGMENT_MAX || !memchr(raw.ptr, '%', raw.len)) return raw;
  char *plain = tg_arena_alloc(search->scratch, raw.len);
  return plain ? tg_slice(plain, tg_route_pattern_decode(raw, plain)) : raw;
}

static bool enter(struct search *search, const struct node *node, const char *at, const char *end,
                  uint32_t param_count);

/* `next` is the '/' behind the segment that was taken, or the end of the path. */
static inline bool descend(struct search *search, const struct node *child, const char *next,
                           const char *end, uint32_t param_count) {
  if (next != end) return enter(search, child, next + 1, end, param_count);
  return child->route_count && reach(search, child, param_count);
}

static bool enter_params(struct search *search, const struct node *node, struct tg_slice raw,
                         struct tg_slice plain, const char *end, uint32_t param_count) {
  const char *next = raw.ptr + raw.len;
  for (int kind = 0; kind < TG_ROUTE_PATH; kind++) {
    const struct node *child = node->params[kind];
    if (!child || !tg_route_pattern_accepts((enum tg_route_kind)kind, plain)) continue;
    search->match->params[param_count] = raw;
    if (descend(search, child, next, end, param_count + 1)) return true;
  }
  const struct node *rest = node->params[TG_ROUTE_PATH];
  if (!rest || raw.ptr == end) return false;
  search->match->params[param_count] = tg_slice(raw.ptr, (size_t)(end - raw.ptr));
  return reach(search, rest, param_count + 1);
}

/* Takes the segment that begins at `at`. As deep as the deepest pattern. */
static bool enter(struct search *search, const struct node *node, const char *at, const char *end,
                  uint32_t param_count) {
  if (!node->children && !node->has_params) return false;
  const char *next = at == end ? NULL : memchr(at, '/', (size_t)(end - at));
  struct tg_slice raw = tg_slice(at, (size_t)((next ? next : end) - at));
  struct tg_slice plain = search->encoded ? decode(search, raw) : raw;
  if (node->children && plain.len <= TG_ROUTE_SEGMENT_MAX) {
    const struct node *child = find_child(node, hash_text(plain.ptr, plain.len), plain);
    if (child && descend(search, child, raw.ptr + raw.len, end, param_count)) return true;
  }
  return node->has_params && enter_params(search, node, raw, plain, end, param_count);
}

static void run(struct search *search, const struct tg_route_tree *tree, enum tg_method method,
                struct tg_slice path) {
  search->wanted = method < TG_METHOD_COUNT ? TG_METHOD_BIT(method) : 0;
  search->fallback = method == TG_METHOD_HEAD ? TG_METHOD_BIT(TG_METHOD_GET) : 0;
  search->match->allow = 0;
  search->match->param_count = 0;
  if (path.len == 0 || path.ptr[0] != '/') return;
  search->encoded = memchr(path.ptr, '%', path.len) != NULL;
  enter(search, tree->root, path.ptr + 1, path.ptr + path.len, 0);
}

enum tg_route_result tg_route_tree_find(const struct tg_route_tree *tree, enum tg_method method,
                                        struct tg_slice path, struct tg_arena *scratch,
                                        struct tg_route_match *match) {
  struct search search = {.scratch = scratch, .match = match};
  run(&search, tree, method, path);
  if (search.found) return TG_ROUTE_FOUND;
  if (!match->allow) return TG_ROUTE_NOT_FOUND;
  match->allow |= TG_METHOD_BIT(TG_METHOD_OPTIONS);
  if (match->allow & TG_METHOD_BIT(TG_METHOD_GET)) match->allow |= TG_METHOD_BIT(TG_METHOD_HEAD);
  return TG_ROUTE_METHOD;
}

void tg_route_tree_explain(const struct tg_route_tree *tree, enum tg_method method,
                           struct tg_slice path, struct tg_arena *scratch, tg_route_tree_cb each,
                           void *owner) {
  struct tg_route_match match;
  struct search search = {.scratch = scratch, .match = &match, .each = each, .owner = owner};
  run(&search, tree, method, path);
}
