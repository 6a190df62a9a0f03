/*
 * How C code becomes visible to Lua, and how the Lua half of the standard library travels in the
 * program.
 *
 * A file in core/bind/ is one module and says TG_MODULE(name) once; a file in core/await/ is one
 * awaitable and says TG_AWAITABLE(name) once. The build scans for these lines
 * (core/gen/generate.lua) and writes the tables declared here, so that adding a module is adding a
 * file. The `///` lines above a macro become the editor types.
 */
#ifndef TG_SCRIPT_MODULE_H
#define TG_SCRIPT_MODULE_H

#include <stdbool.h>
#include <stddef.h>

struct lua_State;

struct tg_registry_entry {
  const char *name; /* as Lua sees it; NULL ends the table */
  int (*open)(struct lua_State
                  *L); /* a module pushes its one table; an awaitable is the Lua function itself */
};

/* In the order of their names. */
extern const struct tg_registry_entry tg_registry_modules[];
extern const struct tg_registry_entry tg_registry_awaitables[];

/* One Lua file of lua/tidegate/. `bytes` is for luaL_loadbuffer with `chunkname`. */
struct tg_blob {
  const char *name;      /* for require: "tidegate._core.boot"; NULL ends the table */
  const char *chunkname; /* "@lua/tidegate/_core/boot.lua" */
  const unsigned char *bytes;
  size_t len;
  bool is_bytecode;
};

extern const struct tg_blob tg_blobs[];

/* One file of lua/tidegate/_assets/, which is served as it is. */
struct tg_asset {
  const char *name; /* "swagger-ui/swagger-ui.css"; NULL ends the table */
  const char *tag;  /* of 16 hexadecimal digits: another one for other bytes */
  const unsigned char *bytes;
  size_t len;
  bool is_gzip;
};

extern const struct tg_asset tg_assets[];

#define TG_MODULE(name)    int tg_open_##name(struct lua_State *L);
#define TG_AWAITABLE(name) int tg_await_##name(struct lua_State *L);

#endif
