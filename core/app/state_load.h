/* Loading the application into one Lua state: the first of a generation, which compiles and checks,
 * or one of those that load what came out. */
#ifndef TG_APP_STATE_LOAD_H
#define TG_APP_STATE_LOAD_H

#include "app/generation.h"
#include "app/pace.h"

struct tg_state_load {
  struct tg_generation *generation;
  struct tg_host *host;
  struct tg_loop *loop; /* of the thread that loads; the caller may give the state another one */
  enum tg_role role;
  unsigned index;
  bool lead;              /* the first state: fills the generation, and its bundle's bytecode */
  struct tg_pace *pace;   /* told by the lead, who ends it; followed by others. NULL, for others:
                             the generation is complete */
  struct tg_watch *watch; /* of this thread: ends a file that loads for ever; may be NULL */
  struct tg_load_errors *errors; /* empty; set where the load fails by itself */
  /* The lead's: config is filled in. Called once, where tidegate.lua has no error; must not throw.
   */
  void (*configured)(void *owner);
  void *owner;
  /* private */
  struct tg_vm *vm;
  unsigned steps;
  bool given_up; /* the lead was */
};

/* Makes a state of the generation, which holds a reference; no hook has run. NULL where that
 * fails: with errors, or without any where the lead has failed. */
struct tg_vm *tg_state_load(struct tg_state_load *load);

#endif
