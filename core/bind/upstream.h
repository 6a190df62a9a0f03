/* Peers as Lua tables hold them: see _pure/upstreams.lua. */
#ifndef TG_BIND_UPSTREAM_H
#define TG_BIND_UPSTREAM_H

#include <lua.h>

#include "upstream/rules.h"

/* Reads a peer from the checked table at `peer`, whose texts it borrows. */
void tg_upstream_read_peer(lua_State *L, int peer, struct tg_peer_spec *out);

#endif
