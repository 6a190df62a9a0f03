/* tg.blocking with the real thing around it: a loop with a state of its own, workers, sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/worker.h"
#include "app/worker_job.h"
#include "worker_rig.h"

static const char routes[] =
    "local tg = require 'tidegate'\n"
    "local function gate(path) local f = assert(io.open(path)) f:read(1) f:close() return 'x' end\n"
    "local function watch(path)\n"
    "  local tg = require 'tidegate'\n"
    "  local f = assert(io.open(path)) f:read(1) f:close()\n"
    "  tg.shared('t'):set('cancelled', tostring(tg.cancelled()))\n"
    "end\n"
    "local function fails() error('boom') end\n"
    "local function say(f, ...)\n"
    "  local ok, err = pcall(f, ...)\n"
    "  return tostring(ok) .. ' ' .. (ok and '' or err.code .. ': ' .. err.message)\n"
    "end\n"
    "return {\n"
    "['GET /add'] = function() return tostring(tg.blocking(function(a, b)\n"
    "  return a + b end, 1, 2)) end,\n"
    "['GET /values'] = function()\n"
    "  local shared = { 1, 2 }\n"
    "  local n, a, b, c, d = select('#', tg.blocking(function(...) return ... end, nil, nil)),\n"
    "    tg.blocking(function(t, s, ...) t.same = t.a == t.b t.a[1] = 5\n"
    "      return t, s .. '\\0', true, select('#', ...) end, { a = shared, b = shared }, '\\0x')\n"
    "  return table.concat({ n, a.a[1], tostring(a.same), tostring(a.a == a.b), #b, tostring(c), "
    "d,\n"
    "    shared[1], select('#', tg.blocking(function() end)) }, ' ')\n"
    "end,\n"
    "['GET /role'] = function() return tg.blocking(function()\n"
    "  local tg = require 'tidegate' tg.sleep(0.001)\n"
    "  local task = tg.spawn(function() tg.sleep(0.001) return tg.role end)\n"
    "  tg.defer(function() tg.shared('t'):set('deferred', 'yes') end)\n"
    "  return task:join() .. ' ' .. tg.blocking(function()\n"
    "  return require('tidegate').role end) end) end,\n"
    "['GET /named'] = function() return tg.blocking('string.rep', 'ab', 2) end,\n"
    "['GET /error'] = function()\n"
    "  local ok, err = pcall(function() return (tg.blocking(fails)) end)\n"
    "  local near = err.traceback:find('in a worker', 1, true)\n"
    "  return tostring(err.message:find('index.lua:%d+: boom') ~= nil) .. ' ' .. err.code .. ' ' "
    "..\n"
    "    tostring(err.traceback:find('index.lua') < near) .. ' ' ..\n"
    "    tostring(err.traceback:find('index.lua', near) ~= nil)\n"
    "end,\n"
    "['GET /object'] = function() return say(tg.blocking, function()\n"
    "  error({ code = 'teapot', message = 'short and stout' }) end) end,\n"
    "['GET /abort'] = function() return tg.blocking(function()\n"
    "  require('tidegate').abort(404, 'no tea', { ['x-reason'] = 'gone' }) end) end,\n"
    "['GET /upvalue'] = function() return say(tg.blocking, function() return gate end) end,\n"
    "['GET /upvalue-tg'] = function() return say(tg.blocking, function() return tg end) end,\n"
    "['GET /c'] = function() return say(tg.blocking, string.rep) end,\n"
    "['GET /argument'] = function() return say(tg.blocking, function() end, 1, { a = { print } }) "
    "end,\n"
    "['GET /result'] = function() return say(tg.blocking, function()\n"
    "  return 1, { db = function() end } end) end,\n"
    "['GET /none'] = function() return say(tg.blocking, 'os.nothing') end,\n"
    "['GET /no-module'] = function() return (say(tg.blocking, 'no.such'):gsub('\\n.*', '')) end,\n"
    "['GET /no-name'] = function() return say(tg.blocking, 'x') end,\n"
    "['GET /misuse'] = function() return (select(2, pcall(tg.blocking, 5))) end,\n"
    "['GET /bytecode'] = function() local f = tg.blocking(function()\n"
    "  return (select(2, load(string.dump(function() end)))) end) return f end,\n"
    "['GET /global'] = function() return say(tg.blocking, function() surprise = 1 end) end,\n"
    "['GET /gate'] = function() return tg.blocking(gate, GATE) end,\n"
    "['GET /busy'] = function() return tg.blocking(gate, GATE) end,\n"
    "['GET /cancel'] = function()\n"
    "  local task = tg.spawn(function() tg.blocking(watch, GATE) end)\n"
    "  tg.shared('t'):set('ready', 1)\n"
    "  while not tg.shared('t'):get('go') do tg.sleep(0.001) end\n"
    "  task:cancel() return say(task.join, task)\n"
    "end,\n"
    "['GET /go'] = function() tg.shared('t'):set('go', true) return 'x' end,\n"
    "['GET /cancelled'] = function() return tg.shared('t'):get('cancelled') or '' end,\n"
    "['GET /asleep'] = function() return tg.blocking(function()\n"
    "  require('tidegate').sleep(60) end) end,\n"
    "['GET /nap'] = { timeout = 0.02, run = function() return tg.blocking(function()\n"
    "  require('tidegate').sleep(60) end) end },\n"
    "['GET /count'] = { blocking = true, run = function()\n"
    "  return tostring(tg.shared('t'):incr('n', 1)) end },\n"
    "['GET /late'] = { timeout = 0.2, run = function() return tg.blocking(gate, GATE) end },\n"
    "['GET /both'] = function() return table.concat({ tg.gather(\n"
    "  function() return tg.blocking(function() return 'a' end) end,\n"
    "  function() return tg.blocking(function() return 'b' end) end) }) end,\n"
    "['GET /again'] = function() for _ = 1, 20 do tg.blocking(function() end) end return 'x' end,\n"
    "}\n";

static tg_status run_job(struct tg_vm *vm, struct tg_job *job) {
  struct rig *rig = vm->host->process;
  struct tg_app_state *state = vm->owner;
  return tg_worker_job_give(rig->pool, state->generation, vm->loop, job);
}

static void start_with(struct rig *rig, unsigned size, unsigned queue, uint64_t max_wait,
                       const char *config) {
  char *error = NULL;
  rig_start(rig, size, queue, max_wait, config, routes);
  rig->host.process = rig;
  rig->host.run_job = run_job;
  rig->host.look = tg_worker_look;
  /* as in the program: built on another loop, then given to the one that runs it */
  rig->vm = tg_generation_new_vm(rig->generation, &rig->host, &rig->builder, TG_ROLE_LOOP, 0, NULL,
                                 &error);
  if (error) fprintf(stderr, "%s\n", error);
  assert_non_null(rig->vm);
  rig->vm->loop = &rig->loop;
}

