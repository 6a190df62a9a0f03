/* What a drain does with connections that are between two requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/connection.h"
#include "worker_rig.h"

static const char routes[] =
    "return {\n"
    "['GET /'] = { blocking = true, run = function() return 'x' end },\n"
    "['GET /long'] = { blocking = true, run = function()\n"
    "  return ('x'):rep(40000) end },\n"
    "}\n";

static void drain_here(struct rig *rig, void *arg) {
  (void)arg;
  tg_server_drain(&rig->server);
}

static void start(struct rig *rig) {
  rig_start(rig, 1, 10, TG_SECOND, "return {}", routes);
}

static bool ended(int fd) {
  struct timeval most = {.tv_sec = 20};
  char byte;
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
  return recv(fd, &byte, 1, 0) == 0;
}

/* The server's end of a pair, with so small a buffer that an answer waits in its queue. */
static int connect_small(struct rig *rig) {
  int pair[2], small = 1;
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  assert_int_equal(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);
  assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
  rig_send(rig, rig_accept_here, &pair[1]);
  return pair[0];
}

/* Has the one connection read blank lines, while its answer waits? */
static void look_here(struct rig *rig, void *arg) {
  bool *has = arg;
  struct tg_connection *conn =
      TG_CONTAINER(rig->server.connections.next, struct tg_connection, link);
  *has = conn->exchange && conn->exchange->h1.message.p.blank_lines == 2 &&
         tg_stream_queued(&conn->stream);
}

static int ask_with_blank_lines(struct rig *rig) {
  int fd = connect_small(rig);
  rig_request(fd, "GET", "/long");
  rig_write_all(fd, "\r\n\r\n", 4);
  for (bool has = false; !has; poll(NULL, 0, 1)) rig_send(rig, look_here, &has);
  return fd;
}

static void expect_long(int fd) {
  struct rig_answer answer;
  rig_read(fd, &answer);
  assert_int_equal(answer.status, 200);
  assert_int_equal(answer.len, 40000);
  free(answer.body);
  assert_true(ended(fd));
  close(fd);
}

/* Blank lines make no request, also where an answer is still on its way. */
static void test_blank_lines_behind_a_queued_answer(void **state) {
  (void)state;
  struct rig rig;
  start(&rig);
  int fd = ask_with_blank_lines(&rig);
  rig_send(&rig, drain_here, NULL);
  expect_long(fd);
  rig_stop(&rig);
}

static void test_blank_lines_and_a_half_close(void **state) {
  (void)state;
  struct rig rig;
  start(&rig);
  int fd = ask_with_blank_lines(&rig);
  assert_int_equal(shutdown(fd, SHUT_WR), 0);
  expect_long(fd);
  rig_stop(&rig);
}

static void test_a_new_client_may_ask(void **state) {
  (void)state;
  struct rig rig;
  struct rig_answer answer;
  start(&rig);
  int asks = rig_connect(&rig), kept = rig_connect(&rig), silent = rig_connect(&rig);
  rig_ask(kept, "/", &answer);
  free(answer.body);
  rig_send(&rig, drain_here, NULL);
  rig_ask(asks, "/", &answer);
  assert_int_equal(answer.status, 200);
  assert_non_null(strstr(answer.head, "Connection: close"));
  free(answer.body);
  assert_true(ended(asks) && ended(kept) && ended(silent));
  close(asks), close(kept), close(silent);
  rig_stop(&rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_blank_lines_behind_a_queued_answer),
      cmocka_unit_test(test_blank_lines_and_a_half_close),
      cmocka_unit_test(test_a_new_client_may_ask),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
