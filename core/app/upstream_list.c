/* Types and ranges are as _pure/upstreams.lua promises, so that only memory can fail here. What was
 * not said keeps its default (upstream/rules.c). */
#include "app/upstream_list.h"

#include <lauxlib.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "bind/upstream.h"
#include "net/tls_clients.h"
#include "script/error.h"
#include "script/vm.h"
#include "upstream/pool.h"

enum kind { SECONDS, COUNT, SHARE, FLAG, TEXT };

struct row {
  const char *key;
  enum kind kind;
  size_t offset, size;
};

#define ROW(key, kind, field) \
  { key, kind, offsetof(struct tg_rules, field), sizeof(((struct tg_rules *)NULL)->field) }

static const struct row rows[] = {
    ROW("hash_name", TEXT, hash_name),
    ROW("sticky.cookie", TEXT, sticky_cookie),
    ROW("slow_start", SECONDS, slow_start),
    ROW("timeouts.connect", SECONDS, timeouts.connect),
    ROW("timeouts.first_byte", SECONDS, timeouts.first_byte),
    ROW("timeouts.idle", SECONDS, timeouts.idle),
    ROW("timeouts.total", SECONDS, timeouts.total),
    ROW("retries", COUNT, retries),
    ROW("retry_budget", SHARE, retry_budget),
    ROW("hedge", SECONDS, hedge),
    ROW("max_requests", COUNT, max_requests),
    ROW("queue", COUNT, queue),
    ROW("queue_wait", SECONDS, queue_wait),
    ROW("zone", TEXT, zone),
    ROW("outlier.failures", COUNT, outlier.failures),
    ROW("outlier.eject", SECONDS, outlier.eject),
    ROW("outlier.most", SECONDS, outlier.most),
    ROW("breaker.errors", SHARE, breaker.errors),
    ROW("breaker.min", COUNT, breaker.min),
    ROW("breaker.window", SECONDS, breaker.window),
    ROW("breaker.open", SECONDS, breaker.open),
    ROW("breaker.probes", COUNT, breaker.probes),
    ROW("adaptive.least", COUNT, adaptive.least),
    ROW("adaptive.most", COUNT, adaptive.most),
    ROW("health.interval", SECONDS, health.interval),
    ROW("health.timeout", SECONDS, health.timeout),
    ROW("health.rise", COUNT, health.rise),
    ROW("health.fall", COUNT, health.fall),
    ROW("health.tcp", FLAG, health.tcp),
    ROW("health.path", TEXT, health.path),
    ROW("health.host", TEXT, health.host),
    ROW("health.status_least", COUNT, health.status_least),
    ROW("health.status_most", COUNT, health.status_most),
    ROW("dns.least", SECONDS, dns.least),
    ROW("dns.most", SECONDS, dns.most),
    ROW("tls.name", TEXT, tls_name),
};

static void store(lua_State *L, const struct row *row, struct tg_rules *rules) {
  char *field = (char *)rules + row->offset;
  double value = lua_tonumber(L, -1);
  uint64_t time = (uint64_t)(value * 1e9 + 0.5);
  unsigned count = (unsigned)value;
  bool flag = lua_toboolean(L, -1);
  switch (row->kind) {
    case SECONDS: memcpy(field, &time, sizeof time); break;
    case COUNT: memcpy(field, &count, sizeof count); break;
    case SHARE: memcpy(field, &value, sizeof value); break;
    case FLAG: memcpy(field, &flag, sizeof flag); break;
    case TEXT: strncpy(field, lua_tostring(L, -1), row->size - 1); break;
  }
}

static bool field_is(lua_State *L, int table, const char *name, const char *text) {
  lua_getfield(L, table, name);
  bool is = lua_isstring(L, -1) && strcmp(lua_tostring(L, -1), text) == 0;
  lua_pop(L, 1);
  return is;
}

static int find_word(lua_State *L, int table, const char *name, const char *const *words) {
  for (int i = 0; words[i]; i++)
    if (field_is(L, table, name, words[i])) return i;
  return 0;
}

static void read_rules(lua_State *L, int table, struct tg_rules *rules) {
  static const char *const balances[] = {"round_robin", "least_requests", "ewma",
                                         "random",      "hash",           NULL};
  static const char *const hashes[] = {"", "header", "cookie", "query", "path", "ip", NULL};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    lua_getfield(L, table, rows[i].key);
    if (!lua_isnil(L, -1)) store(L, &rows[i], rules);
    lua_pop(L, 1);
  }
  rules->secure = field_is(L, table, "scheme", "https");
  rules->balance = (enum tg_balance)find_word(L, table, "balance", balances);
  rules->hash_by = (enum tg_hash_by)find_word(L, table, "hash_by", hashes);
  lua_getfield(L, table, "dns.family");
  int family = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  rules->dns.family = family == 4 ? AF_INET : family == 6 ? AF_INET6 : 0;
  if (rules->adaptive.least && rules->adaptive.most < rules->adaptive.least)
    rules->adaptive.most = rules->adaptive.least;
  if (rules->outlier.most < rules->outlier.eject) rules->outlier.most = rules->outlier.eject;
  if (rules->dns.most < rules->dns.least) rules->dns.most = rules->dns.least;
}

static struct tg_slice text_field(lua_State *L, int table, const char *name) {
  struct tg_slice text = {"", 0};
  lua_getfield(L, table, name);
  if (lua_type(L, -1) == LUA_TSTRING) text.ptr = lua_tolstring(L, -1, &text.len);
  lua_pop(L, 1); /* the table holds it */
  return text;
}