static void start(struct rig *rig, unsigned size, unsigned queue, uint64_t max_wait) {
  start_with(rig, size, queue, max_wait, "return {}");
}

static void expect(int fd, int status, const char *body) {
  struct rig_answer answer;
  rig_read(fd, &answer);
  if (body) assert_string_equal(answer.body, body);
  assert_int_equal(answer.status, status);
  free(answer.body);
}

static void ask(int fd, const char *path, int status, const char *body) {
  rig_request(fd, "GET", path);
  expect(fd, status, body);
}

static void until(struct rig *rig, unsigned busy, unsigned queued) {
  struct tg_worker_counters counters;
  uint64_t end = tg_clock_now() + 30 * TG_SECOND;
  do {
    tg_worker_pool_count(rig->pool, &counters);
    if (counters.busy == busy && counters.queued == queued) return;
    poll(NULL, 0, 1);
  } while (tg_clock_now() < end);
  fail_msg("busy %u, queued %u", counters.busy, counters.queued);
}

/* Asks until the answer is `body`. */
static void ask_until(int fd, const char *path, const char *body) {
  struct rig_answer answer;
  uint64_t end = tg_clock_now() + 30 * TG_SECOND;
  bool same;
  do {
    rig_ask(fd, path, &answer);
    same = strcmp(answer.body, body) == 0;
    free(answer.body);
  } while (!same && tg_clock_now() < end);
  assert_true(same);
}

