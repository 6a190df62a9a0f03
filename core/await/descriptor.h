/* A listening or a UDP socket as Lua holds it, owned by its request, job or script as a byte stream
 * is. lua/tidegate/net.lua makes listeners and UDP sockets of it. */
#ifndef TG_AWAIT_DESCRIPTOR_H
#define TG_AWAIT_DESCRIPTOR_H

#include <lua.h>
#include <sys/stat.h>

#include "net/address.h"
#include "net/descriptor.h"
#include "script/task.h"

#define TG_DESCRIPTOR_OBJECT "tg.descriptor"

struct tg_descriptor_object {
  struct tg_owned owned;
  struct tg_descriptor *descriptor; /* NULL: closed */
  const char *noun;                 /* "listener", "udp socket" */
  struct tg_address path;           /* of a unix socket that we have bound: removed at the end */
  dev_t device;
  ino_t inode;
};

/* Pushes the userdata, which owns `fd` from now on, whatever happens; `bound` is the unix socket
 * that ends with it, or NULL. `noun` is static. Throws. */
struct tg_descriptor_object *tg_descriptor_push(lua_State *L, int fd, const char *noun,
                                                const struct tg_address *bound);

/* Throws `no_task` where no task runs: a state that is only being checked must not open sockets. */
void tg_descriptor_need_task(lua_State *L, const char *what);

/* The open object at a stack index, which no other task waits for in that way; throws `closed`,
 * `busy`, or an error of misuse. `what` names the call. */
struct tg_descriptor *tg_descriptor_check(lua_State *L, int index, const char *what, bool writing);

#endif
