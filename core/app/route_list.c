/* Reads what the Lua side has checked already: types are as load_app promises, so that only memory
 * and conflicts can fail here. */
#include "app/route_list.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "app/forward_rules.h"
#include "app/tls_list.h"
#include "app/upstream_list.h"
#include "base/check.h"
#include "script/error.h"

static struct tg_slice copy_field(lua_State *L, int table, const char *name,
                                  struct tg_arena *arena) {
  size_t len = 0;
  lua_getfield(L, table, name);
  const char *text = lua_tolstring(L, -1, &len);
  struct tg_slice copy = tg_arena_copy(arena, tg_slice(text ? text : "", len));
  lua_pop(L, 1);
  if (!copy.ptr) tg_error_misuse(L, "not enough memory");
  return copy;
}

static double number_field(lua_State *L, int table, const char *name, double otherwise) {
  lua_getfield(L, table, name);
  double value = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : otherwise;
  lua_pop(L, 1);
  return value;
}

/* ---- configuration ---- */

static void read_listen(lua_State *L, int config, struct tg_config *out) {
  lua_getfield(L, config, "listen");  // .. listen
  size_t count = lua_istable(L, -1) ? lua_objlen(L, -1) : 0;
  out->listen = calloc(count + 1, sizeof(char *));
  if (!out->listen) tg_error_misuse(L, "not enough memory");
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, -1, (int)i + 1);
    out->listen[i] = strdup(lua_tostring(L, -1));
    if (!out->listen[i]) tg_error_misuse(L, "not enough memory");
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

