/* The fake clock: it jumps when nothing else is under way, and waits with what is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop/loop.h"

#define HOUR (3600 * TG_SECOND)

struct rig {
  struct tg_loop loop;
  struct tg_loop_clock clock;
  int fired;
  uint64_t at[4];
};

struct alarm {
  struct tg_timer timer;
  struct rig *rig;
};

static int set_up(void **state) {
  struct rig *rig = calloc(1, sizeof *rig);
  if (!rig || tg_loop_init(&rig->loop, 0)) return -1;
  tg_loop_clock_init(&rig->clock);
  tg_loop_set_clock(&rig->loop, &rig->clock);
  *state = rig;
  return 0;
}

static int tear_down(void **state) {
  struct rig *rig = *state;
  tg_loop_deinit(&rig->loop);
  free(rig);
  return 0;
}

static void on_alarm(struct tg_timer *timer) {
  struct rig *rig = ((struct alarm *)timer)->rig;
  rig->at[rig->fired++] = tg_loop_time(&rig->loop);
}

static void set_alarm(struct rig *rig, struct alarm *alarm, uint64_t in) {
  *alarm = (struct alarm){.rig = rig};
  assert_int_equal(
      tg_timer_start(&rig->loop.timers, &alarm->timer, tg_loop_time(&rig->loop) + in, on_alarm),
      TG_OK);
}

static void turn_until(struct rig *rig, int fired) {
  while (rig->fired < fired) uv_run(&rig->loop.uv, UV_RUN_ONCE);
}

static void an_hour_takes_no_time(void **state) {
  struct rig *rig = *state;
  struct alarm hour, two;
  uint64_t begin = tg_loop_time(&rig->loop), wall = tg_loop_wall(&rig->loop);
  uint64_t real = tg_clock_now();
  set_alarm(rig, &two, 2 * HOUR);
  set_alarm(rig, &hour, HOUR);
  turn_until(rig, 2);
  assert_int_equal(rig->at[0], begin + HOUR);
  assert_int_equal(rig->at[1], begin + 2 * HOUR);
  assert_int_equal(tg_loop_wall(&rig->loop), wall + 2 * HOUR);
  assert_true(tg_clock_now() - real < 60 * TG_SECOND);
  assert_int_equal(begin % TG_SECOND, 0);
}

static void code_takes_no_time(void **state) {
  struct rig *rig = *state;
  struct alarm alarm;
  uint64_t begin = tg_loop_time(&rig->loop), real = tg_clock_now();
  while (tg_clock_now() - real < 2 * TG_MILLISECOND) continue;
  assert_int_equal(tg_loop_time(&rig->loop), begin);
  set_alarm(rig, &alarm, TG_SECOND);
  turn_until(rig, 1);
  assert_int_equal(rig->at[0], begin + TG_SECOND);
}

struct lasting_job {
  struct tg_loop_job job;
  struct rig *rig;
  int left;
};

static void on_job(struct tg_loop_job *job) {
  struct lasting_job *lasting = (struct lasting_job *)job;
  assert_int_equal(lasting->rig->fired, 0);
  if (--lasting->left) tg_loop_post(&lasting->rig->loop, job);
}

/* What is ready comes before what is due later. */
static void it_stands_while_jobs_are_left(void **state) {
  struct rig *rig = *state;
  struct alarm alarm;
  struct lasting_job lasting = {.rig = rig, .left = 100};
  tg_loop_job_init(&lasting.job, on_job);
  tg_loop_post(&rig->loop, &lasting.job);
  set_alarm(rig, &alarm, TG_MILLISECOND);
  turn_until(rig, 1);
  assert_int_equal(lasting.left, 0);
}

struct file_work {
  uv_work_t work;
  struct rig *rig;
  bool done;
};

static void work(uv_work_t *req) {
  (void)req;
  (void)usleep(20000); /* a slow disk */
}

static void on_worked(uv_work_t *req, int status) {
  struct file_work *file = (struct file_work *)req;
  assert_int_equal(status, 0);
  assert_int_equal(file->rig->fired, 0);
  file->done = true;
}

/* A request of libuv's pool: the hour waits for it. */
static void it_does_not_jump_over_a_request(void **state) {
  struct rig *rig = *state;
  struct alarm alarm;
  struct file_work file = {.rig = rig};
  uint64_t begin = tg_loop_time(&rig->loop);
  assert_int_equal(uv_queue_work(&rig->loop.uv, &file.work, work, on_worked), 0);
  assert_true(tg_loop_waits_outside(&rig->loop));
  set_alarm(rig, &alarm, HOUR);
  turn_until(rig, 1);
  assert_true(file.done);
  assert_int_equal(rig->at[0], begin + HOUR);
}

static void on_poll(uv_poll_t *poll, int status, int events) {
  (void)poll;
  (void)status;
  (void)events;
}

static void on_closed(uv_handle_t *handle) {
  *(bool *)handle->data = true;
}

