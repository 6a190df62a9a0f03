/* Scopes as Lua sees them: what gather, spawn and their kin are made of.
 *
 * A nursery is a userdata that owns one tg_scope, opened inside the scope of the running task. It
 * must be waited for (await/scope_wait.c) before it goes; one that was dropped is cancelled, and
 * freed when its tasks have ended. */
#ifndef TG_SCRIPT_NURSERY_H
#define TG_SCRIPT_NURSERY_H

#include <lua.h>

#include "script/task.h"

#define TG_NURSERY_OBJECT "tg.scope"

struct tg_nursery {
  struct tg_scope scope;
  struct tg_op *waiter; /* a task waits for it to be empty */
  bool dropped;         /* its userdata is gone */
};

/* The nursery at a stack index; throws when it is none. */
struct tg_nursery *tg_nursery_check(lua_State *L, int index);

/* Adds the functions scope_new, scope_spawn, scope_run, scope_cancel, scope_alive and
 * defers to the table on top. */
void tg_nursery_open(lua_State *L);

#endif