static void read_settings(lua_State *L, int config, struct tg_settings *out) {
  lua_getfield(L, config, "settings");  // .. settings
  for (const struct tg_setting_row *row = tg_settings_rows; row->key; row++) {
    lua_getfield(L, -1, row->key);  // .. settings value
    /* load_app has checked the range already */
    if (lua_type(L, -1) == LUA_TNUMBER && tg_settings_set(out, row, lua_tonumber(L, -1)))
      tg_error_misuse(L, "%s is out of range", row->key);
    lua_pop(L, 1);
  }
  for (const struct tg_setting_text_row *row = tg_settings_text_rows; row->key; row++) {
    size_t len = 0;
    lua_getfield(L, -1, row->key);  // .. settings value
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
    if (text && tg_settings_set_text(out, row, tg_slice(text, len)))
      tg_error_misuse(L, "%s is too long", row->key);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

static void read_pools(lua_State *L, int config, struct tg_config *out) {
  size_t cap = 0;
  lua_getfield(L, config, "pools");  // .. pools
  for (lua_pushnil(L); lua_istable(L, -2) && lua_next(L, -2); lua_pop(L, 1)) {
    int pool = lua_gettop(L);
    if (out->pool_count == cap) {
      cap = cap ? cap * 2 : 4;
      struct tg_config_pool *grown = realloc(out->pools, cap * sizeof *grown);
      if (!grown) tg_error_misuse(L, "not enough memory");
      out->pools = grown;
    }
    struct tg_config_pool *row = &out->pools[out->pool_count++];
    *row = (struct tg_config_pool){
        .size = (unsigned)number_field(L, pool, "size", 0),
        .queue = (unsigned)number_field(L, pool, "queue", 0),
        .max_wait = (uint64_t)(number_field(L, pool, "max_wait", 0) * 1e9),
    };
    strncpy(row->name, lua_tostring(L, -2), sizeof row->name - 1);
  }
  lua_pop(L, 1);
}

static void read_word(lua_State *L, int table, const char *name, char out[8]) {
  lua_getfield(L, table, name);
  if (lua_isstring(L, -1)) strncpy(out, lua_tostring(L, -1), 7);
  lua_pop(L, 1);
}

void tg_route_list_read_config(lua_State *L, int config, struct tg_generation *generation) {
  struct tg_config *out = &generation->config;
  read_listen(L, config, out);
  tg_tls_list_read(L, config, generation);
  read_settings(L, config, &out->settings);
  read_pools(L, config, out);
  tg_upstream_list_read(L, config, generation);
  lua_getfield(L, config, "log");  // .. log
  if (lua_istable(L, -1)) {
    read_word(L, lua_gettop(L), "level", out->log_level);
    read_word(L, lua_gettop(L), "access", out->log_access);
  }
  lua_pop(L, 1);
}

/* ---- routes ---- */

/* "default" is pool 0; the others follow in the order of the configuration. */
static int pool_index(const struct tg_config *config, const char *name) {
  for (size_t i = 0; i < config->pool_count; i++)
    if (strcmp(config->pools[i].name, name) == 0) return (int)i + 1;
  return 0;
}

static void read_spec(lua_State *L, int spec, const struct tg_config *config,
                      struct tg_route *route) {
  const struct tg_settings *settings = &config->settings;
  route->max_body = (uint64_t)number_field(L, spec, "max_body", (double)settings->limits_body);
  route->timeout =
      (uint64_t)(number_field(L, spec, "timeout", (double)settings->timeouts_route / 1e9) * 1e9);
  route->cpu = (uint64_t)(number_field(L, spec, "cpu", (double)settings->limits_cpu / 1e9) * 1e9);
  route->status = (int)number_field(L, spec, "status", 0);
  lua_getfield(L, spec, "stream_body");
  route->stream_body = lua_toboolean(L, -1);
  lua_getfield(L, spec, "on_disconnect");  // .. stream_body on_disconnect
  if (lua_isstring(L, -1)) route->on_disconnect = lua_tostring(L, -1)[0];
  lua_getfield(L, spec, "blocking");  // .. stream_body on_disconnect blocking
  if (lua_isstring(L, -1))
    route->pool = pool_index(config, lua_tostring(L, -1));
  else
    route->pool = lua_toboolean(L, -1) ? 0 : -1;
  lua_pop(L, 3);
}

static uint32_t read_methods(lua_State *L, int item) {
  uint32_t methods = 0;
  lua_getfield(L, item, "any");
  bool any = lua_toboolean(L, -1);
  lua_getfield(L, item, "methods");  // .. any methods
  for (int i = 1; !any && i <= (int)lua_objlen(L, -1); i++) {
    lua_rawgeti(L, -1, i);
    enum tg_method method = tg_method_find(tg_slice_cstr(lua_tostring(L, -1)));
    if (method == TG_METHOD_NONE)
      tg_error_misuse(L, "the method %s is not served", lua_tostring(L, -1));
    methods |= TG_METHOD_BIT(method);
    lua_pop(L, 1);
  }
  lua_pop(L, 2);
  return any ? TG_METHOD_ANY : methods;
}

/* After its parameters are known. */
static void read_forward(lua_State *L, int item, struct tg_generation *generation,
                         struct tg_route *route) {
  lua_getfield(L, item, "forward");  // .. forward
  if (lua_istable(L, -1))
    route->forward = tg_forward_rules_read(L, lua_gettop(L), route, &generation->arena);
  lua_pop(L, 1);
}

static void read_route(lua_State *L, int item, struct tg_generation *generation,
                       struct tg_route *route) {
  struct tg_arena *arena = &generation->arena;
  route->name = copy_field(L, item, "name", arena);
  route->pattern = copy_field(L, item, "pattern", arena);
  lua_getfield(L, item, "file");
  lua_getfield(L, item, "line");
  int line = (int)lua_tointeger(L, -1); /* 0: built in, of no file */
  lua_pushfstring(L, line ? "%s:%d" : "%s", lua_tostring(L, -2), line);  // .. place
  route->place = tg_arena_copy(arena, tg_slice_cstr(lua_tostring(L, -1)));
  lua_pop(L, 3);
  route->methods = read_methods(L, item);
  lua_getfield(L, item, "spec");
  read_spec(L, lua_gettop(L), &generation->config, route);
  lua_pop(L, 1);
}

/* Appends {message, file, line, column, end_column, note} for the route at `item`. */
static void add_error(lua_State *L, int errors, int item, const char *message, const char *note) {
  static const char *const same[] = {"file", "line", "column", "end_column"};
  lua_createtable(L, 0, 6);  // .. error
  lua_pushstring(L, message), lua_setfield(L, -2, "message");
  if (note) lua_pushstring(L, note), lua_setfield(L, -2, "note");
  for (int i = 0; i < 4; i++) lua_getfield(L, item, same[i]), lua_setfield(L, -2, same[i]);
  lua_rawseti(L, errors, (int)lua_objlen(L, errors) + 1);
}

static void add_to_tree(lua_State *L, int item, int errors, struct tg_generation *generation,
                        uint32_t id) {
  struct tg_route *route = &generation->routes[id];
  uint32_t other = 0;
  const char *why = NULL;
  tg_status status =
      tg_route_tree_parse_pattern(route->pattern, route->params, &route->param_count, &why);
  if (status == TG_OK)
    status = tg_route_tree_add(generation->tree, route->methods, route->pattern, id, &other, &why);
  if (status == TG_ENOMEM) tg_error_misuse(L, "not enough memory");
  if (status == TG_ECONFLICT) {
    struct tg_route *first = &generation->routes[other];
    lua_pushliteral(L, "two routes match the same requests: ");
    lua_pushlstring(L, route->name.ptr, route->name.len);
    lua_concat(L, 2);
    lua_pushliteral(L, "the other one is ");
    lua_pushlstring(L, first->name.ptr, first->name.len);
    lua_pushliteral(L, " at ");
    lua_pushlstring(L, first->place.ptr, first->place.len);
    lua_concat(L, 4);  // .. message note
    add_error(L, errors, item, lua_tostring(L, -2), lua_tostring(L, -1));
    lua_pop(L, 2);
  } else if (status) {
    add_error(L, errors, item, why ? why : "the path is malformed", NULL);
  }
}

static void read_fallback(lua_State *L, int app, struct tg_generation *generation) {
  struct tg_route *route = &generation->routes[generation->route_count];
  route->name = route->pattern = TG_SLICE("(no route)");
  route->place = TG_SLICE("-");
  lua_newtable(L);  // .. spec
  read_spec(L, lua_gettop(L), &generation->config, route);
  lua_getfield(L, app, "fallback");  // .. spec fallback
  generation->routing.has_fallback = lua_isfunction(L, -1);
  lua_pop(L, 2);
}

void tg_route_list_build(lua_State *L, int app, int errors, struct tg_generation *generation) {
  lua_getfield(L, app, "routes");  // .. routes
  int routes = lua_gettop(L);
  uint32_t count = (uint32_t)lua_objlen(L, routes);
  generation->tree = tg_route_tree_new();
  generation->routes = calloc(count + 1, sizeof *generation->routes);
  if (!generation->tree || !generation->routes) tg_error_misuse(L, "not enough memory");
  for (uint32_t id = 0; id < count; id++) {
    lua_rawgeti(L, routes, (int)id + 1);  // .. item
    int item = lua_gettop(L);
    read_route(L, item, generation, &generation->routes[id]);
    lua_getfield(L, item, "builtin");
    if (!lua_toboolean(L, -1)) generation->own_count = id + 1;
    add_to_tree(L, item, errors, generation, id);
    read_forward(L, item, generation, &generation->routes[id]);
    lua_settop(L, item - 1);
  }
  generation->route_count = count;
  generation->routing = (struct tg_routing){.tree = generation->tree,
                                            .routes = generation->routes,
                                            .count = count,
                                            .handle = generation->handle,
                                            .owner = generation};
  read_fallback(L, app, generation);
  lua_pop(L, 1);
}

static void check_name(lua_State *L, int item, const struct tg_route *route) {
  size_t len;
  lua_getfield(L, item, "name");  // .. name
  const char *name = lua_tolstring(L, -1, &len);
  if (!tg_slice_eq(tg_slice(name, len), route->name))
    tg_error_misuse(L, "the application has other routes in one state than in another (%s)", name);
  lua_pop(L, 1);
}

/* A reference to the function in that field, as a task is to call it; LUA_REFNIL without one. */
static int keep_function(lua_State *L, int table, const char *name) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, tg_vm_of(L)->ref_prepare);  // .. prepare
  lua_getfield(L, table, name);                                 // .. prepare run
  if (lua_isnil(L, -1))
    lua_remove(L, -2);
  else
    lua_call(L, 1, 1);  // .. run
  return luaL_ref(L, LUA_REGISTRYINDEX);
}

void tg_route_list_keep_functions(lua_State *L, int app, const struct tg_generation *generation,
                                  struct tg_app_state *state) {
  lua_getfield(L, app, "routes");  // .. routes
  int routes = lua_gettop(L);
  uint32_t count = (uint32_t)lua_objlen(L, routes);
  if (count != generation->route_count)
    tg_error_misuse(
        L,
        "the application has %d routes in one state and %d in another; what a route file "
        "returns must not depend on time, chance or tg.role",
        (int)generation->route_count, (int)count);
  state->run_refs = calloc(count + 1, sizeof(int));
  if (!state->run_refs) tg_error_misuse(L, "not enough memory");
  for (uint32_t id = 0; id < count; id++) {
    lua_rawgeti(L, routes, (int)id + 1);  // .. item
    int item = lua_gettop(L);
    check_name(L, item, &generation->routes[id]);
    state->run_refs[id] = keep_function(L, item, "run");
    lua_pop(L, 1);
  }
  state->run_refs[count] = keep_function(L, app, "fallback");
  lua_pop(L, 1);
}
