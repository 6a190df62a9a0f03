/* Requests that are mirrored: what is copied, what is not for want of room, and how they end. The
 * second upstream is a listening socket that never answers. */
#include "upstream/mirror.h"

#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "upstream/group_state.h"
#include "upstream/groups.h"

struct fixture {
  struct tg_loop loop;
  struct tg_groups *groups;
  struct tg_rules *rules;
  struct tg_group *group;
  struct tg_mirror_rule rule;
  struct tg_delivery_order order;
  int listener;
  /* the body of the request */
  struct tg_source source;
  tg_source_cb wanted;
  void *owner;
  unsigned cancels;
  /* what its reader was told */
  char told[64];
  size_t told_len;
  unsigned ends, errors;
};

static void source_read(struct tg_source *source, tg_source_cb done, void *owner) {
  struct fixture *fixture = TG_CONTAINER(source, struct fixture, source);
  assert_null(fixture->wanted);
  fixture->wanted = done;
  fixture->owner = owner;
}

static void source_cancel(struct tg_source *source) {
  struct fixture *fixture = TG_CONTAINER(source, struct fixture, source);
  fixture->wanted = NULL;
  fixture->cancels++;
}

static int open_listener(char *address, size_t size) {
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof any;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  TG_CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof any) == 0 && listen(fd, 8) == 0);
  TG_CHECK(getsockname(fd, (struct sockaddr *)&any, &len) == 0);
  snprintf(address, size, "127.0.0.1:%u", ntohs(any.sin_port));
  return fd;
}

static int setup(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  char address[32];
  fixture->listener = open_listener(address, sizeof address);
  fixture->groups = tg_groups_new(NULL, NULL);
  fixture->rules = tg_rules_new();
  struct tg_peer_spec peer = {.address = tg_slice_cstr(address)};
  struct tg_group_spec spec = {
      .name = TG_SLICE("shadow"), .peers = &peer, .peer_count = 1, .rules = fixture->rules};
  TG_CHECK(tg_loop_init(&fixture->loop, 0) == TG_OK);
  TG_CHECK(tg_groups_apply(fixture->groups, &spec, 1, 1) == TG_OK);
  fixture->group = tg_groups_find(fixture->groups, spec.name, 1);
  fixture->rule =
      (struct tg_mirror_rule){.to = spec.name, .group = fixture->group, .share = 1, .max_body = 10};
  fixture->order.call = (struct tg_call_request){.method = TG_SLICE("POST"),
                                                 .target = TG_SLICE("/x"),
                                                 .authority = TG_SLICE("h"),
                                                 .length = TG_LENGTH_NONE};
  fixture->source = (struct tg_source){.read = source_read, .cancel = source_cancel};
  *state = fixture;
  return 0;
}

/* Whatever was under way ends with the loop, and leaves nothing. */
static int teardown(void **state) {
  struct fixture *fixture = *state;
  tg_loop_deinit(&fixture->loop);
  assert_int_equal(fixture->group->mirrors.active, 0);
  assert_int_equal(fixture->group->mirrors.bytes, 0);
  assert_int_equal(fixture->group->active, 0);
  assert_int_equal(fixture->group->gate.inside, 0);
  tg_rules_release(fixture->rules);
  tg_groups_free(fixture->groups);
  close(fixture->listener);
  free(fixture);
  return 0;
}

static struct tg_mirror *begin(struct fixture *fixture) {
  return tg_mirror_begin(&fixture->loop, &fixture->rule, &fixture->order, NULL);
}

static void turn(struct fixture *fixture) {
  for (int i = 0; i < 3; i++) uv_run(&fixture->loop.uv, UV_RUN_NOWAIT);
}

static void assert_counts(const struct fixture *fixture, unsigned sent, unsigned dropped) {
  assert_int_equal(fixture->group->mirrors.sent, sent);
  assert_int_equal(fixture->group->mirrors.dropped, dropped);
}

