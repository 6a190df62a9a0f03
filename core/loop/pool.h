/* libuv's pool of threads, on which files are read and written for all loops and workers.
 *
 * libuv starts it at the first use, with four threads, from whatever thread that use comes, and
 * with that thread's priority: were it a worker's, files would wait behind every busy loop. So it
 * is started on purpose. */
#ifndef TG_LOOP_POOL_H
#define TG_LOOP_POOL_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/status.h"

struct tg_loop;

/* A piece of work for one of its threads; embedded in what it is about. */
struct tg_pool_job {
  uv_work_t work;
  void (*run)(struct tg_pool_job *job);
  void (*done)(struct tg_pool_job *job);
};

/* Calls `run` on a thread of the pool, then `done` on the loop's, which may free the job. An error
 * where neither will be called. */
TG_MUST_CHECK tg_status tg_pool_submit(struct tg_loop *loop, struct tg_pool_job *job,
                                       void (*run)(struct tg_pool_job *job),
                                       void (*done)(struct tg_pool_job *job));

/* Says how many threads it will have, unless UV_THREADPOOL_SIZE in the environment says so. Before
 * there are other threads: it changes the environment. True: tg_pool_start has to put that back. */
bool tg_pool_set_size(unsigned threads);

/* Starts it, from the thread whose priority it shall have. `is_set` is what tg_pool_set_size said;
 * the variable was the last of the environment and goes without moving any other, so that threads
 * may read others meanwhile. */
void tg_pool_start(bool is_set);

/* Runs a loop that serves nobody any more until the pool has done all of its work, for `most`
 * nanoseconds. False: a disk keeps a thread for longer; the loop cannot be closed. */
bool tg_pool_settle(struct tg_loop *loop, uint64_t most);

#endif
