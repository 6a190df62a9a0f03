/* Events: something has happened, and everybody who waits for it may go on. */
#ifndef TG_SCRIPT_EVENT_H
#define TG_SCRIPT_EVENT_H

#include "script/sync.h"

struct tg_event {
  struct tg_sync sync;
  bool set;
};

extern const struct tg_sync_type tg_event_type;

/* Pushes a new one, not set. */
void tg_event_push(lua_State *L, int meta);

/* The event at stack index 1; raises misuse. */
struct tg_event *tg_event_check(lua_State *L, const char *method);

/* All who wait go on, in their order. */
void tg_event_set(struct tg_event *event);

#endif
