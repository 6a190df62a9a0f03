/* Signals, the drain and its end. Every stop goes the same way: listeners close, what was begun is
 * finished, what is left at the deadline is cancelled, and what does not end even then is left. */
#include "app/shutdown.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/loop_thread.h"
#include "app/process.h"
#include "app/reload.h"
#include "app/signals.h"
#include "app/watcher.h"
#include "base/check.h"

static void on_last_resort(struct tg_timer *timer) {
  (void)timer;
  fputs("tidegate: some work did not end in time; ending without it\n", stderr);
  _exit(TG_EXIT_FAILED);
}

static void on_drain_over(struct tg_timer *timer) {
  struct tg_shutdown *shutdown = TG_CONTAINER(timer, struct tg_shutdown, drain);
  struct tg_process *process = shutdown->process;
  for (unsigned i = 0; i < process->loop_count; i++) tg_loop_thread_stop(process->loops[i], true);
  (void)!tg_timer_start(&process->control.timers, &shutdown->last, tg_clock_now() + 2 * TG_SECOND,
                        on_last_resort);
}

static void start_drain(struct tg_process *process) {
  struct tg_shutdown *shutdown = process->shutdown;
  process->stopping = true;
  tg_reload_cancel(process);
  if (process->watcher) tg_watcher_close(process->watcher);
  process->watcher = NULL;
  tg_process_say(process, TG_LOG_INFO, "stopping: finishing what was begun", NULL, NULL);
  for (unsigned i = 0; i < process->loop_count; i++) tg_loop_thread_stop(process->loops[i], false);
  (void)!tg_timer_start(&process->control.timers, &shutdown->drain,
                        tg_clock_now() + process->settings.timeouts_drain, on_drain_over);
}

void tg_process_stop(struct tg_process *process) {
  struct tg_shutdown *shutdown = process->shutdown;
  if (!process->stopping) {
    start_drain(process);
  } else if (tg_timer_active(&shutdown->drain)) {
    tg_timer_stop(&process->control.timers, &shutdown->drain);
    on_drain_over(&shutdown->drain);
  }
}

struct ended_letter {
  struct tg_letter letter;
  struct tg_process *process;
  struct tg_loop_thread *thread;
};

static void on_loop_ended(struct tg_letter *letter) {
  struct ended_letter *ended = TG_CONTAINER(letter, struct ended_letter, letter);
  struct tg_process *process = ended->process;
  pthread_join(ended->thread->thread, NULL);
  free(ended);
  if (--process->loops_left == 0) tg_loop_stop(&process->control);
}

void tg_process_loop_ended(struct tg_process *process, struct tg_loop_thread *thread) {
  struct ended_letter *ended = tg_check_calloc(1, sizeof *ended);
  *ended =
      (struct ended_letter){.letter.open = on_loop_ended, .process = process, .thread = thread};
  TG_CHECK(tg_mailbox_post(&process->control.mailbox, &ended->letter) == TG_OK);
}

/* ---- signals ---- */

static void on_signal(uv_signal_t *handle_, int number) {
  struct tg_process *process = handle_->data;
  switch (number) {
    case SIGTERM:
    case SIGINT: tg_process_stop(process); break;
    case SIGHUP:
      if (process->stopping) break;
      if (atomic_load(&process->current))
        tg_process_reload(process, NULL, NULL);
      else
        process->build_again = true; /* as soon as it serves */
      break;
    case SIGUSR1:
    case SIGUSR2: tg_signals_forward(process, number); break;
    default: break; /* SIGPIPE ends nothing */
  }
}

void tg_shutdown_open(struct tg_process *process, struct tg_shutdown *shutdown) {
  static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE};
  shutdown->process = process;
  process->shutdown = shutdown;
  for (int i = 0; i < TG_SHUTDOWN_SIGNALS; i++) {
    uv_signal_init(&process->control.uv, &shutdown->handles[i]);
    shutdown->handles[i].data = process;
    uv_signal_start(&shutdown->handles[i], on_signal, numbers[i]);
    uv_unref((uv_handle_t *)&shutdown->handles[i]);
  }
}

void tg_shutdown_close(struct tg_process *process, struct tg_shutdown *shutdown) {
  for (int i = 0; i < TG_SHUTDOWN_SIGNALS; i++)
    uv_close((uv_handle_t *)&shutdown->handles[i], NULL);
  tg_timer_stop(&process->control.timers, &shutdown->drain);
  tg_timer_stop(&process->control.timers, &shutdown->last);
}
