/* The pool's size, what children of the process see of it, and waiting for what is on it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <dirent.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop/loop.h"
#include "loop/pool.h"

static int count_threads(void) {
  int count = 0;
  DIR *tasks = opendir("/proc/self/task");
  for (const struct dirent *entry; tasks && (entry = readdir(tasks));)
    count += entry->d_name[0] != '.';
  if (tasks) closedir(tasks);
  return count;
}

/* A process starts its pool once: each case is a child. Returns what `body` did. */
static int in_child(int (*body)(void)) {
  int status = -1;
  pid_t child = fork();
  if (child == 0) _exit(body());
  assert_true(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
  return WEXITSTATUS(status);
}

static int start_five(void) {
  int before = count_threads();
  unsetenv("UV_THREADPOOL_SIZE");
  tg_pool_start(tg_pool_set_size(5));
  return getenv("UV_THREADPOOL_SIZE") ? 100 : count_threads() - before;
}

static int start_given(void) {
  int before = count_threads();
  setenv("UV_THREADPOOL_SIZE", "3", 1);
  tg_pool_start(tg_pool_set_size(5));
  return getenv("UV_THREADPOOL_SIZE") ? count_threads() - before : 100;
}

static void size(void **state) {
  (void)state;
  /* A sanitizer has a thread of its own, in both. */
  int five = in_child(start_five), given = in_child(start_given);
  assert_in_range(given, 3, 4);
  assert_int_equal(five - given, 2);
}

static int gate[2];

static void on_pool(uv_work_t *work) {
  char byte;
  (void)work;
  while (read(gate[0], &byte, 1) < 0) continue;
}

static void on_back(uv_work_t *work, int status) {
  *(int *)work->data = 1 + status;
}

static void settling(void **state) {
  (void)state;
  struct tg_loop loop;
  uv_work_t work;
  int back = 0;
  work.data = &back;
  assert_int_equal(pipe(gate), 0);
  assert_int_equal(tg_loop_init(&loop, 0), TG_OK);
  assert_true(tg_pool_settle(&loop, 0));
  assert_int_equal(uv_queue_work(&loop.uv, &work, on_pool, on_back), 0);
  assert_false(tg_pool_settle(&loop, 20 * TG_MILLISECOND));
  assert_int_equal(back, 0);
  assert_int_equal(write(gate[1], "x", 1), 1);
  assert_true(tg_pool_settle(&loop, 60 * TG_SECOND));
  assert_int_equal(back, 1);
  tg_loop_deinit(&loop);
  close(gate[0]);
  close(gate[1]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(size),
      cmocka_unit_test(settling),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
