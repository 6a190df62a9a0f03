/* The watchdog: one thread that sees when Lua keeps another thread for longer than its CPU budget,
 * and ends that step by a signal (script/watch.h); and has steps noted that take long. */
#ifndef TG_APP_WATCHDOG_H
#define TG_APP_WATCHDOG_H

#include "script/watch.h"

struct tg_watchdog;

/* NULL when memory or threads are gone. Installs the signal's handler for the process. */
struct tg_watchdog *tg_watchdog_new(void);

/* Ends the thread. Nobody may be watched any more. */
void tg_watchdog_free(struct tg_watchdog *watchdog);

/* From the thread that is to be watched, before its first step; `watch` must outlive the removal.
 */
void tg_watchdog_add(struct tg_watchdog *watchdog, struct tg_watch *watch);
void tg_watchdog_remove(struct tg_watchdog *watchdog, struct tg_watch *watch);

#endif
