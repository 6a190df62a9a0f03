/* The op that waits for a job (script/job.h): the part that tg.blocking and tg.on_loop share. */
#ifndef TG_AWAIT_JOB_OP_H
#define TG_AWAIT_JOB_OP_H

#include "script/op.h"
#include "script/vm.h"

struct tg_job;

/* One of the two ways of a job; static storage. */
struct tg_job_way {
  struct tg_op_kind kind;  /* its name, and the two functions below */
  const char *where;       /* it is run: "a worker" */
  const char *overload;    /* what TG_EOVERLOAD means to the user */
  const char *unsupported; /* and TG_EUNSUPPORTED */
  /* Gives the job away; after an error it stays the caller's. */
  tg_status (*give)(struct tg_vm *vm, struct tg_job *job);
};

void tg_job_op_cancel(struct tg_op *op);
int tg_job_op_finish(struct tg_op *op, lua_State *L);

/* The body of the awaitable: function or "module.fn" at 1, the arguments behind it. */
int tg_job_op_start(lua_State *L, const struct tg_job_way *way);

#endif
