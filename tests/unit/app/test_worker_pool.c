/* Worker pools with the real thing around them: server, sockets, generations, Lua handlers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker_rig.h"

static const char routes[] =
    "local tg = require 'tidegate'\n"
    "local function gate() local f = assert(io.open(GATE)) f:read(1) f:close() end\n"
    "local function blocking(run, timeout) return { blocking = true, run = run, timeout = timeout "
    "} end\n"
    "return {\n"
    "['GET /hello/{name}'] = blocking(function(req)\n"
    "  tg.sleep(0.001)\n"
    "  return 201, table.concat({ tg.role, req.params.name, req.query.q, req.remote, req.path,\n"
    "    req.headers.host, tostring(#req.id > 8) }, ' '), { ['X-Seen'] = req.route }\n"
    "end),\n"
    "['POST /len'] = { blocking = true, max_body = 16777216, run = function(req)\n"
    "  local n, pieces = 0, 0 for c in req:chunks() do n, pieces = n + #c, pieces + 1 end\n"
    "  return n .. ' ' .. tostring(pieces > 1) .. ' ' .. tostring(req.trailers['x-sum'])\n"
    "end },\n"
    "['POST /stream'] = { blocking = true, stream_body = true, run = function(req)\n"
    "  local more = req:chunks() local first, rest = more(), '' gate()\n"
    "  for c in more do rest = rest .. c end\n"
    "  return first .. '|' .. rest .. '|' .. tostring(req.trailers['x-sum'])\n"
    "end },\n"
    "['GET /down'] = blocking(function() return tg.stream(function(out)\n"
    "  local p = ('x'):rep(65536) for _ = 1, 64 do out:write(p) end end) end),\n"
    "['GET /short'] = blocking(function() return tg.stream(function(out)\n"
    "  out:write('a') error('broken') end) end),\n"
    "['GET /endless'] = blocking(function() return tg.stream(function(out)\n"
    "  local p = ('x'):rep(65536) while true do out:write(p) end end) end),\n"
    "['GET /gate'] = blocking(function() gate() return 'through' end),\n"
    "['GET /late'] = blocking(function() gate() return 'x' end, 0.5),\n"
    "['GET /sleep'] = blocking(function() tg.shared('t'):incr('slept', 1) tg.sleep(60) end),\n"
    "['GET /slept'] = blocking(function() return tostring(tg.shared('t'):get('slept') or 0) end),\n"
    "['GET /after'] = blocking(function(req) req:after(function()\n"
    "  tg.sleep(0.001) tg.shared('t'):set('after', tg.role) end) return 'x' end),\n"
    "['GET /busy'] = blocking(function(req) req:after(function() tg.sleep(0.001) gate() end)\n"
    "  return 'x' end),\n"
    "['GET /pair'] = blocking(function() tg.shared('t'):incr('in', 1)\n"
    "  while tg.shared('t'):get('in') < 2 do tg.sleep(0.001) end return 'x' end),\n"
    "['GET /mark'] = blocking(function(req) req:after(function()\n"
    "  assert(io.open(MARK, 'w')):close() end) gate() return 'x' end),\n"
    "['GET /done'] = blocking(function() return tg.shared('t'):get('after') or '' end),\n"
    "['GET /fail'] = blocking(function() error('boom') end),\n"
    "['GET /count'] = blocking(function() return tostring(tg.shared('t'):incr('n', 1)) end),\n"
    "}\n";

static const char *const no_config = "return {}";

static void start(struct rig *rig, unsigned size, unsigned queue, uint64_t max_wait) {
  rig_start(rig, size, queue, max_wait, no_config, routes);
}

static void free_answer(struct rig_answer *answer) {
  free(answer->body);
  answer->body = NULL;
}

/* One answer on a connection: its status, and its body where `body` is not NULL. */
static void expect(int fd, int status, const char *body) {
  struct rig_answer answer;
  rig_read(fd, &answer);
  if (body) assert_string_equal(answer.body, body);
  assert_int_equal(answer.status, status);
  free_answer(&answer);
}

static void until(struct rig *rig, bool (*is)(const struct tg_worker_counters *counters)) {
  struct tg_worker_counters counters;
  uint64_t end = tg_clock_now() + 30 * TG_SECOND;
  do {
    tg_worker_pool_count(rig->pool, &counters);
    if (is(&counters)) return;
    poll(NULL, 0, 1);
  } while (tg_clock_now() < end);
  fail_msg("busy %u, queued %u, done %llu, refused %llu", counters.busy, counters.queued,
           (unsigned long long)counters.done, (unsigned long long)counters.refused);
}

