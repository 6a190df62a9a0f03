/* Starting threads: stack size, blocked signals, name; and their place in the kernel's scheduler.
 */
#include "loop/thread.h"

#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

/* Lengths of a turn (sched(7), SCHED_OTHER; honoured by Linux from 6.12 on): the shortest that
 * there is, and one that is long beside the usual 3 ms, but not so long that two patient threads
 * would share a core for long while another one is free. */
#define TURN_PROMPT  (TG_MILLISECOND / 10)
#define TURN_PATIENT (10 * TG_MILLISECOND)

/* struct sched_attr of sched_setattr(2), of which the C library knows nothing. */
struct scheduling {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

static void schedule(int policy, int nice, uint64_t turn) {
  struct scheduling wish = {
      .size = sizeof wish, .policy = (uint32_t)policy, .nice = nice, .runtime = turn};
  (void)syscall(SYS_sched_setattr, 0, &wish, 0);
}

void tg_thread_be_prompt(void) {
  schedule(SCHED_OTHER, getpriority(PRIO_PROCESS, 0), TURN_PROMPT);
}

void tg_thread_be_patient(void) {
  schedule(SCHED_BATCH, 19, TURN_PATIENT);
}

/* The mask is inherited, so that it is set here and put back, and no signal can come between the
 * thread's birth and its first line. */
static void block_signals(sigset_t *before) {
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGINT);
  sigaddset(&blocked, SIGTERM);
  sigaddset(&blocked, SIGHUP);
  sigaddset(&blocked, SIGUSR1);
  sigaddset(&blocked, SIGUSR2);
  sigaddset(&blocked, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &blocked, before);
}

tg_status tg_thread_start(pthread_t *thread, const char *name, void *(*fn)(void *arg), void *arg) {
  pthread_attr_t attr;
  int error = pthread_attr_init(&attr);
  if (error) return -error;
  error = pthread_attr_setstacksize(&attr, TG_THREAD_STACK);
  if (!error) {
    sigset_t before;
    block_signals(&before);
    error = pthread_create(thread, &attr, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
  }
  pthread_attr_destroy(&attr);
  if (error) return -error;
  if (name) {
    char text[16];
    snprintf(text, sizeof text, "%.15s", name);
    pthread_setname_np(*thread, text);
  }
  return TG_OK;
}
