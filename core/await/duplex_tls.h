/* What a secured byte stream has agreed on, as Lua sees it. */
#ifndef TG_AWAIT_DUPLEX_TLS_H
#define TG_AWAIT_DUPLEX_TLS_H

#include <lua.h>

struct tg_duplex;

/* Pushes a table { version, cipher, sni, alpn, resumed, peer = { ... } }, with the fields of
 * req.tls; nil for a plain stream. */
int tg_duplex_tls_push(lua_State *L, const struct tg_duplex *duplex);

#endif