static bool one_busy(const struct tg_worker_counters *counters) {
  return counters->busy == 1;
}

static bool one_queued(const struct tg_worker_counters *counters) {
  return counters->busy == 1 && counters->queued == 1;
}

static bool one_busy_none_queued(const struct tg_worker_counters *counters) {
  return counters->busy == 1 && counters->queued == 0;
}

static bool two_busy(const struct tg_worker_counters *counters) {
  return counters->busy == 2;
}

static bool two_busy_one_queued(const struct tg_worker_counters *counters) {
  return counters->busy == 2 && counters->queued == 1;
}

static bool none_busy(const struct tg_worker_counters *counters) {
  return counters->busy == 0 && counters->queued == 0;
}

static bool all_idle(const struct tg_worker_counters *counters) {
  return counters->idle == counters->started;
}

static void test_a_request_and_its_answer_cross_whole(void **state) {
  struct rig rig;
  struct rig_answer answer;
  (void)state;
  start(&rig, 2, 8, 5 * TG_SECOND);
  int fd = rig_connect(&rig);
  for (int i = 0; i < 3; i++) {
    rig_ask(fd, "/hello/a%20b?q=1", &answer);
    assert_string_equal(answer.body, "worker a b 1 unix /hello/a b t true");
    assert_int_equal(answer.status, 201);
    assert_non_null(strstr(answer.head, "X-Seen: GET /hello/{name}\r\n"));
    free_answer(&answer);
    until(&rig, all_idle); /* else the next one may come before its worker is back */
  }
  rig_request(fd, "GET", "/fail");
  expect(fd, 500, NULL);
  struct tg_worker_counters counters;
  until(&rig, none_busy);
  tg_worker_pool_count(rig.pool, &counters);
  assert_int_equal(counters.done, 4);
  assert_int_equal(counters.started, 1);
  close(fd);
  rig_stop(&rig);
}

static void send_body(int fd, size_t size) {
  char head[128];
  char *body = calloc(1, size);
  int n = snprintf(head, sizeof head,
                   "POST /len HTTP/1.1\r\nHost: t\r\nContent-Length: %zu\r\n\r\n", size);
  assert_non_null(body);
  rig_write_all(fd, head, (size_t)n);
  rig_write_all(fd, body, size);
  free(body);
}

static void test_bodies_cross_collected_or_in_pieces(void **state) {
  static const char chunked[] =
      "POST /len HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n";
  struct rig rig;
  (void)state;
  start(&rig, 1, 8, 5 * TG_SECOND);
  int fd = rig_connect(&rig);
  send_body(fd, 1);
  expect(fd, 200, "1 false nil");
  send_body(fd, 300000);
  expect(fd, 200, "300000 true nil");
  send_body(fd, 5 << 20);
  expect(fd, 200, "5242880 true nil");
  rig_write_all(fd, chunked, sizeof chunked - 1);
  expect(fd, 200, "3 false 7");
  close(fd);
  rig_stop(&rig);
}

/* The handler has the first piece before the client has sent the second. */
static void test_a_streamed_body_is_there_before_its_end(void **state) {
  static const char begin[] =
      "POST /stream HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
  static const char end[] = "2\r\nde\r\n0\r\nX-Sum: 9\r\n\r\n";
  struct rig rig;
  (void)state;
  start(&rig, 1, 8, 5 * TG_SECOND);
  int fd = rig_connect(&rig);
  rig_write_all(fd, begin, sizeof begin - 1);
  rig_open_gate(rig_reach_gate(&rig));
  rig_write_all(fd, end, sizeof end - 1);
  expect(fd, 200, "abc|de|9");
  close(fd);
  rig_stop(&rig);
}

