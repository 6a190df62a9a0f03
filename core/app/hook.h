/* on_start and on_stop: how they are run, and how they are kept from running for ever.
 *
 * A hook runs on the thread that makes, or ends, its state: the builder's or a worker's. It may
 * suspend; the thread's loop is turned meanwhile, so that letters are opened, one of which may
 * cancel it. */
#ifndef TG_APP_HOOK_H
#define TG_APP_HOOK_H

#include "app/load_errors.h"
#include "script/vm.h"

struct tg_scope;

/* CPU time that the loading of one state, or a hook without a pause, may take. */
#define TG_LOAD_BUDGET (5 * TG_SECOND)

/* Where a thread's on_start can be reached while it suspends. */
struct tg_starting {
  struct tg_scope *scope; /* of the hook that runs; NULL: none does */
  bool cancelled;         /* none begins any more */
};

/* Cancels the on_start that runs, and all that would follow. The thread's own, from its loop. */
void tg_starting_cancel(struct tg_starting *starting, const char *reason);

struct tg_hook {
  int ref;                       /* the function, in the state's registry */
  const char *name, *setting;    /* for messages; the setting is the one that `most` comes from */
  uint64_t most;                 /* nanoseconds: then it is cancelled */
  struct tg_starting *starting;  /* may be NULL */
  struct tg_load_errors *errors; /* set where it fails */
  /* private */
  bool ended;
  tg_status status;
};

/* Runs a hook on the state's present loop, until it has ended with all that it has spawned. False:
 * it has failed. */
bool tg_hook_run(struct tg_hook *hook, struct tg_vm *vm);

#endif
