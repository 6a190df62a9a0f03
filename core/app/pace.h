/* How far the first state of a generation has come with its load, for those that follow it.
 *
 * The first one, the lead, compiles and checks file by file, and tells each step that went well;
 * the others take each of theirs behind it, on threads of their own. What the lead has written
 * before a step (bytecode, routes) may be read behind it. */
#ifndef TG_APP_PACE_H
#define TG_APP_PACE_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define TG_PACE_END UINT_MAX /* no step has that number: waits for the end */

struct tg_pace {
  pthread_mutex_t lock;
  pthread_cond_t moved;
  atomic_uint steps; /* done, and well */
  bool ended, well;
};

void tg_pace_init(struct tg_pace *pace);

/* Nobody waits any more. */
void tg_pace_deinit(struct tg_pace *pace);

/* The lead has done one more step; those that wait may hear of it some steps later. */
void tg_pace_step(struct tg_pace *pace);

/* No step will follow. Not `well`: the load is given up. Once. */
void tg_pace_end(struct tg_pace *pace, bool well);

/* Blocks until the lead has done `steps` steps, or has ended. False: it was given up, and there is
 * nothing to follow. */
bool tg_pace_wait(struct tg_pace *pace, unsigned steps);

#endif
