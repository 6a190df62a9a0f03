/* Signals that an application may handle (tg.on_signal): the way from the process to its states.
 * Main thread, but for the registration. */
#ifndef TG_APP_SIGNALS_H
#define TG_APP_SIGNALS_H

#include "base/status.h"

struct tg_process;
struct tg_vm;

/* host->watch_signal of a process that serves: loops get SIGUSR1 and SIGUSR2, workers none, and
 * SIGHUP is taken (TG_EEXISTS). */
TG_MUST_CHECK tg_status tg_signals_watch(struct tg_vm *vm, int number);

/* Tells every loop of it. */
void tg_signals_forward(struct tg_process *process, int number);

#endif
