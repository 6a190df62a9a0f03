/* Where the hooks and tests of `tidegate test` run: what the runner in Lua
 * (lua/tidegate/_core/testing.lua) needs of C.
 *
 * A stage is a scope for one test, or for a block with its setup, and an application scope of its
 * own around it: whatever outlives the test is found there when the stage is closed. Stages are
 * nested like blocks. The runner itself is no task: it runs outside of the loop, and every `run`
 * turns the loop until its task has ended. */
#ifndef TG_APP_STAGE_H
#define TG_APP_STAGE_H

#include <lua.h>

#include "app/rehearsal.h"
#include "loop/clock.h"

struct tg_stages {
  struct tg_rehearsal *rehearsal;
  struct tg_loop_clock *clock;
  struct tg_stage *top; /* the innermost; NULL: none */
  uv_timer_t limit;     /* real time that something may take */
  uint64_t deadline;
  bool late;
};

tg_status tg_stages_init(struct tg_stages *stages, struct tg_rehearsal *rehearsal,
                         struct tg_loop_clock *clock);

/* Closes what is open; the loop must run once more before it is deinited. */
void tg_stages_deinit(struct tg_stages *stages);

/* Pushes the table of functions for the runner:
 *   open()                 a new stage inside the present one
 *   run(fn, seconds)       runs fn as a task of it: true | false, error, "failed" | "late" |
 *                          "stuck" | "lost". Late: it took so long in real time and was cancelled;
 *                          stuck: nothing could ever wake it; lost: it does not even end when it
 *                          is cancelled, and no other test can run
 *   close()                ends it; a list of what was left: {kind = "task", made =, waits =} or
 *                          {kind = "handle"}; nil, "lost" as above
 *   clock(real)            the clock for the next test: one that jumps, or the real one
 *   references()           number of values that C keeps in the registry
 *   elapsed()              real seconds since some moment
 *   requests               a table: begin, all, head, piece, close of rehearsal.h */
void tg_stages_push(lua_State *L, struct tg_stages *stages);

#endif
