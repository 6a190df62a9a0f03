/* The crossing of roads: an exchange whose route was found goes to the loop's own Lua state or to a
 * pool of workers, and so do the jobs of tg.blocking; those of tg.on_loop go from there to a loop.
 */
#ifndef TG_APP_DISPATCH_H
#define TG_APP_DISPATCH_H

#include "base/status.h"

struct tg_exchange;
struct tg_generation;
struct tg_job;
struct tg_process;
struct tg_vm;

/* For routing->handle: on the loop's thread. */
void tg_dispatch_exchange(struct tg_exchange *exchange);

/* For host->run_job; see script/job.h. */
TG_MUST_CHECK tg_status tg_dispatch_job(struct tg_vm *vm, struct tg_job *job);

/* For host->run_on_loop. */
TG_MUST_CHECK tg_status tg_dispatch_call(struct tg_vm *vm, struct tg_job *job);

/* Finds or makes the pools that a generation's configuration names, and writes their places into
 * its routes. Main thread, before the generation is published. */
void tg_dispatch_resolve_pools(struct tg_process *process, struct tg_generation *generation);

#endif