/* A client that sends half of a body, or goes while its body is read, leaves the worker free. */
static void test_a_body_that_breaks_off(void **state) {
  static const char half[] = "POST /len HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc";
  static const char bad[] =
      "POST /len HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n";
  static const char begin[] = "POST /stream HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc";
  struct rig rig;
  (void)state;
  start(&rig, 1, 8, 5 * TG_SECOND);
  int fd = rig_connect(&rig);
  rig_write_all(fd, half, sizeof half - 1);
  close(fd);
  fd = rig_connect(&rig);
  rig_write_all(fd, bad, sizeof bad - 1);
  expect(fd, 400, NULL);
  close(fd);
  fd = rig_connect(&rig);
  rig_write_all(fd, begin, sizeof begin - 1);
  int gate = rig_reach_gate(&rig);
  close(fd);
  rig_open_gate(gate);
  until(&rig, none_busy);
  rig_stop(&rig);
}

static void test_streams_cross_with_back_pressure(void **state) {
  struct rig rig;
  struct rig_answer answer;
  char byte;
  (void)state;
  start(&rig, 1, 8, 5 * TG_SECOND);
  int fd = rig_connect(&rig);
  rig_ask(fd, "/down", &answer);
  assert_true(answer.len > 4194304);
  assert_null(memchr(answer.body, 'a', answer.len));
  free_answer(&answer);
  rig_request(fd, "GET", "/short");
  while (recv(fd, &byte, 1, 0) == 1) {
  }
  close(fd);
  until(&rig, none_busy);
  fd = rig_connect(&rig);
  rig_request(fd, "GET", "/endless");
  assert_int_equal(recv(fd, &byte, 1, 0), 1);
  close(fd);
  until(&rig, none_busy);
  rig_stop(&rig);
}

/* The client has its 504 and its connection goes on while the thread is stuck. */
static void test_the_slot_is_kept_until_the_thread_is_done(void **state) {
  struct rig rig;
  (void)state;
  start(&rig, 1, 8, 5 * TG_SECOND);
  int fd = rig_connect(&rig);
  rig_request(fd, "GET", "/slept"); /* the state is there */
  expect(fd, 200, "0");
  rig_request(fd, "GET", "/late");
  int gate = rig_reach_gate(&rig);
  expect(fd, 504, NULL);
  until(&rig, one_busy);
  rig_request(fd, "GET", "/count");
  until(&rig, one_queued);
  rig_open_gate(gate);
  expect(fd, 200, "1");
  close(fd);
  rig_stop(&rig);
}

static void test_a_full_queue_and_a_long_wait_are_503(void **state) {
  struct rig rig;
  struct rig_answer answer;
  (void)state;
  start(&rig, 1, 1, 30 * TG_SECOND);
  int first = rig_connect(&rig), second = rig_connect(&rig);
  rig_request(first, "GET", "/gate");
  int gate = rig_reach_gate(&rig);
  struct tg_worker_limits limits = {.size = 1, .queue = 1, .max_wait = 20 * TG_MILLISECOND};
  tg_worker_pool_set_limits(rig.pool, &limits);
  rig_request(second, "GET", "/count");
  expect(second, 503, NULL); /* after max_wait */
  limits.queue = 0;
  limits.max_wait = 2500 * TG_MILLISECOND;
  tg_worker_pool_set_limits(rig.pool, &limits);
  rig_ask(second, "/count", &answer);
  assert_int_equal(answer.status, 503);
  assert_non_null(strstr(answer.head, "Retry-After: 3\r\n"));
  free_answer(&answer);
  rig_open_gate(gate);
  expect(first, 200, "through");
  until(&rig, none_busy);
  rig_request(second, "GET", "/count");
  expect(second, 200, "1");
  struct tg_worker_counters counters;
  tg_worker_pool_count(rig.pool, &counters);
  assert_int_equal(counters.refused, 2);
  close(first);
  close(second);
  rig_stop(&rig);
}

static void test_clients_that_go_free_their_worker(void **state) {
  struct rig rig;
  (void)state;
  start(&rig, 1, 8, 5 * TG_SECOND);
  int running = rig_connect(&rig), waiting = rig_connect_tcp(&rig);
  rig_request(running, "GET", "/gate");
  int gate = rig_reach_gate(&rig);
  rig_request(waiting, "GET", "/sleep");
  until(&rig, one_queued);
  rig_reset(waiting);
  until(&rig, one_busy_none_queued);
  rig_open_gate(gate);
  expect(running, 200, "through");
  rig_request(running, "GET", "/slept");
  expect(running, 200, "0");
  /* a client that goes before its handler has begun leaves nothing to count: then once more */
  bool slept = false;
  for (int i = 0; i < 1000 && !slept; i++) {
    struct rig_answer answer;
    until(&rig, all_idle);
    int fd = rig_connect_tcp(&rig);
    rig_request(fd, "GET", "/sleep");
    until(&rig, one_busy);
    rig_reset(fd);
    rig_request(running, "GET", "/slept");
    rig_read(running, &answer);
    slept = strcmp(answer.body, "1") == 0;
    free_answer(&answer);
  }
  assert_true(slept);
  close(running);
  rig_stop(&rig);
}