static void test_values_cross_and_come_back(void **state) {
  struct rig rig;
  (void)state;
  start(&rig, 2, 8, 5 * TG_SECOND);
  int fd = rig_connect(&rig);
  ask(fd, "/add", 200, "3");
  ask(fd, "/values", 200, "2 5 true true 3 true 0 1 0");
  ask(fd, "/role", 200, "worker worker");
  ask(fd, "/named", 200, "abab");
  ask(fd, "/both", 200, "ab");
  close(fd);
  rig_stop(&rig);
}

static void test_errors_come_back_as_objects(void **state) {
  struct rig rig;
  struct rig_answer answer;
  (void)state;
  start(&rig, 1, 8, 5 * TG_SECOND);
  int fd = rig_connect(&rig);
  ask(fd, "/error", 200, "true error true true");
  ask(fd, "/object", 200, "false teapot: short and stout");
  rig_ask(fd, "/abort", &answer);
  assert_int_equal(answer.status, 404);
  assert_non_null(strstr(answer.head, "x-reason: gone\r\n"));
  assert_non_null(strstr(answer.body, "no tea"));
  free(answer.body);
  ask(fd, "/none", 200, "false not_found: tg.blocking: 'os.nothing' is no function (nil)");
  ask(fd, "/no-module", 200, "false not_found: tg.blocking: module 'no' not found:");
  ask(fd, "/no-name", 200,
      "false not_found: tg.blocking: 'x' names no function; say \"module.fn\"");
  rig_ask(fd, "/global", &answer);
  assert_non_null(strstr(answer.body, "global_write: 'surprise'"));
  free(answer.body);
  close(fd);
  rig_stop(&rig);
}

static void test_what_cannot_cross_is_refused_by_name(void **state) {
  struct rig rig;
  struct rig_answer answer;
  struct tg_worker_counters counters;
  (void)state;
  start(&rig, 1, 8, 5 * TG_SECOND);
  int fd = rig_connect(&rig);
  rig_ask(fd, "/upvalue", &answer);
  assert_non_null(strstr(answer.body, "false upvalue: 'gate' (line "));
  assert_non_null(strstr(answer.body,
                         ") cannot cross to a worker; pass it as data or use "
                         "\"mod.fn\""));
  free(answer.body);
  rig_ask(fd, "/upvalue-tg", &answer);
  assert_non_null(strstr(answer.body, "say local tg = require \"tidegate\""));
  free(answer.body);
  rig_ask(fd, "/c", &answer);
  assert_non_null(strstr(answer.body, "false cannot_cross: a function of C"));
  free(answer.body);
  ask(fd, "/argument", 200,
      "false cannot_cross: argument 2.a[1]: a function cannot cross to a worker");
  rig_ask(fd, "/misuse", &answer);
  assert_non_null(strstr(answer.body, "a function, or \"module.fn\" expected"));
  free(answer.body);
  tg_worker_pool_count(rig.pool, &counters);
  assert_int_equal(counters.started, 0); /* nothing was started for any of these */
  ask(fd, "/result", 200, "false cannot_cross: result 2.db: a function cannot cross from a worker");
  ask(fd, "/bytecode", 200, "bytecode: only source text is loaded");
  close(fd);
  rig_stop(&rig);
}

