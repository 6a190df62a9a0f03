/* See tls_settings.h. */
#include "await/tls_settings.h"

#include <lauxlib.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "net/tls_clients.h"
#include "script/error.h"
#include "script/vm.h"

#define OBJECT "tg.tls_settings"

struct settings {
  struct tg_tls_context *context; /* held */
};

static int l_gc(lua_State *L) {
  struct settings *settings = lua_touserdata(L, 1);
  if (settings->context) tg_tls_context_release(settings->context);
  settings->context = NULL;
  return 0;
}

static void push_class(lua_State *L) {        // ..
  if (!luaL_newmetatable(L, OBJECT)) return;  // .. meta
  lua_pushcfunction(L, l_gc);
  lua_setfield(L, -2, "__gc");
  lua_pushliteral(L, OBJECT);
  lua_setfield(L, -2, "__metatable");
}

/* A relative path is one of the application's folder. */
static const char *read_path(lua_State *L, const char *what, const char *key, const char *folder,
                             char path[PATH_MAX]) {
  lua_getfield(L, 1, key);  // options .. text
  const char *text = lua_tostring(L, -1);
  int len = 0;
  if (text)
    len = snprintf(path, PATH_MAX, "%s%s%s", *text == '/' ? "" : folder, *text == '/' ? "" : "/",
                   text);
  lua_pop(L, 1);
  if (len >= PATH_MAX) tg_error_throw(L, "invalid", "%s: tls.%s: the path is too long", what, key);
  return text ? path : NULL;
}

int tg_tls_settings_new(lua_State *L) {
  char ca[PATH_MAX], cert[PATH_MAX], key[PATH_MAX], why[TG_TLS_WHY] = "";
  struct tg_host *host = tg_vm_of(L)->host;
  struct tg_tls_client_options options = {.verify = true};
  const char *what = luaL_optstring(L, 2, "tg.http");
  lua_settop(L, 2);
  if (!host->tls_clients) tg_error_throw(L, "not_available", "%s: there is no TLS here", what);
  if (lua_istable(L, 1)) {
    const char *folder = host->app_dir ? host->app_dir : ".";
    options.ca_file = read_path(L, what, "ca", folder, ca);
    options.cert_file = read_path(L, what, "cert", folder, cert);
    options.key_file = read_path(L, what, "key", folder, key);
    lua_getfield(L, 1, "verify");  // options verify
    options.verify = lua_isnil(L, -1) || lua_toboolean(L, -1);
    lua_getfield(L, 1, "min");  // options verify min
    const char *min = lua_tostring(L, -1);
    if (min && strcmp(min, "1.3") == 0) options.min = TG_TLS_1_3;
  }
  struct settings *settings = lua_newuserdata(L, sizeof *settings);  // .. settings
  settings->context = NULL;
  push_class(L);
  lua_setmetatable(L, -2);
  tg_status status =
      tg_tls_clients_get(host->tls_clients, &options, why, sizeof why, &settings->context);
  if (status == TG_EINVALID) tg_error_throw(L, "tls", "%s: tls.%s", what, why);
  if (status) tg_error_throw(L, "out_of_memory", "%s: no memory", what);
  return 1;
}

struct tg_tls_context *tg_tls_settings_at(lua_State *L, int index) {
  if (lua_isnoneornil(L, index)) return NULL;
  struct settings *settings = luaL_checkudata(L, index, OBJECT);
  return settings->context;
}
