/* A job (script/job.h) on its way from a worker to a loop and back: tg.on_loop.
 *
 * Two threads: the worker, which gives it and may drop it, and home, the loop. It holds its
 * generation, whose state on that loop runs it; where that state has ended, the job fails. */
#ifndef TG_APP_LOOP_CALL_H
#define TG_APP_LOOP_CALL_H

#include "loop/loop.h"
#include "script/job.h"

struct tg_generation;

/* Worker's thread: sends the job to the loop `home`, for the state of `generation` there. After
 * TG_OK the job is given; else (TG_ENOMEM, TG_EOVERLOAD: the loop has ended) it stays the caller's.
 * The worker's loop must live until the job is back or dropped, and home's mailbox as long as the
 * worker. */
TG_MUST_CHECK tg_status tg_loop_call_give(struct tg_generation *generation, struct tg_loop *home,
                                          struct tg_loop *worker, struct tg_job *job);

#endif
