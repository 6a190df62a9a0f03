/* What waits in the queue of a worker pool, and is served by one worker then: a blocking exchange
 * (app/crossing.h) or a job (app/worker_job.h), whose first member this is. */
#ifndef TG_APP_WORKER_ITEM_H
#define TG_APP_WORKER_ITEM_H

#include <stdbool.h>

#include "base/list.h"

struct tg_worker;

struct tg_worker_item {
  struct tg_list link;      /* the pool's queue, under the pool's lock */
  struct tg_worker *worker; /* that took it, under the pool's lock */
  bool is_job;
};

#endif