static void test_a_full_queue_and_a_long_wait_are_overload(void **state) {
  struct rig rig;
  struct rig_answer answer;
  (void)state;
  start(&rig, 1, 1, 30 * TG_SECOND);
  int first = rig_connect(&rig), second = rig_connect(&rig);
  rig_request(first, "GET", "/gate");
  int gate = rig_reach_gate(&rig);
  struct tg_worker_limits limits = {.size = 1, .queue = 1, .max_wait = 20 * TG_MILLISECOND};
  tg_worker_pool_set_limits(rig.pool, &limits);
  ask(second, "/add", 503, NULL); /* after max_wait */
  until(&rig, 1, 0);
  limits.queue = 0;
  tg_worker_pool_set_limits(rig.pool, &limits);
  rig_ask(second, "/add", &answer);
  assert_int_equal(answer.status, 503);
  assert_non_null(strstr(answer.head, "Retry-After: "));
  free(answer.body);
  rig_open_gate(gate);
  expect(first, 200, "x");
  ask(second, "/again", 200, "x"); /* the slot is free as soon as the result is there */
  struct tg_worker_counters counters;
  tg_worker_pool_count(rig.pool, &counters);
  assert_int_equal(counters.refused, 2);
  assert_int_equal(counters.done, 21);
  close(first);
  close(second);
  rig_stop(&rig);
}

/* The waiter goes on at once; the slot is kept; tg.cancelled() in the worker says so. */
static void test_a_cancelled_waiter_leaves_the_worker_alone(void **state) {
  struct rig rig;
  (void)state;
  start(&rig, 1, 8, 30 * TG_SECOND);
  int first = rig_connect(&rig), second = rig_connect(&rig);
  rig_request(first, "GET", "/cancel");
  int gate = rig_reach_gate(&rig);
  ask(second, "/go", 200, "x");
  expect(first, 200, "false cancelled: the task was cancelled (cancelled)");
  rig_request(second, "GET", "/count");
  until(&rig, 1, 1);
  rig_open_gate(gate);
  expect(second, 200, "1");
  ask(first, "/cancelled", 200, "true");
  close(first);
  close(second);
  rig_stop(&rig);
}

static void test_deadlines_and_clients_that_go(void **state) {
  struct rig rig;
  (void)state;
  start(&rig, 1, 8, 30 * TG_SECOND);
  int fd = rig_connect(&rig), waits = rig_connect_tcp(&rig);
  rig_request(fd, "GET", "/late");
  int gate = rig_reach_gate(&rig);
  expect(fd, 504, NULL);
  rig_request(waits, "GET", "/add");
  until(&rig, 1, 1);
  rig_reset(waits);
  until(&rig, 1, 0); /* what was queued is there no more */
  rig_open_gate(gate);
  until(&rig, 0, 0);
  waits = rig_connect_tcp(&rig);
  rig_request(waits, "GET", "/asleep");
  until(&rig, 1, 0);
  rig_reset(waits);
  until(&rig, 0, 0); /* a job that is asleep is woken */
  ask(fd, "/add", 200, "3");
  close(fd);
  rig_stop(&rig);
}

static void free_vm_here(struct rig *rig, void *arg) {
  (void)arg;
  TG_CHECK(rig->vm->task_count == 0);
  tg_generation_free_vm(rig->vm);
  rig->vm = NULL;
}

/* The state of the waiter is gone, and a newer generation serves, while the job runs. */
static void test_a_job_keeps_its_generation(void **state) {
  struct rig rig;
  (void)state;
  start(&rig, 1, 8, 30 * TG_SECOND);
  int fd = rig_connect(&rig);
  rig_request(fd, "GET", "/late");
  int gate = rig_reach_gate(&rig);
  expect(fd, 504, NULL);
  struct tg_generation *old = rig.generation, *next = rig_build(&rig, 2);
  tg_generation_hold(old);
  close(fd);
  fd = rig_connect(&rig);
  ask(fd, "/go", 200, "x"); /* the connection before is closed and has let go */
  rig_send(&rig, free_vm_here, NULL);
  rig_send(&rig, rig_publish_here, next);
  tg_worker_pool_retire(rig.pool, next);
  assert_true(atomic_load(&old->refs) > 1);
  rig_open_gate(gate);
  uint64_t end = tg_clock_now() + 30 * TG_SECOND;
  while (atomic_load(&old->refs) > 1 && tg_clock_now() < end) poll(NULL, 0, 1);
  assert_int_equal(atomic_load(&old->refs), 1);
  tg_generation_release(old);
  ask(fd, "/count", 200, "1");
  close(fd);
  rig_stop(&rig);
}

