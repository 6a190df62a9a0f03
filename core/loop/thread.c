/* Starting threads: stack size, blocked signals, name. */
#include "loop/thread.h"

#include <signal.h>
#include <stdio.h>

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
