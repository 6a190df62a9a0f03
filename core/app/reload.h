/* From a wish to reload to a generation that serves on all loops at once, or to an error and no
 * change. tg_process_reload (app/process.h) is the door; all of it runs on the main thread. */
#ifndef TG_APP_RELOAD_H
#define TG_APP_RELOAD_H

#include "app/generation.h"

struct tg_process;

/* Fills in what a build of this process needs; the strings are borrowed from the process. */
void tg_reload_describe(struct tg_process *process, struct tg_build *build);

/* Every loop's next request is this generation's; the one before is retired. Takes the builder's
 * reference over. */
void tg_reload_publish(struct tg_process *process, struct tg_generation *generation);

/* Closes a generation that was never published. */
void tg_reload_discard(struct tg_process *process, struct tg_generation *generation);

/* Gives up the build under way, also the first one, because the process ends. */
void tg_reload_cancel(struct tg_process *process);

/* For the watcher: `owner` is the process. */
void tg_reload_on_changed(void *owner);

#endif
