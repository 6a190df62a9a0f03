/* The gate: places and queue, order, deadlines, waits that are given up at any moment, and many
 * loops at once. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/clock.h"
#include "upstream/gate.h"

struct fixture {
  struct tg_gate gate;
  struct tg_loop loop;
  unsigned told;
  char order[16];
};

struct waiter {
  struct tg_gate_wait wait;
  struct fixture *fixture;
  char name;
  tg_status status;
};

static void on_ready(struct tg_gate_wait *wait, tg_status status) {
  struct waiter *waiter = TG_CONTAINER(wait, struct waiter, wait);
  waiter->status = status;
  waiter->fixture->order[waiter->fixture->told++] = waiter->name;
}

static int setup(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  tg_gate_init(&fixture->gate);
  *state = fixture;
  return tg_loop_init(&fixture->loop, 0);
}

static int teardown(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(fixture->gate.inside, 0);
  assert_int_equal(fixture->gate.waiting, 0);
  tg_loop_deinit(&fixture->loop);
  tg_gate_deinit(&fixture->gate);
  free(fixture);
  return 0;
}

static tg_status enter(struct fixture *fixture, struct waiter *waiter, char name,
                       uint64_t deadline) {
  *waiter = (struct waiter){.fixture = fixture, .name = name, .status = TG_EAGAIN};
  waiter->wait.ready = on_ready;
  return tg_gate_enter(&fixture->gate, &fixture->loop, &waiter->wait, deadline);
}

/* Opens the letters that have come. */
static void turn(struct fixture *fixture) {
  uv_run(&fixture->loop.uv, UV_RUN_NOWAIT);
}

/* Who does not wait takes a free place, and no place that others wait for. */
static void test_now_or_not_at_all(void **state) {
  struct fixture *fixture = *state;
  struct waiter a;
  tg_gate_set(&fixture->gate, 2, 2);
  assert_int_equal(tg_gate_try(&fixture->gate), TG_OK);
  assert_int_equal(tg_gate_try(&fixture->gate), TG_OK);
  assert_int_equal(tg_gate_try(&fixture->gate), TG_EOVERLOAD);
  assert_int_equal(fixture->gate.refused, 1);
  assert_int_equal(enter(fixture, &a, 'a', 0), TG_EAGAIN);
  tg_gate_leave(&fixture->gate);
  assert_int_equal(tg_gate_try(&fixture->gate), TG_EOVERLOAD);
  turn(fixture);
  assert_string_equal(fixture->order, "a");
  tg_gate_leave(&fixture->gate), tg_gate_leave(&fixture->gate);
  tg_gate_set(&fixture->gate, 0, 0);
  assert_int_equal(tg_gate_try(&fixture->gate), TG_OK);
  tg_gate_leave(&fixture->gate);
}

static void test_places_then_queue_then_no(void **state) {
  struct fixture *fixture = *state;
  struct waiter a, b, c, d;
  tg_gate_set(&fixture->gate, 1, 2);
  assert_int_equal(enter(fixture, &a, 'a', 0), TG_OK);
  assert_int_equal(enter(fixture, &b, 'b', 0), TG_EAGAIN);
  assert_int_equal(enter(fixture, &c, 'c', 0), TG_EAGAIN);
  assert_int_equal(enter(fixture, &d, 'd', 0), TG_EOVERLOAD);
  assert_int_equal(fixture->gate.refused, 1);
  tg_gate_leave(&fixture->gate);
  assert_int_equal(fixture->told, 0); /* never from within a call */
  /* the place is b's already: nobody who comes now goes before it, or before c */
  assert_int_equal(enter(fixture, &d, 'd', 0), TG_EAGAIN);
  turn(fixture);
  assert_string_equal(fixture->order, "b");
  tg_gate_leave(&fixture->gate), turn(fixture);
  tg_gate_leave(&fixture->gate), turn(fixture);
  assert_string_equal(fixture->order, "bcd");
  tg_gate_leave(&fixture->gate);
}

static void test_without_a_limit_nobody_waits(void **state) {
  struct fixture *fixture = *state;
  struct waiter waiter;
  for (int i = 0; i < 1000; i++) assert_int_equal(enter(fixture, &waiter, 'a', 0), TG_OK);
  for (int i = 0; i < 1000; i++) tg_gate_leave(&fixture->gate);
}