/* A socket that stays silent: deadlines beside it come in real time, and in order. */
static void it_goes_while_a_handle_is_active(void **state) {
  struct rig *rig = *state;
  struct alarm soon, late;
  uv_poll_t poll;
  bool closed = false;
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  assert_int_equal(uv_poll_init(&rig->loop.uv, &poll, ends[0]), 0);
  uv_poll_start(&poll, UV_READABLE, on_poll);
  uint64_t begin = tg_loop_time(&rig->loop), real = tg_clock_now();
  set_alarm(rig, &late, 30 * TG_MILLISECOND);
  set_alarm(rig, &soon, 10 * TG_MILLISECOND);
  turn_until(rig, 2);
  assert_true(tg_clock_now() - real >= 30 * TG_MILLISECOND);
  assert_true(rig->at[0] >= begin + 10 * TG_MILLISECOND);
  assert_true(rig->at[1] >= begin + 30 * TG_MILLISECOND);
  uv_poll_stop(&poll);
  assert_false(tg_loop_waits_outside(&rig->loop));
  set_alarm(rig, &late, HOUR);
  turn_until(rig, 3); /* and jumps again */
  poll.data = &closed;
  uv_close((uv_handle_t *)&poll, on_closed);
  assert_true(tg_loop_waits_outside(&rig->loop));
  while (!closed) uv_run(&rig->loop.uv, UV_RUN_ONCE);
  close(ends[0]);
  close(ends[1]);
}

static void an_empty_loop_is_idle(void **state) {
  struct rig *rig = *state;
  struct alarm alarm;
  assert_true(tg_loop_idle(&rig->loop));
  uv_run(&rig->loop.uv, UV_RUN_ONCE); /* and does not wait for ever */
  set_alarm(rig, &alarm, TG_SECOND);
  assert_false(tg_loop_idle(&rig->loop));
  turn_until(rig, 1);
  assert_true(tg_loop_idle(&rig->loop));
}

static void it_never_goes_back(void **state) {
  struct rig *rig = *state;
  uint64_t begin = tg_loop_time(&rig->loop);
  tg_loop_clock_jump(&rig->clock, begin - 1);
  assert_int_equal(tg_loop_time(&rig->loop), begin);
  tg_loop_clock_go(&rig->clock);
  tg_loop_clock_go(&rig->clock);
  tg_loop_clock_jump(&rig->clock, begin);
  uint64_t stood = tg_loop_time(&rig->loop);
  assert_true(stood >= begin);
  assert_int_equal(tg_loop_time(&rig->loop), stood);
  tg_loop_clock_set_wall(&rig->clock, 5 * TG_SECOND);
  tg_loop_clock_jump(&rig->clock, stood + TG_SECOND);
  assert_int_equal(tg_loop_wall(&rig->loop), 6 * TG_SECOND);
}

static void it_can_be_made_real(void **state) {
  struct rig *rig = *state;
  struct alarm alarm;
  tg_loop_clock_set_real(&rig->clock, true);
  uint64_t real = tg_clock_now(), begin = tg_loop_time(&rig->loop);
  set_alarm(rig, &alarm, 20 * TG_MILLISECOND);
  turn_until(rig, 1);
  assert_true(tg_clock_now() - real >= 20 * TG_MILLISECOND);
  tg_loop_clock_jump(&rig->clock, begin + HOUR);
  assert_true(tg_loop_time(&rig->loop) >= begin + HOUR);
  uint64_t after = tg_loop_time(&rig->loop);
  while (tg_loop_time(&rig->loop) == after) continue; /* it goes on */
  tg_loop_clock_set_real(&rig->clock, false);
  after = tg_loop_time(&rig->loop);
  assert_true(after >= begin + HOUR && after < begin + HOUR + 60 * TG_SECOND);
  set_alarm(rig, &alarm, HOUR);
  turn_until(rig, 2);
  assert_int_equal(rig->at[1], after + HOUR);
}

/* Without a fake clock the loop shows the process's own. */
static void the_real_clock_is_the_default(void **state) {
  struct rig *rig = *state;
  tg_loop_set_clock(&rig->loop, NULL);
  uint64_t before = tg_clock_now(), shown = tg_loop_time(&rig->loop);
  assert_true(before <= shown && shown <= tg_clock_now());
  struct alarm alarm;
  set_alarm(rig, &alarm, 5 * TG_MILLISECOND);
  turn_until(rig, 1);
  assert_true(tg_clock_now() - before >= 5 * TG_MILLISECOND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(an_hour_takes_no_time),
      TEST(code_takes_no_time),
      TEST(it_stands_while_jobs_are_left),
      TEST(it_does_not_jump_over_a_request),
      TEST(it_goes_while_a_handle_is_active),
      TEST(an_empty_loop_is_idle),
      TEST(it_never_goes_back),
      TEST(the_real_clock_is_the_default),
      TEST(it_can_be_made_real),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