/* What the next connection brings, up to its end of the text `until`. */
static void assert_comes(struct fixture *fixture, const char *until) {
  char got[512] = {0};
  size_t len = 0;
  struct pollfd waits = {.fd = fixture->listener, .events = POLLIN};
  while (poll(&waits, 1, 0) == 0) turn(fixture);
  int fd = accept(fixture->listener, NULL, NULL);
  assert_true(fd >= 0);
  waits.fd = fd;
  while (!strstr(got, until)) {
    while (poll(&waits, 1, 0) == 0) turn(fixture);
    ssize_t now = read(fd, got + len, sizeof got - 1 - len);
    assert_true(now > 0);
    len += (size_t)now;
  }
  assert_string_equal(got + len - strlen(until), until);
  close(fd);
}

/* ---- the body ---- */

static void on_told(void *owner, tg_status status, struct tg_slice bytes) {
  struct fixture *fixture = owner;
  fixture->ends += !status && !bytes.len;
  fixture->errors += status != TG_OK;
  memcpy(fixture->told + fixture->told_len, bytes.len ? bytes.ptr : "", bytes.len);
  fixture->told_len += bytes.len;
}

static void want(struct fixture *fixture) {
  struct tg_source *source = fixture->order.call.source;
  source->read(source, on_told, fixture);
}

static void give(struct fixture *fixture, tg_status status, const char *bytes) {
  want(fixture);
  tg_source_cb wanted = fixture->wanted;
  fixture->wanted = NULL;
  wanted(fixture->owner, status, tg_slice_cstr(bytes));
}

static struct tg_mirror *stream(struct fixture *fixture, uint64_t length) {
  fixture->order.call.source = &fixture->source;
  fixture->order.call.length = length;
  return begin(fixture);
}

/* ---- tests ---- */

static void test_the_lot(void **state) {
  struct fixture *fixture = *state;
  fixture->rule.share = 0;
  for (int i = 0; i < 100; i++) assert_null(begin(fixture));
  assert_counts(fixture, 0, 0);
  fixture->rule.share = 1;
  for (int i = 0; i < 5; i++) assert_null(begin(fixture));
  assert_counts(fixture, 0, 0); /* not before this turn's bytes are out */
  turn(fixture);
  assert_counts(fixture, 5, 0);
  assert_int_equal(fixture->group->mirrors.active, 5);
  fixture->order.call.upgrade = true;
  assert_null(begin(fixture));
  turn(fixture);
  assert_counts(fixture, 5, 0);
}

static void test_what_is_sent(void **state) {
  struct fixture *fixture = *state;
  static const struct tg_response_field fields[] = {{{"X-A", 3}, {"1", 1}}};
  fixture->order.call.fields = fields;
  fixture->order.call.field_count = 1;
  fixture->order.call.bytes = TG_SLICE("0123456789");
  assert_null(begin(fixture));
  fixture->order = (struct tg_delivery_order){0}; /* nothing of it is borrowed */
  assert_comes(fixture,
               "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\nX-A: 1\r\n"
               "X-Mirrored: 1\r\n\r\n0123456789");
}

static void test_bounds(void **state) {
  struct fixture *fixture = *state;
  fixture->group->mirrors.active = TG_MIRROR_MOST;
  assert_null(begin(fixture));
  assert_counts(fixture, 0, 1);
  fixture->group->mirrors.active = 0;
  fixture->order.call.bytes = TG_SLICE("0123456789a"); /* over max_body */
  assert_null(begin(fixture));
  assert_counts(fixture, 0, 2);
  fixture->order.call.bytes = TG_SLICE("01234");
  fixture->group->mirrors.bytes = TG_MIRROR_BYTES - 4;
  assert_null(begin(fixture));
  assert_counts(fixture, 0, 3);
  assert_int_equal(fixture->group->mirrors.bytes, TG_MIRROR_BYTES - 4);
  fixture->group->mirrors.bytes = 0;
  fixture->order.call.bytes = tg_slice(NULL, 0);
  assert_null(stream(fixture, 11));
  assert_counts(fixture, 0, 4);
  assert_ptr_equal(fixture->order.call.source, &fixture->source); /* it is not read through us */
  turn(fixture);
  assert_int_equal(fixture->group->mirrors.active, 0);
}

