/* Reads what the Lua side has checked already, so that only memory can fail here. */
#include "await/forward_rule.h"

#include <lauxlib.h>
#include <string.h>

#include "script/error.h"

static void *make(lua_State *L, struct tg_arena *arena, size_t count, size_t size) {
  void *memory = tg_arena_alloc(arena, count ? count * size : 1);
  if (!memory) tg_error_misuse(L, "not enough memory");
  memset(memory, 0, count * size);
  return memory;
}

/* The text on top, which is popped. */
static struct tg_slice take_text(lua_State *L, struct tg_arena *arena) {
  size_t len = 0;
  const char *text = lua_tolstring(L, -1, &len);
  struct tg_slice copy = tg_arena_copy(arena, tg_slice(text ? text : "", len));
  lua_pop(L, 1);
  if (!copy.ptr) tg_error_misuse(L, "not enough memory");
  return copy;
}

static struct tg_slice text_field(lua_State *L, int table, const char *name,
                                  struct tg_arena *arena) {
  lua_getfield(L, table, name);
  return take_text(L, arena);
}

static double number_field(lua_State *L, int table, const char *name, double otherwise) {
  lua_getfield(L, table, name);
  double value = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : otherwise;
  lua_pop(L, 1);
  return value;
}

static bool flag_field(lua_State *L, int table, const char *name) {
  lua_getfield(L, table, name);
  bool value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

static uint64_t time_field(lua_State *L, int table, const char *name) {
  return (uint64_t)(number_field(L, table, name, 0) * 1e9);
}

/* ---- fields ---- */

/* Lists of { name, value }, and of names. */
static void read_fields(lua_State *L, int proxy, const char *set, const char *removed,
                        struct tg_arena *arena, struct tg_forward_rules *rules) {
  lua_getfield(L, proxy, set);  // .. set
  rules->set_count = lua_objlen(L, -1);
  struct tg_response_field *fields = make(L, arena, rules->set_count, sizeof *fields);
  for (size_t i = 0; i < rules->set_count; i++) {
    lua_rawgeti(L, -1, (int)i + 1);  // .. set pair
    lua_rawgeti(L, -1, 1);           // .. set pair name
    fields[i].name = take_text(L, arena);
    lua_rawgeti(L, -1, 2);
    fields[i].value = take_text(L, arena);
    lua_pop(L, 1);
  }
  rules->set = fields;
  lua_getfield(L, proxy, removed);  // .. set removed
  rules->removed_count = lua_objlen(L, -1);
  struct tg_slice *names = make(L, arena, rules->removed_count, sizeof *names);
  for (size_t i = 0; i < rules->removed_count; i++) {
    lua_rawgeti(L, -1, (int)i + 1);
    names[i] = take_text(L, arena);
  }
  rules->removed = names;
  lua_pop(L, 2);
}

/* ---- the path ---- */

struct params {
  const struct tg_route_param *list;
  uint32_t count;
};

static int find_param(const struct params *params, struct tg_slice name) {
  for (uint32_t i = 0; i < params->count; i++)
    if (tg_slice_eq(params->list[i].name, name)) return (int)i;
  return -1;
}

/* Texts and names of parameters by turns. */
static void read_path(lua_State *L, int proxy, const struct params *params, struct tg_arena *arena,
                      struct tg_forward_rule *rule) {
  lua_getfield(L, proxy, "path");  // .. path
  rule->path_count = lua_istable(L, -1) ? lua_objlen(L, -1) : 0;
  struct tg_forward_piece *pieces = make(L, arena, rule->path_count, sizeof *pieces);
  for (size_t i = 0; i < rule->path_count; i++) {
    lua_rawgeti(L, -1, (int)i + 1);
    pieces[i].text = take_text(L, arena);
    pieces[i].param = i % 2 ? find_param(params, pieces[i].text) : -1;
  }
  rule->path = pieces;
  lua_pop(L, 1);
}

/* ---- the rest ---- */

static void read_host(lua_State *L, int proxy, struct tg_arena *arena,
                      struct tg_forward_rule *rule) {
  rule->host = text_field(L, proxy, "host", arena);
  if (tg_slice_eq(rule->host, TG_SLICE("keep")))
    rule->host_from = TG_FORWARD_HOST_KEEP;
  else if (tg_slice_eq(rule->host, TG_SLICE("upstream")))
    rule->host_from = TG_FORWARD_HOST_UPSTREAM;
  else
    rule->host_from = TG_FORWARD_HOST_FIXED;
}

static void read_timeouts(lua_State *L, int proxy, struct tg_rules_timeouts *timeouts) {
  lua_getfield(L, proxy, "timeouts");  // .. timeouts
  int table = lua_gettop(L);
  timeouts->connect = time_field(L, table, "connect");
  timeouts->first_byte = time_field(L, table, "first_byte");
  timeouts->idle = time_field(L, table, "idle");
  timeouts->total = time_field(L, table, "total");
  lua_pop(L, 1);
}

/* The name of a group, or nothing. */
static void read_mirror(lua_State *L, int proxy, struct tg_arena *arena,
                        struct tg_mirror_rule *mirror) {
  lua_getfield(L, proxy, "mirror");  // .. mirror
  if (lua_istable(L, -1)) {
    int table = lua_gettop(L);
    mirror->to = text_field(L, table, "to", arena);
    mirror->share = number_field(L, table, "share", 1);
    mirror->max_body = (uint64_t)number_field(L, table, "max_body", 0);
  }
  lua_pop(L, 1);
}

void tg_forward_rule_read(lua_State *L, int index, const struct tg_route_param *params,
                          uint32_t param_count, struct tg_arena *arena,
                          struct tg_forward_rule *rule) {
  struct params known = {params, param_count};
  *rule = (struct tg_forward_rule){0};
  rule->to = text_field(L, index, "to", arena);
  rule->timeout = time_field(L, index, "timeout");
  rule->retries = (int)number_field(L, index, "retries", -1);
  rule->buffer = flag_field(L, index, "buffer");
  rule->request.underscores = flag_field(L, index, "underscores");
  read_fields(L, index, "set", "removed", arena, &rule->request);
  read_fields(L, index, "response_set", "response_removed", arena, &rule->reply);
  read_path(L, index, &known, arena, rule);
  read_host(L, index, arena, rule);
  read_timeouts(L, index, &rule->timeouts);
  read_mirror(L, index, arena, &rule->mirror);
}
