/* The states of a generation besides the first one, loaded while that one is.
 *
 * Threads that live as long as the load follow the lead (pace.h) file by file; half of the cores,
 * for what serves meanwhile needs the others. What they have not begun when the lead has ended, the
 * builder's own thread loads like them. Each state has a loop of its thread for that time, and then
 * the builder's. */
#ifndef TG_APP_FOLLOWERS_H
#define TG_APP_FOLLOWERS_H

#include "app/generation.h"
#include "app/pace.h"

struct tg_followers {
  struct tg_pace pace; /* for the lead's load */
  /* private */
  struct tg_generation *generation;
  const struct tg_build *build;
  unsigned wanted;          /* states, with the lead */
  atomic_uint next;         /* the first one that nobody has begun */
  struct tg_follower *rows; /* by index; the lead's is unused */
  pthread_t *threads;
  unsigned thread_count;
};

void tg_followers_init(struct tg_followers *followers, struct tg_generation *generation,
                       const struct tg_build *build);

/* So many states are wanted, with the lead: begins with the others, where there are cores for that.
 * The lead's thread, once; never throws. */
void tg_followers_start(struct tg_followers *followers, unsigned wanted);

/* The lead has ended; not `well`: those that follow it give up. Loads what is left, and waits for
 * the threads. False with *errors, where it was well and another state does not load. */
bool tg_followers_finish(struct tg_followers *followers, bool well, struct tg_load_errors *errors);

/* Gives away a state that has loaded; NULL where there is none. */
struct tg_vm *tg_followers_take(struct tg_followers *followers, unsigned index);

/* Closes the states that were not taken. */
void tg_followers_deinit(struct tg_followers *followers);

#endif
