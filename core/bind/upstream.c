/* The groups of peers for lua/tidegate/upstream.lua, which has checked the arguments. A group is
 * found by its name each time, as the generation of the state knows it. */
#include "bind/upstream.h"

#include <lauxlib.h>

#include "script/error.h"
#include "script/module.h"
#include "script/vm.h"
#include "upstream/groups.h"
#include "upstream/report.h"
#include "upstream/roster.h"

/// Functions of tg.upstream; see lua/tidegate/upstream.lua.
TG_MODULE(upstream)

static struct tg_slice check_text(lua_State *L, int index) {
  struct tg_slice text;
  text.ptr = luaL_checklstring(L, index, &text.len);
  return text;
}

static struct tg_group *find(lua_State *L) {
  struct tg_vm *vm = tg_vm_of(L);
  if (!vm->host->groups) return NULL;
  return tg_groups_find(vm->host->groups, check_text(L, 1), vm->generation);
}

static struct tg_group *check_group(lua_State *L) {
  struct tg_group *group = find(L);
  if (!group)
    tg_error_misuse(L, "tg.upstream: tidegate.lua has no upstream '%s'", lua_tostring(L, 1));
  return group;
}

/* ---- arguments ---- */

static struct tg_slice text_field(lua_State *L, int table, const char *name) {
  struct tg_slice text = {"", 0};
  lua_getfield(L, table, name);
  if (lua_type(L, -1) == LUA_TSTRING) text.ptr = lua_tolstring(L, -1, &text.len);
  lua_pop(L, 1); /* the table holds it */
  return text;
}

static uint32_t count_field(lua_State *L, int table, const char *name, bool *said) {
  lua_getfield(L, table, name);
  uint32_t value = (uint32_t)lua_tonumber(L, -1);
  if (said) *said = !lua_isnil(L, -1);
  lua_pop(L, 1);
  return value;
}

void tg_upstream_read_peer(lua_State *L, int peer, struct tg_peer_spec *out) {
  *out = (struct tg_peer_spec){
      .address = text_field(L, peer, "address"),
      .zone = text_field(L, peer, "zone"),
      .weight = count_field(L, peer, "weight", NULL),
      .max_requests = count_field(L, peer, "max_requests", NULL),
  };
  out->priority = count_field(L, peer, "priority", &out->has_priority);
}

/* ---- what is there ---- */

/* exists(name) */
static int l_exists(lua_State *L) {
  lua_pushboolean(L, find(L) != NULL);
  return 1;
}

/* names() -> list */
static int l_names(lua_State *L) {
  struct tg_groups *groups = tg_vm_of(L)->host->groups;
  struct tg_group *group = groups ? tg_groups_next(groups, NULL) : NULL;
  lua_newtable(L);
  for (int i = 1; group; i++, group = tg_groups_next(groups, group)) {
    struct tg_slice name = tg_group_name(group);
    lua_pushlstring(L, name.ptr, name.len);
    lua_rawseti(L, -2, i);
  }
  return 1;
}

static void set_slice(lua_State *L, const char *key, struct tg_slice value) {
  lua_pushlstring(L, value.ptr, value.len);
  lua_setfield(L, -2, key);
}

static void set_number(lua_State *L, const char *key, double value) {
  lua_pushnumber(L, value);
  lua_setfield(L, -2, key);
}

static void push_peer(lua_State *L, const struct tg_peer_report *report) {
  const struct tg_peer *peer = report->peer;
  lua_createtable(L, 0, 12);  // .. peer
  set_slice(L, "address", peer->address);
  set_slice(L, "name", peer->authority);
  if (peer->zone.len) set_slice(L, "zone", peer->zone);
  set_slice(L, "state", tg_slice_cstr(report->state));
  set_slice(L, "id", tg_slice_cstr(peer->id));
  set_number(L, "weight", report->weight);
  set_number(L, "priority", report->priority);
  set_number(L, "active", report->active);
  set_number(L, "requests", (double)report->requests);
  set_number(L, "failures", (double)report->failures);
  if (report->latency > 0) set_number(L, "latency", report->latency);
  if (report->ejected_for > 0) set_number(L, "ejected_for", report->ejected_for);
}

