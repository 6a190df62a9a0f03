/* From the shape that _pure/proxy_spec.lua gives to the rule that a request is forwarded by. For
 * the loader of an application (app/forward_rules.h) and for tg.proxy. */
#ifndef TG_AWAIT_FORWARD_RULE_H
#define TG_AWAIT_FORWARD_RULE_H

#include <lua.h>

#include "http/route_tree.h"
#include "upstream/forward_order.h"

/* Fills *rule from the table at `index`, which was checked; what it points to lies in `arena`.
 * Pieces of the path that are parameters are looked up among `params`. Groups are not looked for.
 * Throws (memory). */
void tg_forward_rule_read(lua_State *L, int index, const struct tg_route_param *params,
                          uint32_t param_count, struct tg_arena *arena,
                          struct tg_forward_rule *rule);

#endif