/* A relative path is one of the application's folder. */
static const char *path_field(lua_State *L, int table, const char *key, char path[PATH_MAX]) {
  const char *folder = tg_vm_of(L)->host->app_dir;
  struct tg_slice text = text_field(L, table, key);
  bool whole = text.len && text.ptr[0] == '/';
  if (!text.len) return NULL;
  int len = snprintf(path, PATH_MAX, "%s%s%s", whole || !folder ? "" : folder,
                     whole || !folder ? "" : "/", text.ptr);
  if (len >= PATH_MAX) tg_error_misuse(L, "%s: the path is too long", key);
  return path;
}

/* Files are read here, on the builder's thread, so that a reload fails where they are no good. */
static void read_tls(lua_State *L, int table, const char *name, struct tg_group_spec *spec) {
  char ca[PATH_MAX], cert[PATH_MAX], key[PATH_MAX], why[TG_TLS_WHY] = "";
  struct tg_tls_clients *clients = tg_vm_of(L)->host->tls_clients;
  if (!spec->rules->secure) return;
  if (!clients) tg_error_misuse(L, "there is no TLS here");
  struct tg_tls_client_options options = {
      .ca_file = path_field(L, table, "tls.ca", ca),
      .cert_file = path_field(L, table, "tls.cert", cert),
      .key_file = path_field(L, table, "tls.key", key),
  };
  lua_getfield(L, table, "tls.verify");
  options.verify = lua_isnil(L, -1) || lua_toboolean(L, -1);
  lua_pop(L, 1);
  tg_status status = tg_tls_clients_get(clients, &options, why, sizeof why, &spec->rules->tls);
  if (status == TG_EINVALID) tg_error_misuse(L, "tidegate.lua: upstreams.%s.tls.%s", name, why);
  if (status) tg_error_misuse(L, "not enough memory");
}

static struct tg_slice keep(lua_State *L, struct tg_arena *arena, struct tg_slice text) {
  struct tg_slice copy = tg_arena_copy(arena, text);
  if (!copy.ptr) tg_error_misuse(L, "not enough memory");
  return copy;
}

/* Pushes the text and borrows it: the path of a unix socket may be relative, too. */
static struct tg_slice whole_address(lua_State *L, struct tg_slice address) {
  const char *folder = tg_vm_of(L)->host->app_dir;
  bool relative = tg_slice_starts(address, TG_SLICE("unix:")) && address.ptr[5] != '/';
  if (relative && folder)
    lua_pushfstring(L, "unix:%s/%s", folder, address.ptr + 5);
  else
    lua_pushlstring(L, address.ptr, address.len);
  return tg_slice(lua_tostring(L, -1), lua_objlen(L, -1));
}

static void read_peers(lua_State *L, int group, struct tg_arena *arena, struct tg_group_spec *out) {
  lua_getfield(L, group, "peers");  // .. peers
  size_t count = lua_objlen(L, -1);
  out->peers = calloc(count + 1, sizeof *out->peers);
  if (!out->peers) tg_error_misuse(L, "not enough memory");
  for (size_t i = 0; i < count; i++) {
    struct tg_peer_spec *peer = &out->peers[out->peer_count++];
    lua_rawgeti(L, -1, (int)i + 1);  // .. peers peer
    tg_upstream_read_peer(L, lua_gettop(L), peer);
    peer->address = keep(L, arena, whole_address(L, peer->address));
    lua_pop(L, 1);
    peer->zone = keep(L, arena, peer->zone);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

void tg_upstream_list_read(lua_State *L, int config, struct tg_generation *generation) {
  struct tg_config *out = &generation->config;
  lua_getfield(L, config, "upstreams");  // .. upstreams
  size_t count = lua_istable(L, -1) ? lua_objlen(L, -1) : 0;
  out->upstreams = calloc(count + 1, sizeof *out->upstreams);
  if (!out->upstreams) tg_error_misuse(L, "not enough memory");
  for (size_t i = 0; i < count; i++) {
    struct tg_group_spec *spec = &out->upstreams[out->upstream_count++];
    lua_rawgeti(L, -1, (int)i + 1);  // .. upstreams group
    int group = lua_gettop(L);
    spec->rules = tg_rules_new();
    if (!spec->rules) tg_error_misuse(L, "not enough memory");
    spec->name = keep(L, &generation->arena, text_field(L, group, "name"));
    read_peers(L, group, &generation->arena, spec);
    lua_getfield(L, group, "rules");  // .. upstreams group rules
    read_rules(L, lua_gettop(L), spec->rules);
    lua_getfield(L, group, "name");  // .. upstreams group rules name
    read_tls(L, group + 1, lua_tostring(L, -1), spec);
    lua_settop(L, group - 1);
  }
  lua_pop(L, 1);
}

void tg_upstream_list_serve(const struct tg_generation *generation, struct tg_loop *loop) {
  const struct tg_config *config = &generation->config;
  if (config->upstream_count) /* without memory by the defaults */
    (void)!tg_link_pool_configure(loop, &config->settings, generation->number);
}

void tg_upstream_list_deinit(struct tg_config *config) {
  for (size_t i = 0; i < config->upstream_count; i++) {
    free(config->upstreams[i].peers);
    if (config->upstreams[i].rules) tg_rules_release(config->upstreams[i].rules);
  }
  free(config->upstreams);
}
