/* A counter from which threads take the numbers of states. */
#include "app/followers.h"

#include <stdlib.h>
#include <unistd.h>

#include "app/state_load.h"
#include "app/watchdog.h"
#include "loop/thread.h"

struct tg_follower {
  struct tg_vm *vm;
  struct tg_load_errors errors;
};

void tg_followers_init(struct tg_followers *followers, struct tg_generation *generation,
                       const struct tg_build *build) {
  *followers = (struct tg_followers){.generation = generation, .build = build, .wanted = 1};
  tg_pace_init(&followers->pace);
  atomic_init(&followers->next, 1);
}

/* After one that has failed none is begun. */
static void load_some(struct tg_followers *followers, struct tg_loop *loop,
                      struct tg_watch *watch) {
  const struct tg_build *build = followers->build;
  unsigned index;
  while ((index = atomic_fetch_add(&followers->next, 1)) < followers->wanted) {
    struct tg_follower *row = &followers->rows[index];
    struct tg_state_load load = {.generation = followers->generation,
                                 .host = build->host,
                                 .loop = loop,
                                 .role = build->loops ? TG_ROLE_LOOP : TG_ROLE_BUILDER,
                                 .index = index,
                                 .pace = &followers->pace,
                                 .watch = watch,
                                 .errors = &row->errors};
    row->vm = tg_state_load(&load);
    if (row->vm)
      row->vm->loop = build->loop;
    else
      atomic_store(&followers->next, followers->wanted);
  }
}

/* Without memory for a loop the builder has more to do. */
static void *on_thread(void *arg) {
  struct tg_followers *followers = arg;
  struct tg_watchdog *watchdog = followers->build->watchdog;
  struct tg_watch watch = {0};
  struct tg_loop loop;
  if (tg_loop_init(&loop, 0) != TG_OK) return NULL;
  if (watchdog) tg_watchdog_add(watchdog, &watch);
  load_some(followers, &loop, watchdog ? &watch : NULL);
  if (watchdog) tg_watchdog_remove(watchdog, &watch);
  tg_loop_deinit(&loop);
  return NULL;
}

void tg_followers_start(struct tg_followers *followers, unsigned wanted) {
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  unsigned most = cores > 0 ? (unsigned)cores / 2 : 0;
  if (most > wanted - 1) most = wanted - 1;
  followers->rows = calloc(wanted, sizeof *followers->rows);
  followers->threads = calloc(most + 1, sizeof *followers->threads);
  followers->wanted = wanted;
  if (!followers->rows || !followers->threads) return;
  for (unsigned i = 0; i < most; i++) {
    if (tg_thread_start(&followers->threads[i], "tg-follower", on_thread, followers) != TG_OK)
      break;
    followers->thread_count++;
  }
}

static bool collect_errors(struct tg_followers *followers, struct tg_load_errors *errors) {
  for (unsigned i = 1; i < followers->wanted; i++) {
    struct tg_follower *row = &followers->rows[i];
    if (!row->errors.count) continue;
    *errors = row->errors;
    row->errors = (struct tg_load_errors){0};
    return false;
  }
  return true;
}

bool tg_followers_finish(struct tg_followers *followers, bool well, struct tg_load_errors *errors) {
  tg_pace_end(&followers->pace, well);
  if (well && followers->rows)
    load_some(followers, followers->build->loop, followers->build->watch);
  for (unsigned i = 0; i < followers->thread_count; i++) pthread_join(followers->threads[i], NULL);
  followers->thread_count = 0;
  if (!well) return true;
  if (followers->rows) return collect_errors(followers, errors);
  tg_load_errors_set_text(errors, "out of memory");
  return false;
}

struct tg_vm *tg_followers_take(struct tg_followers *followers, unsigned index) {
  struct tg_vm *vm = followers->rows[index].vm;
  followers->rows[index].vm = NULL;
  return vm;
}

void tg_followers_deinit(struct tg_followers *followers) {
  for (unsigned i = 1; followers->rows && i < followers->wanted; i++) {
    if (followers->rows[i].vm) tg_generation_free_vm(followers->rows[i].vm);
    tg_load_errors_deinit(&followers->rows[i].errors);
  }
  free(followers->rows);
  free(followers->threads);
  tg_pace_deinit(&followers->pace);
}
