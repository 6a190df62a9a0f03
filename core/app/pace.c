/* A counter that is read without the lock, and a condition for those who have caught up. They are
 * woken up once in some steps: a follower is quicker than the lead, and a wake-up for each file
 * would cost the lead more than the follower gains by it. */
#include "app/pace.h"

#define STRIDE 16u

void tg_pace_init(struct tg_pace *pace) {
  pthread_mutex_init(&pace->lock, NULL);
  pthread_cond_init(&pace->moved, NULL);
  atomic_init(&pace->steps, 0);
  pace->ended = pace->well = false;
}

void tg_pace_deinit(struct tg_pace *pace) {
  pthread_cond_destroy(&pace->moved);
  pthread_mutex_destroy(&pace->lock);
}

void tg_pace_step(struct tg_pace *pace) {
  unsigned before = atomic_fetch_add_explicit(&pace->steps, 1, memory_order_release);
  if (before % STRIDE != 0) return; /* the first one is told at once */
  pthread_mutex_lock(&pace->lock);
  pthread_cond_broadcast(&pace->moved);
  pthread_mutex_unlock(&pace->lock);
}

void tg_pace_end(struct tg_pace *pace, bool well) {
  pthread_mutex_lock(&pace->lock);
  pace->ended = true;
  pace->well = well;
  pthread_cond_broadcast(&pace->moved);
  pthread_mutex_unlock(&pace->lock);
}

static bool is_done(struct tg_pace *pace, unsigned steps) {
  return atomic_load_explicit(&pace->steps, memory_order_acquire) >= steps;
}

bool tg_pace_wait(struct tg_pace *pace, unsigned steps) {
  if (is_done(pace, steps)) return true;
  pthread_mutex_lock(&pace->lock);
  while (!pace->ended && !is_done(pace, steps)) pthread_cond_wait(&pace->moved, &pace->lock);
  bool well = !pace->ended || pace->well;
  pthread_mutex_unlock(&pace->lock);
  return well;
}
