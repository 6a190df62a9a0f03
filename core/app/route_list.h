/* From the Lua lists that load_app returns to the C structures of a generation. Functions for the
 * protected part of a build: they throw. */
#ifndef TG_APP_ROUTE_LIST_H
#define TG_APP_ROUTE_LIST_H

#include <lua.h>

#include "app/generation.h"

/* Fills generation->config from the checked table at `config`. */
void tg_route_list_read_config(lua_State *L, int config, struct tg_generation *generation);

/* Fills routes, tree and routing from the application at `app`: the list `routes`, and the function
 * `fallback`, if there is one. Conflicts are appended to the list at `errors` as load_app writes
 * them. */
void tg_route_list_build(lua_State *L, int app, int errors, struct tg_generation *generation);

/* Keeps the functions of the application at `app` in the state's registry, by route id, the
 * fallback behind the last one. Throws when the routes differ from the generation's: the
 * application is not the same in every state. */
void tg_route_list_keep_functions(lua_State *L, int app, const struct tg_generation *generation,
                                  struct tg_app_state *state);

#endif