/* The report is a userdata, so that it is freed if a table finds no memory. */
static int on_report_gc(lua_State *L) {
  tg_group_report_deinit(lua_touserdata(L, 1));
  return 0;
}

static struct tg_group_report *push_report(lua_State *L, struct tg_group *group) {
  struct tg_group_report *report = lua_newuserdata(L, sizeof *report);
  *report = (struct tg_group_report){0};
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_setmetatable(L, -2);
  if (tg_group_report(group, report)) tg_error_throw(L, "out_of_memory", "tg.upstream: no memory");
  return report;
}

/* peers(name) -> list */
static int l_peers(lua_State *L) {
  struct tg_group_report *report = push_report(L, check_group(L));
  lua_createtable(L, (int)report->count, 0);
  for (size_t i = 0; i < report->count; i++) {
    push_peer(L, &report->peers[i]);
    lua_rawseti(L, -2, (int)i + 1);
  }
  return 1;
}

/* status(name) -> table */
static int l_status(lua_State *L) {
  struct tg_group_report *report = push_report(L, check_group(L));
  lua_createtable(L, 0, 10);
  set_slice(L, "breaker", tg_slice_cstr(report->breaker));
  set_number(L, "active", report->active);
  set_number(L, "waiting", report->waiting);
  set_number(L, "limit", report->limit);
  set_number(L, "requests", (double)report->requests);
  set_number(L, "failures", (double)report->failures);
  set_number(L, "retries", (double)report->retries);
  set_number(L, "refused", (double)report->refused);
  set_number(L, "mirrored", (double)report->mirrored);
  set_number(L, "unmirrored", (double)report->unmirrored);
  return 1;
}

/* ---- changes ---- */

/* True where it was done, false for `no`. */
static int answer(lua_State *L, tg_status status, tg_status no) {
  if (status && status != no)
    tg_error_throw(L, tg_status_name(status), "tg.upstream: %s", tg_status_text(status));
  lua_pushboolean(L, status == TG_OK);
  return 1;
}

/* add(name, peer) */
static int l_add(lua_State *L) {
  struct tg_peer_spec spec;
  struct tg_group *group = check_group(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  tg_upstream_read_peer(L, 2, &spec);
  return answer(L, tg_roster_add(group, &spec), TG_EEXISTS);
}

/* remove(name, address) */
static int l_remove(lua_State *L) {
  struct tg_group *group = check_group(L);
  tg_status status = tg_roster_remove(group, check_text(L, 2));
  if (status == TG_EINVALID)
    tg_error_misuse(L,
                    "upstream:remove: '%s' is an address of a name: remove the name, or drain it",
                    lua_tostring(L, 2));
  return answer(L, status, TG_ENOT_FOUND);
}

/* drain(name, address, drain) */
static int l_drain(lua_State *L) {
  struct tg_group *group = check_group(L);
  return answer(L, tg_roster_drain(group, check_text(L, 2), lua_toboolean(L, 3)), TG_ENOT_FOUND);
}

/* weight(name, address, weight) */
static int l_weight(lua_State *L) {
  struct tg_group *group = check_group(L);
  uint32_t weight = (uint32_t)luaL_checknumber(L, 3);
  return answer(L, tg_roster_weigh(group, check_text(L, 2), weight), TG_ENOT_FOUND);
}

int tg_open_upstream(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"exists", l_exists}, {"names", l_names}, {"peers", l_peers},   {"status", l_status},
      {"add", l_add},       {"drain", l_drain}, {"remove", l_remove}, {"weight", l_weight}};
  lua_newtable(L);           // module
  lua_createtable(L, 0, 1);  // module meta
  lua_pushcfunction(L, on_report_gc);
  lua_setfield(L, -2, "__gc");
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    lua_pushvalue(L, -1);
    lua_pushcclosure(L, functions[i].func, 1);
    lua_setfield(L, -3, functions[i].name);
  }
  lua_pop(L, 1);
  return 1;
}
