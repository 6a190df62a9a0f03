/* Heavy jobs: few a turn, others in between, and none forgotten. */
#include "loop/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"

#define COUNT 20

struct heavy {
  struct tg_loop_job job;
  int order;
};

static struct tg_loop loop;
static struct heavy all[COUNT];
static int done, quick;

/* Longer than a turn has for all of them. */
static void on_heavy(struct tg_loop_job *job) {
  uint64_t end = tg_clock_now() + TG_LOOP_HEAVY_TIME + 1;
  while (tg_clock_now() < end) {
  }
  assert_int_equal(TG_CONTAINER(job, struct heavy, job)->order, done);
  done++;
}

static void on_quick(struct tg_loop_job *job) {
  if (++quick < 1000 && done < COUNT) tg_loop_post(&loop, job);
}

static void test_heavy_jobs_are_shared_out(void **state) {
  (void)state;
  struct tg_loop_job other;
  assert_int_equal(tg_loop_init(&loop, 0), 0);
  for (int i = 0; i < COUNT; i++) {
    all[i].order = i;
    tg_loop_job_init(&all[i].job, on_heavy);
    tg_loop_post_heavy(&loop, &all[i].job);
    tg_loop_post_heavy(&loop, &all[i].job); /* once */
  }
  assert_false(tg_loop_idle(&loop));
  tg_loop_job_init(&other, on_quick);
  tg_loop_post(&loop, &other);
  uv_run(&loop.uv, UV_RUN_NOWAIT);
  assert_int_equal(done, 1);
  while (done < COUNT) uv_run(&loop.uv, UV_RUN_ONCE);
  assert_true(quick >= COUNT / 3);
  uv_run(&loop.uv, UV_RUN_NOWAIT);
  assert_true(tg_loop_idle(&loop));
  tg_loop_deinit(&loop);
}

static void test_a_heavy_job_that_is_taken_back(void **state) {
  (void)state;
  done = 0;
  assert_int_equal(tg_loop_init(&loop, 0), 0);
  all[1].order = 0;
  for (int i = 0; i < 2; i++) tg_loop_post_heavy(&loop, &all[i].job);
  tg_loop_job_remove(&all[0].job);
  while (!done) uv_run(&loop.uv, UV_RUN_NOWAIT);
  assert_int_equal(done, 1);
  tg_loop_deinit(&loop);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_heavy_jobs_are_shared_out),
      cmocka_unit_test(test_a_heavy_job_that_is_taken_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
