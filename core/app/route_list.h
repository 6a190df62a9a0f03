/* From the Lua lists that load_app returns to the C structures of a generation. Functions for the
 * protected part of a build: they throw. */
#ifndef TG_APP_ROUTE_LIST_H
#define TG_APP_ROUTE_LIST_H

#include <lua.h>

#include "app/generation.h"

/* Fills generation->config from the checked table at `config`. */
void tg_route_list_read_config(lua_State *L, int config, struct tg_generation *generation);

/* Fills routes, tree and routing from the list at `routes`; conflicts are appended to the list at
 * `errors` as load_app writes them. */
void tg_route_list_build(lua_State *L, int routes, int errors, struct tg_generation *generation);

/* Keeps the functions of the list at `routes` in the state's registry, by route id. Throws when the
 * list differs from the generation's: the application is not the same in every state. */
void tg_route_list_keep_functions(lua_State *L, int routes, struct tg_generation *generation,
                                  struct tg_app_state *state);

#endif
