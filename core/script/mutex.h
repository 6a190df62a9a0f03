/* Mutexes: one task at a time, in the order of asking.
 *
 * A locked mutex belongs to the task that locked it, whatever coroutine of that task asks, and to
 * the functions that the task has deferred. Its end unlocks it, too: then that is logged, as the
 * mistake that it is, and the next who waits has it. */
#ifndef TG_SCRIPT_MUTEX_H
#define TG_SCRIPT_MUTEX_H

#include "script/sync.h"
#include "script/task.h"

struct tg_mutex {
  struct tg_sync sync;
  struct tg_task *holder; /* NULL: free */
  struct tg_list link;    /* while it is locked: in the state's list of such */
  char made[64];          /* place of the call that made it */
};

extern const struct tg_sync_type tg_mutex_type;

/* Pushes a new one. */
void tg_mutex_push(lua_State *L, int meta);

/* For __gc. */
void tg_mutex_deinit(struct tg_mutex *mutex);

/* The mutex at stack index 1; raises misuse. */
struct tg_mutex *tg_mutex_check(lua_State *L, const char *method);

/* Does the running task hold it? */
bool tg_mutex_held(const struct tg_mutex *mutex);

/* Throws `deadlock`. */
__attribute__((noreturn)) void tg_mutex_refuse_again(lua_State *L, const char *method);

/* Throws `deadlock` where the running task holds it already. */
void tg_mutex_check_not_held(lua_State *L, const struct tg_mutex *mutex, const char *method);

/* Throws `not_owner` unless the running task holds it. */
void tg_mutex_check_held(lua_State *L, const struct tg_mutex *mutex, const char *method);

/* Locks a free one for a task. */
void tg_mutex_give(struct tg_mutex *mutex, struct tg_task *task);

/* Unlocks those that a task has left locked at its end; for task.c. */
void tg_mutex_release_left(struct tg_task *task);

/* Unlocks it; the first who waits holds it then. */
void tg_mutex_release(struct tg_mutex *mutex);

#endif
