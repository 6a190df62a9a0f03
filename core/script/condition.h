/* Conditions: a task that holds a mutex lets go of it until another one says that something has
 * changed, and holds it again when it goes on.
 *
 * Who is notified moves from the condition's queue to the mutex's, and runs when it has the lock.
 * The userdata of the mutex lies in the environment table of the condition's, at [1]. */
#ifndef TG_SCRIPT_CONDITION_H
#define TG_SCRIPT_CONDITION_H

#include "script/mutex.h"

struct tg_condition {
  struct tg_sync sync;
  struct tg_mutex *mutex;
};

extern const struct tg_sync_type tg_condition_type;

/* Pushes a new one for the mutex at stack index `mutex`. */
void tg_condition_push(lua_State *L, int meta, int mutex);

/* The condition at stack index 1; raises misuse. */
struct tg_condition *tg_condition_check(lua_State *L, const char *method);

/* Notifies the first `count` who wait; returns how many there were. */
unsigned tg_condition_notify(struct tg_condition *condition, unsigned count);

/* Takes a waiter out of the condition's queue and has it wait for the mutex. */
void tg_condition_relock(struct tg_waiter *waiter, struct tg_mutex *mutex);

#endif
