/* Looks at every watched thread forty times a second (or more often, where shorter steps count as
 * slow): two loads for a thread that is not in the same step as at the last look, and a reading of
 * its CPU clock for one that is. */
#include "app/watchdog.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/list.h"
#include "loop/thread.h"

#define LOOK_EVERY (25 * TG_MILLISECOND)
#define LOOK_LEAST (2 * TG_MILLISECOND)

struct seat {
  struct tg_list link;
  struct tg_watch *watch;
};

struct tg_watchdog {
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t wake;
  struct tg_list seats;
  uint64_t every;  /* time between two looks */
  uint64_t before; /* the look before this one */
  bool stopping;
};

static void on_signal(int number, siginfo_t *info, void *context) {
  (void)number;
  (void)context;
  if (info->si_code == SI_QUEUE && info->si_value.sival_ptr)
    tg_watch_strike(info->si_value.sival_ptr);
}

static uint64_t cpu_of(const struct tg_watch *watch) {
  clockid_t clock;
  struct timespec ts;
  if (pthread_getcpuclockid(watch->thread, &clock) != 0 || clock_gettime(clock, &ts) != 0) return 0;
  return (uint64_t)ts.tv_sec * TG_SECOND + (uint64_t)ts.tv_nsec;
}

static void send(struct tg_watch *watch) {
  union sigval value = {.sival_ptr = watch};
  (void)pthread_sigqueue(watch->thread, SIGURG, value);
}

/* A look early: what is noted in vain is forgotten at the end of the step, what is noted too late
 * never was. */
static bool looks_slow(const struct tg_watchdog *watchdog, const struct tg_watch *watch,
                       uint64_t now) {
  return watch->slow_after && now - watch->seen_since + watchdog->every / 2 >= watch->slow_after;
}

static void look(struct tg_watchdog *watchdog, struct tg_watch *watch, uint64_t now) {
  unsigned long turns = atomic_load_explicit(&watch->turns, memory_order_acquire);
  if (turns % 2 == 0) {
    watch->seen = 0;
    return;
  }
  if (turns != watch->seen) {
    watch->seen = turns;
    watch->seen_cpu = cpu_of(watch);
    watch->seen_since = watchdog->before;
    return;
  }
  if (looks_slow(watchdog, watch, now) &&
      atomic_load_explicit(&watch->slow_due, memory_order_relaxed) != turns) {
    atomic_store_explicit(&watch->slow_since, watch->seen_since, memory_order_relaxed);
    atomic_store_explicit(&watch->slow_due, turns, memory_order_relaxed);
    send(watch);
  }
  uint64_t budget = atomic_load_explicit(&watch->budget, memory_order_relaxed);
  uint64_t cpu = cpu_of(watch);
  if (cpu - watch->seen_cpu < budget) return;
  watch->seen_cpu = cpu; /* the next strike is due after another budget */
  atomic_store_explicit(&watch->due, turns, memory_order_relaxed);
  send(watch);
}

static void *on_thread(void *arg) {
  struct tg_watchdog *watchdog = arg;
  pthread_mutex_lock(&watchdog->lock);
  while (!watchdog->stopping) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t due = (uint64_t)until.tv_nsec + watchdog->every;
    until.tv_sec += (time_t)(due / TG_SECOND);
    until.tv_nsec = (long)(due % TG_SECOND);
    pthread_cond_timedwait(&watchdog->wake, &watchdog->lock, &until);
    uint64_t now = tg_clock_now();
    for (struct tg_list *link = watchdog->seats.next; link != &watchdog->seats; link = link->next)
      look(watchdog, TG_CONTAINER(link, struct seat, link)->watch, now);
    watchdog->before = now;
  }
  pthread_mutex_unlock(&watchdog->lock);
  return NULL;
}

struct tg_watchdog *tg_watchdog_new(void) {
  struct tg_watchdog *watchdog = calloc(1, sizeof *watchdog);
  if (!watchdog) return NULL;
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigemptyset(&action.sa_mask);
  sigaction(SIGURG, &action, NULL);
  tg_list_init(&watchdog->seats);
  watchdog->every = LOOK_EVERY;
  pthread_mutex_init(&watchdog->lock, NULL);
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(&watchdog->wake, &attr);
  pthread_condattr_destroy(&attr);
  if (tg_thread_start(&watchdog->thread, "tg-watchdog", on_thread, watchdog) == 0) return watchdog;
  free(watchdog);
  return NULL;
}

void tg_watchdog_free(struct tg_watchdog *watchdog) {
  pthread_mutex_lock(&watchdog->lock);
  watchdog->stopping = true;
  pthread_cond_signal(&watchdog->wake);
  pthread_mutex_unlock(&watchdog->lock);
  pthread_join(watchdog->thread, NULL);
  TG_CHECK(tg_list_empty(&watchdog->seats));
  pthread_cond_destroy(&watchdog->wake);
  pthread_mutex_destroy(&watchdog->lock);
  free(watchdog);
}

void tg_watchdog_add(struct tg_watchdog *watchdog, struct tg_watch *watch) {
  struct seat *seat = tg_check_calloc(1, sizeof *seat);
  seat->watch = watch;
  watch->thread = pthread_self();
  pthread_mutex_lock(&watchdog->lock);
  tg_list_append(&watchdog->seats, &seat->link);
  while (watch->slow_after && watchdog->every > watch->slow_after / 2 &&
         watchdog->every > LOOK_LEAST)
    watchdog->every /= 2;
  pthread_mutex_unlock(&watchdog->lock);
}

void tg_watchdog_remove(struct tg_watchdog *watchdog, struct tg_watch *watch) {
  pthread_mutex_lock(&watchdog->lock);
  for (struct tg_list *link = watchdog->seats.next; link != &watchdog->seats; link = link->next) {
    struct seat *seat = TG_CONTAINER(link, struct seat, link);
    if (seat->watch != watch) continue;
    tg_list_remove(link);
    free(seat);
    break;
  }
  pthread_mutex_unlock(&watchdog->lock);
}