static void test_a_deadline_ends_a_wait(void **state) {
  struct fixture *fixture = *state;
  struct waiter a, b;
  tg_gate_set(&fixture->gate, 1, 2);
  assert_int_equal(enter(fixture, &a, 'a', 0), TG_OK);
  uint64_t due = tg_loop_time(&fixture->loop) + 2 * TG_MILLISECOND;
  assert_int_equal(enter(fixture, &b, 'b', due), TG_EAGAIN);
  while (!fixture->told) turn(fixture); /* a late process hears of it before it would wait */
  assert_int_equal(b.status, TG_ETIMEOUT);
  assert_true(tg_clock_now() >= due);
  tg_gate_cancel(&b.wait); /* harmless */
  tg_gate_leave(&fixture->gate);
}

static void test_a_wait_may_be_given_up(void **state) {
  struct fixture *fixture = *state;
  struct waiter a, b, c;
  struct tg_gate_wait never = {0};
  tg_gate_cancel(&never);
  tg_gate_set(&fixture->gate, 1, 2);
  assert_int_equal(enter(fixture, &a, 'a', 0), TG_OK);
  assert_int_equal(enter(fixture, &b, 'b', 0), TG_EAGAIN);
  assert_int_equal(enter(fixture, &c, 'c', 0), TG_EAGAIN);
  tg_gate_cancel(&b.wait);
  tg_gate_leave(&fixture->gate);
  turn(fixture);
  assert_string_equal(fixture->order, "c");
  tg_gate_leave(&fixture->gate);
}

/* b was let in, and gives up before it hears of it: the place goes on to c, not away. */
static void test_a_place_that_is_not_taken_goes_to_the_next(void **state) {
  struct fixture *fixture = *state;
  struct waiter a, b, c;
  tg_gate_set(&fixture->gate, 1, 2);
  assert_int_equal(enter(fixture, &a, 'a', 0), TG_OK);
  assert_int_equal(enter(fixture, &b, 'b', 0), TG_EAGAIN);
  assert_int_equal(enter(fixture, &c, 'c', 0), TG_EAGAIN);
  tg_gate_leave(&fixture->gate);
  tg_gate_cancel(&b.wait);
  b.wait = (struct tg_gate_wait){0}; /* its memory may go */
  turn(fixture), turn(fixture);
  assert_string_equal(fixture->order, "c");
  tg_gate_leave(&fixture->gate);
}

static void test_a_new_limit_lets_in_at_once(void **state) {
  struct fixture *fixture = *state;
  struct waiter a, b, c;
  tg_gate_set(&fixture->gate, 1, 2);
  assert_int_equal(enter(fixture, &a, 'a', 0), TG_OK);
  assert_int_equal(enter(fixture, &b, 'b', 0), TG_EAGAIN);
  assert_int_equal(enter(fixture, &c, 'c', 0), TG_EAGAIN);
  tg_gate_set(&fixture->gate, 0, 0);
  turn(fixture);
  assert_string_equal(fixture->order, "bc");
  tg_gate_set(&fixture->gate, 1, 0); /* three are inside: nobody comes until two have left */
  assert_int_equal(enter(fixture, &a, 'a', 0), TG_EOVERLOAD);
  tg_gate_leave(&fixture->gate), tg_gate_leave(&fixture->gate);
  assert_int_equal(enter(fixture, &a, 'a', 0), TG_EOVERLOAD);
  tg_gate_leave(&fixture->gate);
}

/* ---- many loops ---- */

#define LOOPS   4
#define CLIENTS 8
#define ROUNDS  300
#define PLACES  3

struct crowd {
  struct tg_gate gate;
  atomic_int inside, entered, given_up, timed_out;
};

struct client {
  struct tg_gate_wait wait;
  struct tg_timer timer;
  struct side *side;
  unsigned rounds;
  bool inside;
};

struct side {
  struct crowd *crowd;
  struct tg_loop loop;
  struct client clients[CLIENTS];
  unsigned left;
  uint64_t random;
};

static void client_start(struct client *client);

static uint64_t chance(struct side *side) {
  side->random = side->random * 6364136223846793005ull + 1442695040888963407ull;
  return side->random >> 33;
}

static void client_again(struct client *client) {
  if (++client->rounds < ROUNDS)
    client_start(client);
  else
    client->side->left--;
}

static void on_done(struct tg_timer *timer) {
  struct client *client = TG_CONTAINER(timer, struct client, timer);
  struct crowd *crowd = client->side->crowd;
  if (client->inside) {
    client->inside = false;
    atomic_fetch_sub(&crowd->inside, 1);
    tg_gate_leave(&crowd->gate);
  } else {
    tg_gate_cancel(&client->wait);
    atomic_fetch_add(&crowd->given_up, 1);
  }
  client_again(client);
}