static void test_work_after_the_answer_runs_on_its_worker(void **state) {
  struct rig rig;
  struct rig_answer answer = {0};
  (void)state;
  start(&rig, 2, 8, 5 * TG_SECOND);
  int fd = rig_connect(&rig);
  rig_request(fd, "GET", "/after");
  expect(fd, 200, "x");
  uint64_t end = tg_clock_now() + 30 * TG_SECOND;
  do {
    free_answer(&answer);
    rig_ask(fd, "/done", &answer);
  } while (answer.len == 0 && tg_clock_now() < end);
  assert_string_equal(answer.body, "worker");
  free_answer(&answer);
  close(fd);
  rig_stop(&rig);
}

/* The first generation goes with its last state, although the pool lives on. */
/* A worker that has answered, but is stuck in what it does after that, is asked last. */
static void test_others_come_while_one_works_after_its_answer(void **state) {
  (void)state;
  struct rig rig;
  start(&rig, 2, 10, 5 * TG_SECOND);
  int one = rig_connect(&rig), two = rig_connect(&rig);
  rig_request(one, "GET", "/pair");
  rig_request(two, "GET", "/pair");
  expect(one, 200, "x");
  expect(two, 200, "x");
  until(&rig, none_busy);
  rig_request(one, "GET", "/busy");
  expect(one, 200, "x");
  int gate = rig_reach_gate(&rig);
  for (int i = 0; i < 3; i++) {
    rig_request(two, "GET", "/count");
    expect(two, 200, NULL);
  }
  rig_open_gate(gate);
  close(one), close(two);
  rig_stop(&rig);
}

/* The loop has given the exchange back and has ended when the handler is done. */
static void test_work_after_an_answer_that_nobody_waits_for(void **state) {
  (void)state;
  struct rig rig;
  char mark[64];
  start(&rig, 1, 10, TG_SECOND);
  int fd = rig_connect(&rig);
  rig_request(fd, "GET", "/mark");
  int gate = rig_reach_gate(&rig);
  rig_stop_loop(&rig);
  rig_open_gate(gate);
  until(&rig, none_busy);
  snprintf(mark, sizeof mark, "%s/mark", rig.dir);
  for (int i = 0; i < 5000 && access(mark, F_OK) != 0; i++) poll(NULL, 0, 1);
  assert_int_equal(access(mark, F_OK), 0);
  rig_stop_rest(&rig);
  close(fd);
}

static void test_idle_workers_drop_old_generations(void **state) {
  struct rig rig;
  (void)state;
  start(&rig, 1, 8, 5 * TG_SECOND);
  int fd = rig_connect(&rig);
  rig_request(fd, "GET", "/count");
  expect(fd, 200, "1");
  struct tg_generation *old = rig.generation, *next = rig_build(&rig, 2);
  tg_generation_hold(old);
  rig_send(&rig, rig_publish_here, next);
  tg_worker_pool_retire(rig.pool, next);
  uint64_t end = tg_clock_now() + 30 * TG_SECOND;
  while (atomic_load(&old->refs) > 1 && tg_clock_now() < end) poll(NULL, 0, 1);
  assert_int_equal(atomic_load(&old->refs), 1);
  tg_generation_release(old);
  rig_request(fd, "GET", "/count");
  expect(fd, 200, "2");
  close(fd);
  rig_stop(&rig);
}

static void test_hooks_run_in_workers(void **state) {
  static const char config[] =
      "local tg = require 'tidegate'\n"
      "return { on_start = function() tg.sleep(0.001) tg.shared('t'):incr('n', 10) end,\n"
      "  on_stop = function() tg.sleep(0.001) tg.shared('t'):incr('n', 100) end }\n";
  struct rig rig;
  (void)state;
  rig_start(&rig, 1, 8, 5 * TG_SECOND, config, routes);
  int fd = rig_connect(&rig);
  rig_request(fd, "GET", "/count");
  expect(fd, 200, "11");
  struct tg_generation *next = rig_build(&rig, 2);
  rig_send(&rig, rig_publish_here, next);
  tg_worker_pool_retire(rig.pool, next);
  rig_request(fd, "GET", "/count");
  struct rig_answer answer;
  rig_read(fd, &answer);
  assert_true(strcmp(answer.body, "122") == 0 || strcmp(answer.body, "22") == 0);
  free_answer(&answer);
  close(fd);
  rig_stop(&rig);
}

