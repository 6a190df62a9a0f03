/* From the list of upstreams that _pure/upstreams.lua has checked to what upstream/ takes. */
#ifndef TG_APP_UPSTREAM_LIST_H
#define TG_APP_UPSTREAM_LIST_H

#include <lua.h>

#include "app/generation.h"

/* Fills generation->config.upstreams from the checked table at `config`; texts go into the
 * generation's arena. For the protected part of a build: throws. */
void tg_upstream_list_read(lua_State *L, int config, struct tg_generation *generation);

/* Has the calls of a loop, whose thread this is, go by the settings of a generation (its dns part
 * above all), where that has upstreams. */
void tg_upstream_list_serve(const struct tg_generation *generation, struct tg_loop *loop);

void tg_upstream_list_deinit(struct tg_config *config);

#endif
