/* The TLS settings of a client as Lua holds them: a userdata with a context. */
#ifndef TG_AWAIT_TLS_SETTINGS_H
#define TG_AWAIT_TLS_SETTINGS_H

#include <lua.h>

struct tg_tls_context;

/* tls(options|nil [, what]) -> settings: { ca=, cert=, key=, verify=, min= }; throws `tls` where a
 * file is no good, with `what` ("tg.http") before the message. Files are read here, in the program
 * only once. */
int tg_tls_settings_new(lua_State *L);

/* The context of the value at a stack index, borrowed; NULL where it is nil. */
struct tg_tls_context *tg_tls_settings_at(lua_State *L, int index);

#endif