static void test_a_state_that_does_not_start_is_500(void **state) {
  static const char config[] =
      "local tg = require 'tidegate'\n"
      "return { on_start = function()\n"
      "  if tg.shared('t'):incr('n', 1) == 1 then error('not yet') end end }\n";
  struct rig rig;
  (void)state;
  rig_start(&rig, 1, 8, 5 * TG_SECOND, config, routes);
  int fd = rig_connect(&rig);
  rig_request(fd, "GET", "/count");
  expect(fd, 500, NULL);
  rig_request(fd, "GET", "/count");
  expect(fd, 200, "3");
  close(fd);
  rig_stop(&rig);
}

/* Closing answers what waits, cancels what can be cancelled, and says when a thread is stuck. */
static void test_a_stuck_thread_is_left_behind(void **state) {
  struct rig rig;
  (void)state;
  start(&rig, 2, 8, 5 * TG_SECOND);
  int stuck = rig_connect(&rig), asleep = rig_connect(&rig), waiting = rig_connect(&rig);
  rig_request(stuck, "GET", "/gate");
  int gate = rig_reach_gate(&rig);
  rig_request(asleep, "GET", "/sleep");
  until(&rig, two_busy);
  rig_request(waiting, "GET", "/count");
  until(&rig, two_busy_one_queued);
  assert_false(tg_worker_pool_close(rig.pool, 50 * TG_MILLISECOND));
  expect(waiting, 503, NULL);
  expect(asleep, 503, NULL);
  rig_open_gate(gate);
  expect(stuck, 200, "through");
  assert_true(tg_worker_pool_close(rig.pool, 30 * TG_SECOND));
  rig.pool = NULL;
  close(stuck);
  close(asleep);
  close(waiting);
  rig_stop(&rig);
}

/* ---- many at once */

static void *ask_often(void *arg) {
  static const char *const paths[] = {"/count", "/hello/x?q=2", "/down", "/after", "/fail"};
  int fd = *(int *)arg;
  for (int i = 0; i < 100; i++) {
    struct rig_answer answer;
    rig_ask(fd, paths[i % 5], &answer);
    free_answer(&answer);
  }
  return NULL;
}

static void test_many_clients(void **state) {
  struct rig rig;
  pthread_t threads[4];
  int fds[4];
  (void)state;
  start(&rig, 3, 100, 30 * TG_SECOND);
  for (int i = 0; i < 4; i++) fds[i] = rig_connect(&rig);
  for (int i = 0; i < 4; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, ask_often, &fds[i]), 0);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  rig_request(fds[0], "GET", "/count");
  expect(fds[0], 200, "81");
  for (int i = 0; i < 4; i++) close(fds[i]);
  rig_stop(&rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_request_and_its_answer_cross_whole),
      cmocka_unit_test(test_bodies_cross_collected_or_in_pieces),
      cmocka_unit_test(test_a_streamed_body_is_there_before_its_end),
      cmocka_unit_test(test_a_body_that_breaks_off),
      cmocka_unit_test(test_streams_cross_with_back_pressure),
      cmocka_unit_test(test_the_slot_is_kept_until_the_thread_is_done),
      cmocka_unit_test(test_a_full_queue_and_a_long_wait_are_503),
      cmocka_unit_test(test_clients_that_go_free_their_worker),
      cmocka_unit_test(test_work_after_the_answer_runs_on_its_worker),
      cmocka_unit_test(test_others_come_while_one_works_after_its_answer),
      cmocka_unit_test(test_work_after_an_answer_that_nobody_waits_for),
      cmocka_unit_test(test_idle_workers_drop_old_generations),
      cmocka_unit_test(test_hooks_run_in_workers),
      cmocka_unit_test(test_a_state_that_does_not_start_is_500),
      cmocka_unit_test(test_a_stuck_thread_is_left_behind),
      cmocka_unit_test(test_many_clients),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
