/* How the process is told to end, and how it does. Main thread. tg_process_stop (app/process.h)
 * begins it. */
#ifndef TG_APP_SHUTDOWN_H
#define TG_APP_SHUTDOWN_H

#include <uv.h>

#include "loop/timer.h"

struct tg_process;

#define TG_SHUTDOWN_SIGNALS 6

struct tg_shutdown {
  uv_signal_t handles[TG_SHUTDOWN_SIGNALS];
  struct tg_process *process;
  struct tg_timer drain;
  struct tg_timer last;
};

/* Starts listening for SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2 and SIGPIPE on the control loop.
 */
void tg_shutdown_open(struct tg_process *process, struct tg_shutdown *shutdown);

/* Stops listening and all timers. */
void tg_shutdown_close(struct tg_process *process, struct tg_shutdown *shutdown);

#endif