static void client_in(struct client *client) {
  struct crowd *crowd = client->side->crowd;
  client->inside = true;
  atomic_fetch_add(&crowd->entered, 1);
  TG_CHECK(atomic_fetch_add(&crowd->inside, 1) < PLACES);
}

static void client_wait(struct client *client, uint64_t most) {
  struct tg_loop *loop = &client->side->loop;
  uint64_t due = tg_loop_time(loop) + chance(client->side) % most;
  TG_CHECK(tg_timer_start(&loop->timers, &client->timer, due, on_done) == TG_OK);
}

static void on_client(struct tg_gate_wait *wait, tg_status status) {
  struct client *client = TG_CONTAINER(wait, struct client, wait);
  tg_timer_stop(&client->side->loop.timers, &client->timer);
  if (status == TG_OK) {
    client_in(client);
    client_wait(client, TG_MILLISECOND / 10);
    return;
  }
  atomic_fetch_add(&client->side->crowd->timed_out, 1);
  client_again(client);
}

/* Some wait as long as it takes, some give up, some have a deadline. */
static void client_start(struct client *client) {
  struct side *side = client->side;
  uint64_t now = tg_loop_time(&side->loop), kind = chance(side) % 3;
  uint64_t deadline = kind == 1 ? now + chance(side) % TG_MILLISECOND : 0;
  client->wait.ready = on_client;
  tg_status status = tg_gate_enter(&side->crowd->gate, &side->loop, &client->wait, deadline);
  TG_CHECK(status == TG_OK || status == TG_EAGAIN);
  if (status == TG_OK) client_in(client);
  if (status == TG_OK || kind == 2) client_wait(client, TG_MILLISECOND / 10);
}

static void *run_side(void *arg) {
  struct side *side = arg;
  for (unsigned i = 0; i < CLIENTS; i++) client_start(&side->clients[i]);
  while (side->left) uv_run(&side->loop.uv, UV_RUN_ONCE);
  return NULL;
}

static void test_many_loops(void **state) {
  (void)state;
  static struct side sides[LOOPS];
  static struct crowd crowd;
  pthread_t threads[LOOPS];
  tg_gate_init(&crowd.gate);
  tg_gate_set(&crowd.gate, PLACES, LOOPS * CLIENTS);
  for (unsigned i = 0; i < LOOPS; i++) {
    sides[i] = (struct side){.crowd = &crowd, .left = CLIENTS, .random = i + 1};
    for (unsigned k = 0; k < CLIENTS; k++) sides[i].clients[k].side = &sides[i];
    assert_int_equal(tg_loop_init(&sides[i].loop, i), TG_OK);
  }
  for (unsigned i = 0; i < LOOPS; i++) pthread_create(&threads[i], NULL, run_side, &sides[i]);
  for (unsigned i = 0; i < LOOPS; i++) pthread_join(threads[i], NULL);
  /* letters to those who have given up are still to be opened; they may cross */
  for (unsigned k = 0; k < LOOPS; k++)
    for (unsigned i = 0; i < LOOPS; i++) uv_run(&sides[i].loop.uv, UV_RUN_NOWAIT);
  for (unsigned i = 0; i < LOOPS; i++) tg_loop_deinit(&sides[i].loop);
  assert_int_equal(crowd.gate.inside, 0);
  assert_int_equal(crowd.gate.waiting, 0);
  assert_int_equal(crowd.entered + crowd.given_up + crowd.timed_out, LOOPS * CLIENTS * ROUNDS);
  assert_true(crowd.entered > 0);
  tg_gate_deinit(&crowd.gate);
}

int main(void) {
#define WITH_LOOP(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
  const struct CMUnitTest tests[] = {
      WITH_LOOP(test_places_then_queue_then_no),
      WITH_LOOP(test_now_or_not_at_all),
      WITH_LOOP(test_without_a_limit_nobody_waits),
      WITH_LOOP(test_a_deadline_ends_a_wait),
      WITH_LOOP(test_a_wait_may_be_given_up),
      WITH_LOOP(test_a_place_that_is_not_taken_goes_to_the_next),
      WITH_LOOP(test_a_new_limit_lets_in_at_once),
      cmocka_unit_test(test_many_loops),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