static void test_a_state_that_does_not_start_is_an_error(void **state) {
  static const char config[] =
      "local tg = require 'tidegate'\n"
      "return { on_start = function() if tg.role == 'worker' then error('not here') end end }\n";
  struct rig rig;
  (void)state;
  start_with(&rig, 1, 8, 5 * TG_SECOND, config);
  int fd = rig_connect(&rig);
  struct rig_answer answer;
  rig_ask(fd, "/object", &answer);
  assert_non_null(strstr(answer.body, "false worker: a worker could not load its state: "));
  assert_non_null(strstr(answer.body, "not here"));
  free(answer.body);
  close(fd);
  rig_stop(&rig);
}

/* Closing turns away what waits and cancels what can be cancelled. */
static void test_closing_with_jobs_of_every_kind(void **state) {
  struct rig rig;
  (void)state;
  start(&rig, 2, 8, 30 * TG_SECOND);
  int stuck = rig_connect(&rig), asleep = rig_connect(&rig), waiting = rig_connect(&rig);
  rig_request(stuck, "GET", "/gate");
  int gate = rig_reach_gate(&rig);
  rig_request(asleep, "GET", "/asleep");
  until(&rig, 2, 0);
  rig_request(waiting, "GET", "/add");
  until(&rig, 2, 1);
  assert_false(tg_worker_pool_close(rig.pool, 50 * TG_MILLISECOND));
  expect(waiting, 503, NULL);
  expect(asleep, 503, NULL);
  rig_open_gate(gate);
  expect(stuck, 200, "x");
  assert_true(tg_worker_pool_close(rig.pool, 30 * TG_SECOND));
  rig.pool = NULL;
  close(stuck);
  close(asleep);
  close(waiting);
  rig_stop(&rig);
}

/* ---- many at once, some of whom go */

static void *ask_often(void *arg) {
  static const char *const paths[] = {"/add", "/values", "/error", "/both", "/count", "/role"};
  struct rig *rig = arg;
  int fd = rig_connect(rig);
  for (int i = 0; i < 60; i++) {
    struct rig_answer answer;
    rig_ask(fd, paths[i % 6], &answer);
    TG_CHECK(answer.status == 200);
    free(answer.body);
    if (i % 5) continue;
    int gone = rig_connect_tcp(rig);
    rig_request(gone, "GET", "/add");
    rig_reset(gone);
    rig_ask(fd, "/nap", &answer);
    TG_CHECK(answer.status == 504);
    free(answer.body);
  }
  close(fd);
  return NULL;
}

static void test_many_clients(void **state) {
  struct rig rig;
  pthread_t threads[4];
  (void)state;
  start(&rig, 3, 1000, 30 * TG_SECOND);
  for (int i = 0; i < 4; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, ask_often, &rig), 0);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  until(&rig, 0, 0);
  int fd = rig_connect(&rig);
  ask_until(fd, "/add", "3");
  close(fd);
  rig_stop(&rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_values_cross_and_come_back),
      cmocka_unit_test(test_errors_come_back_as_objects),
      cmocka_unit_test(test_what_cannot_cross_is_refused_by_name),
      cmocka_unit_test(test_a_full_queue_and_a_long_wait_are_overload),
      cmocka_unit_test(test_a_cancelled_waiter_leaves_the_worker_alone),
      cmocka_unit_test(test_deadlines_and_clients_that_go),
      cmocka_unit_test(test_a_job_keeps_its_generation),
      cmocka_unit_test(test_a_state_that_does_not_start_is_an_error),
      cmocka_unit_test(test_closing_with_jobs_of_every_kind),
      cmocka_unit_test(test_many_clients),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
