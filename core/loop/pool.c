/* See pool.h. The variable is libuv's only way to be told a size; child processes shall not find it
 * in their environment. */
#include "loop/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "base/check.h"
#include "loop/loop.h"

static const char variable[] = "UV_THREADPOOL_SIZE";

static void on_pool(uv_work_t *work) {
  (void)work;
}

static void on_back(uv_work_t *work, int status) {
  (void)work;
  (void)status;
}

bool tg_pool_set_size(unsigned threads) {
  char size[16];
  if (getenv(variable)) return false;
  snprintf(size, sizeof size, "%u", threads);
  return setenv(variable, size, 1) == 0;
}

void tg_pool_start(bool is_set) {
  uv_loop_t loop;
  uv_work_t work;
  TG_CHECK(uv_loop_init(&loop) == 0);
  TG_CHECK(uv_queue_work(&loop, &work, on_pool, on_back) == 0);
  uv_run(&loop, UV_RUN_DEFAULT);
  TG_CHECK(uv_loop_close(&loop) == 0);
  if (is_set) unsetenv(variable);
}

static void run_job(uv_work_t *work) {
  struct tg_pool_job *job = TG_CONTAINER(work, struct tg_pool_job, work);
  job->run(job);
}

static void end_job(uv_work_t *work, int status) {
  (void)status; /* nobody cancels it */
  struct tg_pool_job *job = TG_CONTAINER(work, struct tg_pool_job, work);
  job->done(job);
}

tg_status tg_pool_submit(struct tg_loop *loop, struct tg_pool_job *job,
                         void (*run)(struct tg_pool_job *job),
                         void (*done)(struct tg_pool_job *job)) {
  job->run = run;
  job->done = done;
  return uv_queue_work(&loop->uv, &job->work, run_job, end_job);
}

static void on_due(struct tg_timer *timer) {
  (void)timer;
}

bool tg_pool_settle(struct tg_loop *loop, uint64_t most) {
  struct tg_timer timer = {0};
  uint64_t end = tg_clock_now() + most;
  if (!loop->uv.active_reqs.count) return true;
  TG_CHECK(tg_timer_start(&loop->timers, &timer, end, on_due) == TG_OK);
  while (loop->uv.active_reqs.count && tg_clock_now() < end) uv_run(&loop->uv, UV_RUN_ONCE);
  tg_timer_stop(&loop->timers, &timer);
  return !loop->uv.active_reqs.count;
}
