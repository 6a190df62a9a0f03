/* A byte stream as Lua holds it: sockets of tg.net, and the pipes of a process.
 *
 * The userdata owns a tg_duplex and is owned by the request, job or script that has made it: with
 * its end the stream is closed, unless s:detach() has moved it to the application. It is closed by
 * s:close() and by the collector, too. The methods are Lua functions
 * (lua/tidegate/_core/duplex.lua) over the awaitables duplex_read, duplex_write and duplex_close;
 * whoever pushes streams requires that file. */
#ifndef TG_AWAIT_DUPLEX_H
#define TG_AWAIT_DUPLEX_H

#include <lua.h>

#include "net/duplex.h"
#include "script/task.h"

#define TG_DUPLEX_OBJECT "tg.duplex"

struct tg_duplex_object {
  struct tg_owned owned;
  struct tg_duplex *duplex; /* NULL: closed */
  const char *noun;         /* what messages call it: "socket", "stdout" */
};

/* Pushes the userdata, which owns `duplex` from now on, whatever happens. `noun` is static. Returns
 * 0, or an error value's lua_error code with the error on top instead and the duplex closed: let go
 * of what else you hold, then lua_error. Throws nothing. */
TG_MUST_CHECK int tg_duplex_push(lua_State *L, struct tg_duplex *duplex, const char *noun);

/* The object at a stack index; throws when it is none. It may be closed. */
struct tg_duplex_object *tg_duplex_check(lua_State *L, int index);

/* Gives what `noun` names to the application, for detach methods; throws while the state is being
 * built, on a loop that is not its own. */
void tg_duplex_detach(lua_State *L, struct tg_owned *owned, const char *noun);

/* Throws `closed` for `method` of a closed object. */
__attribute__((noreturn)) void tg_duplex_throw_closed(lua_State *L, const char *noun,
                                                      const char *method);

#endif
