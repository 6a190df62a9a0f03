/* From the key `proxy` of a route, checked by _pure/proxy_spec.lua, to the rule that forwards go
 * by, and from names of upstreams to groups. */
#ifndef TG_APP_FORWARD_RULES_H
#define TG_APP_FORWARD_RULES_H

#include <lua.h>

#include "app/generation.h"
#include "upstream/forward_order.h"

/* The rule of the table at `proxy`, with the route's parameters by name; in the generation's arena.
 * Throws (memory). */
struct tg_forward_rule *tg_forward_rules_read(lua_State *L, int proxy, const struct tg_route *route,
                                              struct tg_arena *arena);

/* Finds the groups of all rules of a generation. Main thread, before it is published. */
void tg_forward_rules_resolve(struct tg_generation *generation,
                              const struct tg_forwarder *forwarder);

#endif
