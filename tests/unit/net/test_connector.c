/* Connecting to the first of several addresses: in order, not one after the other's whole time. */
#include "net/connector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"

struct rig {
  struct tg_loop loop;
  struct tg_connector connector;
  int good, full; /* listening sockets; the queue of `full` takes nobody */
  int waiting[8]; /* what fills it */
  struct tg_address good_at, full_at, closed_at;
  unsigned called;
  tg_status status;
  int fd;
};

static int listen_on(struct tg_address *address, int backlog) {
  assert_int_equal(tg_address_literal(address, TG_SLICE("127.0.0.1"), 0), TG_OK);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(fd, &address->addr.any, address->len), 0);
  assert_int_equal(listen(fd, backlog), 0);
  socklen_t len = sizeof address->addr.storage;
  assert_int_equal(getsockname(fd, &address->addr.any, &len), 0);
  return fd;
}

static void on_done(struct tg_connector *connector, tg_status status, int fd) {
  struct rig *rig = TG_CONTAINER(connector, struct rig, connector);
  rig->called++;
  rig->status = status;
  rig->fd = fd;
}

static int setup(void **state) {
  struct rig *rig = calloc(1, sizeof *rig);
  assert_non_null(rig);
  assert_int_equal(tg_loop_init(&rig->loop, 0), 0);
  rig->fd = -1;
  rig->good = listen_on(&rig->good_at, 8);
  rig->full = listen_on(&rig->full_at, 0);
  for (size_t i = 0; i < 8; i++) {
    rig->waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)!connect(rig->waiting[i], &rig->full_at.addr.any, rig->full_at.len);
  }
  int closed = listen_on(&rig->closed_at, 1);
  close(closed);
  *state = rig;
  return 0;
}

static int teardown(void **state) {
  struct rig *rig = *state;
  tg_connector_cancel(&rig->connector);
  tg_loop_deinit(&rig->loop); /* proves that no handle is left */
  for (size_t i = 0; i < 8; i++) close(rig->waiting[i]);
  close(rig->good);
  close(rig->full);
  if (rig->fd >= 0) close(rig->fd);
  free(rig);
  return 0;
}

static void start(struct rig *rig, const struct tg_address *addresses, size_t count) {
  rig->called = 0;
  tg_connector_start(&rig->connector, &rig->loop, addresses, count, NULL, on_done);
  assert_int_equal(rig->called, 0); /* never from within */
}

static void until_called(struct rig *rig) {
  while (!rig->called) uv_run(&rig->loop.uv, UV_RUN_ONCE);
}

static void one_that_listens(void **state) {
  struct rig *rig = *state;
  start(rig, &rig->good_at, 1);
  until_called(rig);
  assert_int_equal(rig->status, TG_OK);
  assert_true(rig->fd >= 0);
}

static void one_that_refuses_makes_room_at_once(void **state) {
  struct rig *rig = *state;
  const struct tg_address both[] = {rig->closed_at, rig->closed_at, rig->good_at};
  start(rig, both, 3);
  until_called(rig);
  assert_int_equal(rig->status, TG_OK);
}

static void one_that_is_silent_does_not_hold_the_next(void **state) {
  struct rig *rig = *state;
  const struct tg_address both[] = {rig->full_at, rig->good_at};
  start(rig, both, 2);
  until_called(rig);
  assert_int_equal(rig->status, TG_OK);
  struct tg_address peer = {.len = sizeof peer.addr.storage};
  assert_int_equal(getpeername(rig->fd, &peer.addr.any, &peer.len), 0);
  assert_memory_equal(&peer.addr.any, &rig->good_at.addr.any, sizeof(struct sockaddr));
}

static void all_that_refuse(void **state) {
  struct rig *rig = *state;
  const struct tg_address both[] = {rig->closed_at, rig->closed_at};
  start(rig, both, 2);
  until_called(rig);
  assert_int_equal(rig->called, 1);
  assert_int_equal(rig->status, UV_ECONNREFUSED);
  assert_int_equal(rig->fd, -1);
  start(rig, both, 0);
  until_called(rig);
  assert_int_equal(rig->status, TG_ENO_DATA);
}

static void cancelled_while_it_waits_and_when_it_is_done(void **state) {
  struct rig *rig = *state;
  const struct tg_address both[] = {rig->full_at, rig->full_at};
  start(rig, both, 2);
  uv_run(&rig->loop.uv, UV_RUN_NOWAIT);
  tg_connector_cancel(&rig->connector);
  start(rig, &rig->closed_at, 1);
  tg_connector_cancel(&rig->connector);
  for (int i = 0; i < 5; i++) uv_run(&rig->loop.uv, UV_RUN_NOWAIT);
  assert_int_equal(rig->called, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(one_that_listens),
      TEST(one_that_refuses_makes_room_at_once),
      TEST(one_that_is_silent_does_not_hold_the_next),
      TEST(all_that_refuse),
      TEST(cancelled_while_it_waits_and_when_it_is_done),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
