/* routes: the table of routes, and why a request takes one of them. */
#include <stdio.h>
#include <string.h>

#include "app/cli.h"
#include "app/offline.h"
#include "base/escape.h"
#include "http/method.h"

/* "GET", "GET,POST", or "ANY". */
static void write_methods(uint32_t methods, char out[256]) {
  if (methods == TG_METHOD_ANY) {
    memcpy(out, "ANY", 4);
    return;
  }
  size_t len = tg_method_list(methods, out), kept = 0;
  for (size_t i = 0; i < len; i++)
    if (out[i] != ' ') out[kept++] = out[i];
  out[kept] = 0;
}

/* Pools of a generation that is not served are numbered from the default one on. */
static const char *kind_of(const struct tg_generation *generation, const struct tg_route *route) {
  if (route->pool < 0) return "loop";
  size_t place = (size_t)route->pool;
  if (place == 0 || place > generation->config.pool_count) return "blocking default";
  return generation->config.pools[place - 1].name;
}

static void print_json(const struct tg_generation *generation, const struct tg_route *route) {
  char methods[256];
  struct tg_buffer line = {0};
  write_methods(route->methods, methods);
  tg_status status = tg_buffer_format(&line, "{\"method\":\"%s\",\"path\":", methods);
  if (!status) status = tg_escape_append(&line, route->pattern);
  if (!status) status = tg_buffer_format(&line, ",\"place\":");
  if (!status) status = tg_escape_append(&line, route->place);
  if (!status && route->pool < 0) status = tg_buffer_format(&line, ",\"blocking\":false}");
  if (!status && route->pool >= 0) {
    const char *pool = route->pool ? kind_of(generation, route) : "default";
    status = tg_buffer_format(&line, ",\"blocking\":true,\"pool\":\"%s\"}", pool);
  }
  if (!status) printf("%.*s", (int)line.len, line.data);
  tg_buffer_deinit(&line);
}

struct widths {
  int methods, pattern, place;
};

static void widen(int *width, size_t len) {
  if ((int)len > *width) *width = (int)len;
}

static struct widths measure(const struct tg_generation *generation) {
  struct widths widths = {0};
  char methods[256];
  for (uint32_t i = 0; i < generation->own_count; i++) {
    const struct tg_route *route = &generation->routes[i];
    write_methods(route->methods, methods);
    widen(&widths.methods, strlen(methods));
    widen(&widths.pattern, route->pattern.len);
    widen(&widths.place, route->place.len);
  }
  return widths;
}

static void print_route(const struct tg_generation *generation, const struct tg_route *route,
                        const struct widths *widths) {
  char methods[256];
  write_methods(route->methods, methods);
  const char *kind = kind_of(generation, route);
  bool is_named = route->pool > 0 && strcmp(kind, "blocking default") != 0;
  printf("%-*s  %-*.*s  %-*.*s  %s%s\n", widths->methods, methods, widths->pattern,
         (int)route->pattern.len, route->pattern.ptr, widths->place, (int)route->place.len,
         route->place.ptr, is_named ? "blocking " : "", kind);
}

static void print_table(const struct tg_offline *offline) {
  const struct tg_generation *generation = offline->generation;
  struct widths widths = measure(generation);
  bool json = offline->options->json;
  for (uint32_t i = 0; i < generation->own_count; i++) {
    if (json) {
      printf("%s", i ? ",\n " : "[");
      print_json(generation, &generation->routes[i]);
    } else {
      print_route(generation, &generation->routes[i], &widths);
    }
  }
  if (json) printf("%s]\n", generation->own_count ? "" : "[");
}

/* --- --match ---------------------------------------------------------------------------------- */

struct match {
  const struct tg_offline *offline;
  struct widths widths;
  enum tg_method method;
  struct tg_slice method_name;
  uint32_t count;
  uint32_t allowed; /* methods of the routes that match the path */
  bool found;
};

static const char *reason(const struct match *match, uint32_t methods, bool wins) {
  if (wins) return match->found ? "" : "takes it: ";
  if (!(methods & TG_METHOD_BIT(match->method))) return "has another method: ";
  return "matches, but is less exact: ";
}

static void on_match(void *owner, uint32_t id, uint32_t methods, const struct tg_slice *params,
                     uint32_t param_count, bool wins) {
  struct match *match = owner;
  const struct tg_generation *generation = match->offline->generation;
  const struct tg_route *route = &generation->routes[id];
  if (match->offline->options->json) {
    printf("%s{\"wins\":%s,\"route\":", match->count++ ? ",\n " : "[", wins ? "true" : "false");
    print_json(generation, route);
    printf("}");
  } else {
    printf("%-29s", reason(match, methods, wins));
    print_route(generation, route, &match->widths);
    for (uint32_t i = 0; wins && i < param_count && i < route->param_count; i++)
      printf("%29s%.*s = %.*s\n", "", (int)route->params[i].name.len, route->params[i].name.ptr,
             (int)params[i].len, params[i].ptr);
  }
  match->found = match->found || wins;
  match->allowed |= methods;
}

/* Why no route takes the request, and what the server will answer. */
static int explain_none(const struct match *match) {
  const char *request = match->offline->options->match;
  char methods[256];
  if (!match->allowed) {
    fprintf(stderr, "404: no route takes %s\n", request);
    return TG_EXIT_FAILED;
  }
  write_methods(match->allowed, methods);
  if (match->method == TG_METHOD_OPTIONS) {
    fprintf(stderr, "204: no route takes %s, so that it is answered with the methods there: %s\n",
            request, methods);
    return TG_EXIT_OK;
  }
  fprintf(stderr, "405: no route takes %s; the methods there are %s\n", request, methods);
  return TG_EXIT_FAILED;
}

/* "GET /x", or "/x" for GET. */
static bool read_request(struct match *match, const char *text, struct tg_slice *path) {
  const char *space = strchr(text, ' ');
  match->method_name = space ? tg_slice(text, (size_t)(space - text)) : TG_SLICE("GET");
  match->method = tg_method_find(match->method_name);
  *path = tg_slice_cstr(space ? space + 1 : text);
  const char *query = memchr(path->ptr, '?', path->len);
  if (query) path->len = (size_t)(query - path->ptr);
  return match->method != TG_METHOD_NONE && path->len && path->ptr[0] == '/';
}

static int explain(const struct tg_offline *offline) {
  struct match match = {.offline = offline, .widths = measure(offline->generation)};
  struct tg_slice path;
  if (!read_request(&match, offline->options->match, &path)) {
    fprintf(stderr, "error: --match takes a method and a path, as in 'GET /x', not '%s'\n",
            offline->options->match);
    return TG_EXIT_USAGE;
  }
  struct tg_arena arena;
  tg_arena_init(&arena, NULL, 0);
  tg_route_tree_explain(offline->generation->tree, match.method, path, &arena, on_match, &match);
  tg_arena_reset(&arena);
  if (offline->options->json) printf("%s]\n", match.count ? "" : "[");
  return match.found ? TG_EXIT_OK : explain_none(&match);
}

static int routes(struct tg_offline *offline) {
  int exit = tg_offline_load(offline);
  if (exit) return exit;
  if (offline->options->match) return explain(offline);
  print_table(offline);
  return TG_EXIT_OK;
}

int tg_command_routes(const struct tg_options *options) {
  return tg_offline_run(options, routes);
}