static void test_a_streamed_body(void **state) {
  struct fixture *fixture = *state;
  struct tg_mirror *mirror = stream(fixture, TG_LENGTH_CHUNKED);
  assert_non_null(mirror);
  give(fixture, TG_OK, "abc");
  assert_int_equal(fixture->group->mirrors.bytes, 3);
  want(fixture);
  fixture->order.call.source->cancel(fixture->order.call.source);
  assert_int_equal(fixture->cancels, 1);
  give(fixture, TG_OK, "def");
  turn(fixture);
  assert_counts(fixture, 0, 0);
  give(fixture, TG_OK, "");
  assert_string_equal(fixture->told, "abcdef");
  assert_int_equal(fixture->ends, 1);
  tg_mirror_release(mirror);
  assert_comes(fixture, "Content-Length: 6\r\nX-Mirrored: 1\r\n\r\nabcdef");
  assert_counts(fixture, 1, 0);
}

/* The backend may have answered before the end is read. */
static void test_a_body_of_a_known_length_is_whole_with_its_last_byte(void **state) {
  struct fixture *fixture = *state;
  struct tg_mirror *mirror = stream(fixture, 6);
  give(fixture, TG_OK, "abc");
  give(fixture, TG_OK, "def");
  tg_mirror_release(mirror);
  assert_comes(fixture, "Content-Length: 6\r\nX-Mirrored: 1\r\n\r\nabcdef");
  assert_counts(fixture, 1, 0);
}

static void test_a_streamed_body_that_is_not_mirrored_goes_on(void **state) {
  struct fixture *fixture = *state;
  struct tg_mirror *mirror = stream(fixture, TG_LENGTH_CHUNKED);
  give(fixture, TG_OK, "0123456789");
  give(fixture, TG_OK, "a"); /* too long */
  assert_counts(fixture, 0, 1);
  assert_int_equal(fixture->group->mirrors.active, 0);
  assert_int_equal(fixture->group->mirrors.bytes, 0);
  give(fixture, TG_OK, "b");
  give(fixture, TG_OK, "");
  assert_string_equal(fixture->told, "0123456789ab");
  assert_int_equal(fixture->ends, 1);
  tg_mirror_release(mirror);
  fixture->group->mirrors.bytes = TG_MIRROR_BYTES; /* no room while it comes */
  mirror = stream(fixture, TG_LENGTH_CHUNKED);
  give(fixture, TG_OK, "c");
  assert_counts(fixture, 0, 2);
  fixture->group->mirrors.bytes = 0;
  tg_mirror_release(mirror);
  turn(fixture);
  assert_counts(fixture, 0, 2);
}

static void test_a_body_that_breaks_off(void **state) {
  struct fixture *fixture = *state;
  struct tg_mirror *mirror = stream(fixture, TG_LENGTH_CHUNKED);
  give(fixture, TG_OK, "abc");
  give(fixture, TG_EDISCONNECT, "");
  assert_int_equal(fixture->errors, 1);
  tg_mirror_release(mirror);
  assert_counts(fixture, 0, 1);
  mirror = stream(fixture, TG_LENGTH_CHUNKED); /* nobody has read it */
  tg_mirror_release(mirror);
  assert_counts(fixture, 0, 2);
  tg_mirror_release(NULL);
}

static void test_nobody_takes_it(void **state) {
  struct fixture *fixture = *state;
  tg_gate_set(&fixture->group->gate, 1, 5);
  assert_null(begin(fixture));
  assert_null(begin(fixture));
  turn(fixture);
  assert_counts(fixture, 1, 1);
  assert_int_equal(fixture->group->gate.waiting, 0);
}

/* One in each state, when the loop ends: teardown proves that nothing is left. */
static void test_the_loop_ends(void **state) {
  struct fixture *fixture = *state;
  assert_null(begin(fixture));
  turn(fixture);
  fixture->order.call.bytes = TG_SLICE("abc");
  assert_null(begin(fixture)); /* still to be started */
  assert_int_equal(fixture->group->mirrors.active, 2);
}

#define WITH_LOOP(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      WITH_LOOP(test_the_lot),
      WITH_LOOP(test_what_is_sent),
      WITH_LOOP(test_bounds),
      WITH_LOOP(test_a_streamed_body),
      WITH_LOOP(test_a_body_of_a_known_length_is_whole_with_its_last_byte),
      WITH_LOOP(test_a_streamed_body_that_is_not_mirrored_goes_on),
      WITH_LOOP(test_a_body_that_breaks_off),
      WITH_LOOP(test_nobody_takes_it),
      WITH_LOOP(test_the_loop_ends),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
