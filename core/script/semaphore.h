/* Semaphores: at most so many at a time, in the order of asking. Places belong to no task. */
#ifndef TG_SCRIPT_SEMAPHORE_H
#define TG_SCRIPT_SEMAPHORE_H

#include "script/sync.h"

struct tg_semaphore {
  struct tg_sync sync;
  unsigned places, free;
};

extern const struct tg_sync_type tg_semaphore_type;

/* Pushes a new one with `places` (1 or more) free places. */
void tg_semaphore_push(lua_State *L, int meta, unsigned places);

/* The semaphore at stack index 1; raises misuse. */
struct tg_semaphore *tg_semaphore_check(lua_State *L, const char *method);

/* Gives a place back; the first who waits has it then. False when none was taken. */
TG_MUST_CHECK bool tg_semaphore_release(struct tg_semaphore *semaphore);

#endif
