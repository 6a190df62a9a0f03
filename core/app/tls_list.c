/* See tls_list.h. Which keys there are, and of what types, _pure/listen.lua has seen to. */
#include "app/tls_list.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script/error.h"

/* ---- reading ---- */

static void *take(lua_State *L, struct tg_arena *arena, size_t size) {
  void *memory = tg_arena_alloc(arena, size);
  if (!memory) tg_error_misuse(L, "not enough memory");
  return memory;
}

/* The folder that paths begin at: that of the file that says them. */
static struct tg_slice folder_of(const struct tg_generation *generation) {
  const char *path = generation->config.path, *last = path ? strrchr(path, '/') : NULL;
  if (path && !last) return TG_SLICE(".");
  return last ? tg_slice(path, (size_t)(last - path)) : tg_slice_cstr(generation->bundle->dir);
}

/* The path at `name` of the table on top, or NULL. */
static const char *read_path(lua_State *L, const char *name, struct tg_generation *generation) {
  size_t len = 0;
  lua_getfield(L, -1, name);  // .. path
  const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
  char *path = NULL;
  if (text) {
    struct tg_slice folder = text[0] == '/' ? tg_slice("", 0) : folder_of(generation);
    size_t before = folder.len ? folder.len + 1 : 0;
    path = take(L, &generation->arena, before + len + 1);
    if (before) {
      memcpy(path, folder.ptr, folder.len);
      path[folder.len] = '/';
    }
    memcpy(path + before, text, len + 1);
  }
  lua_pop(L, 1);
  return path;
}

static bool is_word(lua_State *L, const char *name, const char *word) {
  lua_getfield(L, -1, name);
  bool is = lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), word) == 0;
  lua_pop(L, 1);
  return is;
}

static void read_spec(lua_State *L, struct tg_generation *generation,
                      struct tg_tls_spec *spec) {  // .. tls
  spec->min = is_word(L, "min", "1.3") ? TG_TLS_1_3 : TG_TLS_1_2;
  spec->keylog_file = read_path(L, "keylog", generation);
  lua_getfield(L, -1, "certificates");  // .. tls certificates
  spec->count = lua_objlen(L, -1);
  spec->certificates = take(L, &generation->arena, (spec->count + 1) * sizeof *spec->certificates);
  for (size_t i = 0; i < spec->count; i++) {
    lua_rawgeti(L, -1, (int)i + 1);  // .. tls certificates certificate
    spec->certificates[i] = (struct tg_tls_certificate){
        .cert_file = read_path(L, "cert", generation),
        .key_file = read_path(L, "key", generation),
        .ocsp_file = read_path(L, "ocsp", generation),
        .client_ca_file = read_path(L, "client_ca", generation),
        .client_optional = is_word(L, "client", "optional"),
    };
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

void tg_tls_list_read(lua_State *L, int config, struct tg_generation *generation) {
  struct tg_config *out = &generation->config;
  lua_getfield(L, config, "tls");  // .. list
  size_t count = lua_istable(L, -1) ? lua_objlen(L, -1) : 0;
  out->tls = calloc(count + 1, sizeof *out->tls);
  if (!out->tls) tg_error_misuse(L, "not enough memory");
  out->tls_count = count;
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, -1, (int)i + 1);  // .. list tls
    if (lua_istable(L, -1)) read_spec(L, generation, &out->tls[i]);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

/* ---- contexts ---- */

tg_status tg_tls_list_make(const struct tg_tls_spec *spec, size_t number,
                           struct tg_tls_tickets *tickets, char why[TG_TLS_WHY],
                           struct tg_tls_context **context) {
  char reason[TG_TLS_WHY - 32] = "";
  struct tg_tls_server_options options = {.certificates = spec->certificates,
                                          .count = spec->count,
                                          .min = spec->min,
                                          .keylog_file = spec->keylog_file,
                                          .tickets = tickets};
  tg_status status = tg_tls_context_new_server(&options, reason, sizeof reason, context);
  if (status)
    snprintf(why, TG_TLS_WHY, "listen[%zu].tls%s%s", number, reason[0] == '[' ? "" : ".", reason);
  return status;
}

bool tg_tls_list_open(struct tg_generation *generation, const struct tg_build *build,
                      struct tg_load_errors *errors) {
  struct tg_config *config = &generation->config;
  char why[TG_TLS_WHY] = "";
  for (size_t i = 0; build->opens_tls && i < config->tls_count; i++) {
    struct tg_tls_spec *spec = &config->tls[i];
    if (!spec->count) continue;
    tg_status status = TG_EINVALID;
    if (spec->keylog_file && !build->host->dev)
      snprintf(why, sizeof why, "listen[%zu].tls.keylog is for `tidegate dev` alone", i + 1);
    else
      status = tg_tls_list_make(spec, i + 1, build->tickets, why, &spec->context);
    if (status == TG_OK) continue;
    tg_load_errors_set_text(errors, why);
    return false;
  }
  return true;
}

void tg_tls_list_deinit(struct tg_config *config) {
  for (size_t i = 0; i < config->tls_count; i++) tg_tls_context_release(config->tls[i].context);
  free(config->tls);
}
