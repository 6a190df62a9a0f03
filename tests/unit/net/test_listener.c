/* The listener's descriptors: who closes them, and when. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/listener.h"

struct scene {
  struct tg_loop loop;
  struct tg_listener listener;
  int accepted, closed, undelayed;
};

static void on_accepted(struct tg_listener *listener, int fd, const struct tg_address *peer) {
  struct scene *scene = listener->owner;
  int set = 0;
  socklen_t len = sizeof set;
  (void)peer;
  scene->accepted++;
  if (getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &set, &len) == 0 && set) scene->undelayed++;
  close(fd);
}

static void on_closed(struct tg_listener *listener) {
  struct scene *scene = listener->owner;
  scene->closed++;
}

static void begin(struct scene *scene) {
  memset(scene, 0, sizeof *scene);
  assert_int_equal(tg_loop_init(&scene->loop, 0), TG_OK);
  scene->listener.owner = scene;
  scene->listener.accepted = scene->listener.refused = on_accepted;
  scene->listener.closed = on_closed;
}

static int is_closed(int fd) {
  return fcntl(fd, F_GETFD) < 0 && errno == EBADF;
}

/* A regular file cannot be polled: the listener fails, and gives back all that it was given. */
static void test_failed_open_closes_descriptors(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene);
  int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  assert_true(fd >= 0);
  int next = dup(fd); /* what the reserve will be, once it is free again */
  close(next);
  assert_int_not_equal(tg_listener_open(&scene.listener, &scene.loop, fd, false), TG_OK);
  assert_true(is_closed(fd));
  assert_true(is_closed(next));
  tg_listener_close(&scene.listener);
  tg_loop_deinit(&scene.loop);
  assert_int_equal(scene.closed, 0);
}

static struct tg_address open_on_loopback(struct scene *scene, int *fd) {
  struct tg_address address;
  const char *why = "";
  assert_int_equal(tg_address_parse(&address, TG_SLICE("127.0.0.1:0"), &why), TG_OK);
  assert_int_equal(tg_listener_bind(&address, true, fd), TG_OK);
  assert_int_equal(tg_listener_open(&scene->listener, &scene->loop, *fd, false), TG_OK);
  return address;
}

/* One that comes alone is accepted by one call; of many at once more and more are. */
static void test_many_at_once(void **state) {
  enum { MANY = 300 };
  (void)state;
  struct scene scene;
  begin(&scene);
  int fd = -1, clients[MANY];
  struct tg_address address = open_on_loopback(&scene, &fd);
  for (int i = 0; i < MANY; i++) {
    clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(clients[i], &address.addr.any, address.len), 0);
  }
  uv_run(&scene.loop.uv, UV_RUN_ONCE);
  assert_int_equal(scene.accepted, 1);
  while (scene.accepted < MANY) uv_run(&scene.loop.uv, UV_RUN_ONCE);
  assert_int_equal(scene.accepted, MANY);
  assert_int_equal(scene.undelayed, MANY);
  assert_in_range(scene.listener.burst, 1, 64);
  tg_listener_close(&scene.listener);
  tg_loop_deinit(&scene.loop);
  for (int i = 0; i < MANY; i++) close(clients[i]);
}

static void test_close_accepts_what_waits_and_closes_at_once(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene);
  int fd = -1, clients[3];
  struct tg_address address = open_on_loopback(&scene, &fd);
  for (int i = 0; i < 3; i++) {
    clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(clients[i], &address.addr.any, address.len), 0);
  }
  tg_listener_close(&scene.listener);
  assert_int_equal(scene.accepted, 3);
  assert_true(is_closed(fd));
  tg_listener_close(&scene.listener);
  tg_loop_deinit(&scene.loop);
  assert_int_equal(scene.closed, 1);
  for (int i = 0; i < 3; i++) close(clients[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_failed_open_closes_descriptors),
      cmocka_unit_test(test_many_at_once),
      cmocka_unit_test(test_close_accepts_what_waits_and_closes_at_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
