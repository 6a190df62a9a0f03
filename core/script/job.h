/* A call that runs on another thread for a task that waits: on a worker's (tg.blocking), or from
 * there on a loop's (tg.on_loop).
 *
 * A job has two ends. The giver (await/job_op.c, on the thread of the task) fills it and gives it
 * away by host->run_job or run_on_loop; from then on it is the taker's (app/). The taker has the
 * other thread start it (tg_job_start), and calls `back` on the giver's thread when it has ended:
 * it is the giver's again then. A giver that wants it no more calls `drop` instead, once: the job
 * is the taker's for good, `back` is not called, and the taker frees it in the end. What crosses is
 * bytes:
 * script/values.h for arguments and results, bytecode for a function, text for an error. */
#ifndef TG_SCRIPT_JOB_H
#define TG_SCRIPT_JOB_H

#include <stdatomic.h>

#include "base/buffer.h"
#include "script/error.h"
#include "script/task.h"
#include "script/vm.h"

struct tg_job {
  /* written by the giver before it gives the job away */
  struct tg_buffer function; /* "module.fn", or bytecode */
  bool is_bytecode;
  struct tg_buffer values; /* the arguments; in the end the results */
  uint64_t cpu_budget;     /* nanoseconds between two suspensions */
  void (*back)(struct tg_job *job);
  void *giver;
  /* the taker's; `drop` is called on the giver's thread */
  void (*drop)(struct tg_job *job);
  void *taker;
  atomic_bool dropped; /* set by the taker: nobody waits; the runner may look at any time */
  /* the outcome, written before it comes back */
  tg_status status;           /* TG_OK: results; TG_ESCRIPT: see `error`; else the core's own */
  struct tg_error_view error; /* owns its buffers */
  /* the runner's, while it runs */
  struct tg_vm *vm; /* NULL before it was started */
  bool running;
  struct tg_scope scope;
  struct tg_task *task;
  void (*ended)(struct tg_job *job);
  void *runner;
};

/* NULL when memory is gone. */
struct tg_job *tg_job_new(void);
void tg_job_free(struct tg_job *job);

/* Makes an error the outcome; `format` by printf's rules. */
__attribute__((format(printf, 3, 4))) void tg_job_fail(struct tg_job *job, const char *code,
                                                       const char *format, ...);

/* Runner's thread, outside of any task: runs it as a task of `vm`, and calls `ended` when that and
 * all that it has spawned have ended, maybe at once. A worker's state runs one at a time. */
void tg_job_start(struct tg_job *job, struct tg_vm *vm, void (*ended)(struct tg_job *job),
                  void *runner);

/* Runner's thread: cancels it, if it runs. */
void tg_job_cancel(struct tg_job *job);

/* Throws where the function at `index` cannot cross to `where` ("a worker"): one of C, or one with
 * upvalues. */
void tg_job_check_function(lua_State *L, int index, const char *where);

/* Adds the functions of _core/blocking.lua to the table on top. */
void tg_job_open(lua_State *L);

#endif
