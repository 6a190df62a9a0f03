/* Barriers: nobody goes on before all have come. Used again and again; one who is cancelled while
 * it waits has not come. */
#ifndef TG_SCRIPT_BARRIER_H
#define TG_SCRIPT_BARRIER_H

#include "script/sync.h"

struct tg_barrier {
  struct tg_sync sync;
  unsigned parties;
};

extern const struct tg_sync_type tg_barrier_type;

/* Pushes a new one for `parties` tasks, 1 or more. */
void tg_barrier_push(lua_State *L, int meta, unsigned parties);

/* The barrier at stack index 1; raises misuse. */
struct tg_barrier *tg_barrier_check(lua_State *L, const char *method);

#endif
