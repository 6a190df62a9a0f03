/* Groups from outside: who is picked, what is learnt, and what a new configuration leaves as it
 * was. Time is the test's. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "upstream/groups.h"
#include "upstream/report.h"
#include "upstream/roster.h"

static uint64_t test_time;

static uint64_t read_test_time(void) {
  return test_time;
}

struct fixture {
  struct tg_groups *groups;
  struct tg_group *group;
  struct tg_rules *rules;
  uint64_t generation;
};

static int setup(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  test_time = 1000 * TG_SECOND;
  fixture->groups = tg_groups_new(NULL, read_test_time);
  fixture->rules = tg_rules_new();
  fixture->rules->outlier.failures = 3;
  *state = fixture;
  return fixture->groups && fixture->rules ? 0 : -1;
}

static int teardown(void **state) {
  struct fixture *fixture = *state;
  tg_rules_release(fixture->rules);
  tg_groups_free(fixture->groups);
  free(fixture);
  return 0;
}

/* One group "b" with these peers, as a list of addresses; "a*3" has weight 3, "a/1" priority 1. */
static void apply(struct fixture *fixture, const char *const *texts) {
  struct tg_peer_spec peers[8];
  struct tg_group_spec spec = {.name = TG_SLICE("b"), .peers = peers, .rules = fixture->rules};
  for (; texts[spec.peer_count]; spec.peer_count++) {
    const char *text = texts[spec.peer_count];
    struct tg_peer_spec *peer = &peers[spec.peer_count];
    size_t length = strcspn(text, "*/@");
    *peer = (struct tg_peer_spec){.address = tg_slice(text, length)};
    if (text[length] == '*') peer->weight = (uint32_t)atoi(text + length + 1);
    if (text[length] == '/') peer->priority = (uint32_t)atoi(text + length + 1);
    if (text[length] == '@') peer->zone = tg_slice_cstr(text + length + 1);
  }
  assert_int_equal(tg_groups_apply(fixture->groups, &spec, 1, ++fixture->generation), TG_OK);
  fixture->group = tg_groups_find(fixture->groups, TG_SLICE("b"), fixture->generation);
  assert_non_null(fixture->group);
}

#define APPLY(fixture, ...) apply(fixture, (const char *const[]){__VA_ARGS__, NULL})

static void end(struct tg_peer *peer, const struct tg_pick *pick, int status) {
  struct tg_peer_outcome outcome = {.turn = pick->turn, .status = status, .failed = !status};
  tg_peer_end(peer, &outcome);
}

/* Picks and ends with that status (0: no answer); the last byte of the peer's host says who. */
static char ask(struct fixture *fixture, int status) {
  struct tg_pick pick = {0};
  struct tg_peer *peer;
  if (tg_group_pick(fixture->group, &pick, &peer)) return '-';
  char name = peer->origin.host.ptr[peer->origin.host.len - 1];
  end(peer, &pick, status);
  return name;
}

static void count(struct fixture *fixture, unsigned picks, unsigned taken[10]) {
  memset(taken, 0, 10 * sizeof *taken);
  for (unsigned i = 0; i < picks; i++) {
    char name = ask(fixture, 200);
    if (name != '-') taken[name - '0']++;
  }
}

/* Makes one peer fail until it is ejected. */
static void fail_peer(struct fixture *fixture, char name) {
  for (unsigned failures = 0, i = 0; failures < fixture->rules->outlier.failures; i++) {
    struct tg_pick pick = {0};
    struct tg_peer *peer;
    assert_true(i < 1000);
    assert_int_equal(tg_group_pick(fixture->group, &pick, &peer), TG_OK);
    bool it = peer->origin.host.ptr[peer->origin.host.len - 1] == name;
    failures += it;
    end(peer, &pick, it ? 0 : 200);
  }
}

static void test_weights_are_kept(void **state) {
  struct fixture *fixture = *state;
  unsigned taken[10];
  APPLY(fixture, "10.0.0.1:80*3", "10.0.0.2:80");
  count(fixture, 400, taken);
  assert_int_equal(taken[1], 300);
  assert_int_equal(taken[2], 100);
}

static void test_a_failing_peer_gets_nothing_more(void **state) {
  struct fixture *fixture = *state;
  unsigned taken[10];
  APPLY(fixture, "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80");
  fail_peer(fixture, '2');
  count(fixture, 1000, taken);
  assert_int_equal(taken[2], 0);
  assert_in_range(taken[1], 495, 505);
}

static void test_it_comes_back_by_a_slow_start(void **state) {
  struct fixture *fixture = *state;
  unsigned early[10], late[10], full[10];
  fixture->rules->slow_start = 10 * TG_SECOND;
  APPLY(fixture, "10.0.0.1:80", "10.0.0.2:80");
  fail_peer(fixture, '2');
  test_time += fixture->rules->outlier.eject + 1 * TG_SECOND;
  count(fixture, 1100, early); /* 0.1 of its weight: one in eleven */
  assert_in_range(early[2], 95, 105);
  test_time += 4 * TG_SECOND;
  count(fixture, 1500, late); /* half: a third */
  assert_in_range(late[2], 495, 505);
  test_time += 5 * TG_SECOND;
  count(fixture, 1000, full);
  assert_in_range(full[2], 499, 501);
}

static void test_nobody_healthy_then_the_ejected_are_asked(void **state) {
  struct fixture *fixture = *state;
  APPLY(fixture, "10.0.0.1:80", "10.0.0.2:80");
  fail_peer(fixture, '1');
  for (int i = 0; i < 50; i++) assert_int_equal(ask(fixture, i % 3 == 2 ? 200 : 500), '2');
  fail_peer(fixture, '2');
  assert_int_not_equal(ask(fixture, 200), '-');
}

static void test_priorities_and_zones(void **state) {
  struct fixture *fixture = *state;
  unsigned taken[10];
  snprintf(fixture->rules->zone, sizeof fixture->rules->zone, "here");
  APPLY(fixture, "10.0.0.1:80/1", "10.0.0.2:80", "10.0.0.3:80@here", "10.0.0.4:80@there");
  count(fixture, 100, taken);
  assert_int_equal(taken[3], 100); /* of the best priority those that are near */
  fail_peer(fixture, '3');
  count(fixture, 100, taken);
  assert_int_equal(taken[2], 50);
  assert_int_equal(taken[4], 50);
  fail_peer(fixture, '2');
  fail_peer(fixture, '4');
  count(fixture, 100, taken);
  assert_int_equal(taken[1], 100);
}

static void test_a_retry_goes_elsewhere_while_it_can(void **state) {
  struct fixture *fixture = *state;
  struct tg_peer *tried[3] = {0};
  APPLY(fixture, "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80");
  fail_peer(fixture, '3');
  struct tg_pick pick = {.tried = tried};
  assert_int_equal(tg_group_pick(fixture->group, &pick, &tried[0]), TG_OK);
  pick.tried_count = 1;
  assert_int_equal(tg_group_pick(fixture->group, &pick, &tried[1]), TG_OK);
  assert_ptr_not_equal(tried[0], tried[1]);
  pick.tried_count = 2; /* both were tried: one of them again, rather than the ejected one */
  assert_int_equal(tg_group_pick(fixture->group, &pick, &tried[2]), TG_OK);
  assert_true(tried[2] == tried[0] || tried[2] == tried[1]);
  for (int i = 0; i < 3; i++) end(tried[i], &pick, 200);
}

static void test_retries_have_a_budget(void **state) {
  struct fixture *fixture = *state;
  unsigned retries = 0;
  fixture->rules->retry_budget = 0.1;
  APPLY(fixture, "10.0.0.1:80");
  while (tg_group_take_retry(fixture->group)) retries++;
  assert_int_equal(retries, 10);
  for (int i = 0; i < 50; i++) ask(fixture, 200);
  for (retries = 0; tg_group_take_retry(fixture->group);) retries++;
  assert_in_range(retries, 4, 5);
}

static void test_the_breaker_opens_and_says_for_how_long(void **state) {
  struct fixture *fixture = *state;
  struct tg_pick pick = {0};
  struct tg_peer *peer;
  fixture->rules->breaker.errors = 0.5;
  fixture->rules->breaker.min = 10;
  APPLY(fixture, "10.0.0.1:80");
  for (int i = 0; i < 10; i++) ask(fixture, 503);
  assert_int_equal(tg_group_pick(fixture->group, &pick, &peer), TG_EOVERLOAD);
  assert_int_equal(pick.retry_after, 5);
  test_time += 5 * TG_SECOND;
  for (int i = 0; i < 3; i++) assert_int_equal(ask(fixture, 200), '1');
  for (int i = 0; i < 100; i++) assert_int_equal(ask(fixture, 200), '1');
}

static void test_a_hash_and_a_cookie_keep_their_peer(void **state) {
  struct fixture *fixture = *state;
  struct tg_peer *first, *second;
  fixture->rules->balance = TG_BALANCE_HASH;
  APPLY(fixture, "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80");
  struct tg_pick pick = {.has_hash = true, .hash = tg_group_hash(TG_SLICE("ada"))};
  assert_int_equal(tg_group_pick(fixture->group, &pick, &first), TG_OK);
  assert_false(pick.stick);
  end(first, &pick, 200);
  for (int i = 0; i < 20; i++) {
    assert_int_equal(tg_group_pick(fixture->group, &pick, &second), TG_OK);
    assert_ptr_equal(first, second);
    end(second, &pick, 200);
  }
  fixture->rules->balance = TG_BALANCE_ROUND_ROBIN;
  snprintf(fixture->rules->sticky_cookie, sizeof fixture->rules->sticky_cookie, "route");
  struct tg_pick bound = {0};
  assert_int_equal(tg_group_pick(fixture->group, &bound, &first), TG_OK);
  assert_true(bound.stick);
  bound.sticky = tg_slice_cstr(first->id);
  end(first, &bound, 200);
  for (int i = 0; i < 20; i++) {
    assert_int_equal(tg_group_pick(fixture->group, &bound, &second), TG_OK);
    assert_ptr_equal(first, second);
    assert_false(bound.stick);
    end(second, &bound, i < 17 ? 200 : 0);
  }
  assert_int_equal(tg_group_pick(fixture->group, &bound, &second), TG_OK); /* it is ejected */
  assert_ptr_not_equal(first, second);
  assert_true(bound.stick);
  end(second, &bound, 200);
}

static void test_a_new_list_keeps_the_state_of_the_others(void **state) {
  struct fixture *fixture = *state;
  unsigned taken[10];
  struct tg_pick pick = {0};
  struct tg_peer *busy;
  APPLY(fixture, "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80");
  fail_peer(fixture, '2');
  do {
    assert_int_equal(tg_group_pick(fixture->group, &pick, &busy), TG_OK);
    if (busy->address.ptr[7] != '3') end(busy, &pick, 200);
  } while (busy->address.ptr[7] != '3');
  APPLY(fixture, "10.0.0.2:80*5", "10.0.0.1:80", "10.0.0.4:80");
  count(fixture, 100, taken);
  assert_int_equal(taken[2], 0); /* still ejected */
  assert_int_equal(taken[3], 0); /* gone, and its request goes on */
  assert_int_equal(taken[1] + taken[4], 100);
  assert_false(busy->listed);
  assert_int_equal(busy->seat.active, 1);
  end(busy, &pick, 200);
}

static void test_old_generations_know_what_they_knew(void **state) {
  struct fixture *fixture = *state;
  APPLY(fixture, "10.0.0.1:80");
  assert_int_equal(tg_groups_apply(fixture->groups, NULL, 0, 2), TG_OK);
  assert_non_null(tg_groups_find(fixture->groups, TG_SLICE("b"), 1));
  assert_null(tg_groups_find(fixture->groups, TG_SLICE("b"), 2));
  assert_null(tg_groups_find(fixture->groups, TG_SLICE("c"), 1));
  assert_int_equal(ask(fixture, 200), '1'); /* whoever has it goes on */
  fixture->generation = 2;
  APPLY(fixture, "10.0.0.1:80");
  assert_non_null(tg_groups_find(fixture->groups, TG_SLICE("b"), 3));
}

static void test_run_time_changes(void **state) {
  struct fixture *fixture = *state;
  unsigned taken[10];
  struct tg_peer_spec more = {.address = TG_SLICE("10.0.0.3:80"), .weight = 2};
  APPLY(fixture, "10.0.0.1:80", "10.0.0.2:80");
  assert_int_equal(tg_roster_add(fixture->group, &more), TG_OK);
  assert_int_equal(tg_roster_add(fixture->group, &more), TG_EEXISTS);
  count(fixture, 400, taken);
  assert_int_equal(taken[3], 200);
  assert_int_equal(tg_roster_drain(fixture->group, TG_SLICE("10.0.0.1:80"), true), TG_OK);
  assert_int_equal(tg_roster_drain(fixture->group, TG_SLICE("10.0.0.9:80"), true), TG_ENOT_FOUND);
  assert_int_equal(tg_roster_weigh(fixture->group, TG_SLICE("10.0.0.2:80"), 6), TG_OK);
  count(fixture, 400, taken);
  assert_int_equal(taken[1], 0);
  assert_int_equal(taken[2], 300);
  APPLY(fixture, "10.0.0.1:80", "10.0.0.2:80"); /* a reload that says nothing new */
  count(fixture, 400, taken);
  assert_int_equal(taken[1], 0);
  assert_int_equal(taken[2], 300);
  APPLY(fixture, "10.0.0.1:80", "10.0.0.2:80*2"); /* and one that does */
  count(fixture, 400, taken);
  assert_int_equal(taken[2], 200);
  assert_int_equal(tg_roster_remove(fixture->group, TG_SLICE("10.0.0.2:80")), TG_OK);
  assert_int_equal(tg_roster_remove(fixture->group, TG_SLICE("10.0.0.2:80")), TG_ENOT_FOUND);
  APPLY(fixture, "10.0.0.1:80", "10.0.0.2:80*2"); /* removed is removed */
  count(fixture, 400, taken);
  assert_int_equal(taken[3], 400);
  assert_int_equal(tg_roster_remove(fixture->group, TG_SLICE("10.0.0.3:80")), TG_OK);
  assert_int_equal(ask(fixture, 200), '-');
  more.address = TG_SLICE("10.0.0.2:80"); /* until somebody adds it again */
  assert_int_equal(tg_roster_add(fixture->group, &more), TG_OK);
  assert_int_equal(ask(fixture, 200), '2');
}

static void test_a_peer_has_its_own_limit(void **state) {
  struct fixture *fixture = *state;
  struct tg_peer_spec peer = {.address = TG_SLICE("10.0.0.1:80"), .max_requests = 2};
  struct tg_group_spec spec = {
      .name = TG_SLICE("b"), .peers = &peer, .peer_count = 1, .rules = fixture->rules};
  struct tg_pick pick = {0};
  struct tg_peer *one, *two, *three;
  assert_int_equal(tg_groups_apply(fixture->groups, &spec, 1, 1), TG_OK);
  fixture->group = tg_groups_find(fixture->groups, TG_SLICE("b"), 1);
  assert_int_equal(tg_group_pick(fixture->group, &pick, &one), TG_OK);
  assert_int_equal(tg_group_pick(fixture->group, &pick, &two), TG_OK);
  assert_int_equal(tg_group_pick(fixture->group, &pick, &three), TG_EOVERLOAD);
  assert_true(pick.full);
  end(one, &pick, 200), end(two, &pick, 200);
  assert_int_equal(ask(fixture, 200), '1');
}

static void test_a_name_is_a_peer_until_it_is_known(void **state) {
  struct fixture *fixture = *state;
  struct tg_pick pick = {0};
  struct tg_peer *peer;
  fixture->rules->secure = true;
  APPLY(fixture, "api.internal:8443");
  assert_int_equal(tg_group_pick(fixture->group, &pick, &peer), TG_OK);
  assert_memory_equal(peer->origin.host.ptr, "api.internal", 12);
  assert_int_equal(peer->origin.port, 8443);
  assert_memory_equal(peer->origin.tls_name.ptr, "api.internal", 12);
  end(peer, &pick, 200);
}

static void test_the_report_shows_all(void **state) {
  struct fixture *fixture = *state;
  struct tg_group_report report;
  APPLY(fixture, "10.0.0.1:80*3", "10.0.0.2:80", "10.0.0.3:80/4");
  fail_peer(fixture, '2');
  assert_int_equal(tg_roster_drain(fixture->group, TG_SLICE("10.0.0.1:80"), true), TG_OK);
  assert_int_equal(tg_group_report(fixture->group, &report), TG_OK);
  assert_int_equal(report.count, 3);
  assert_string_equal(report.peers[0].state, "draining");
  assert_string_equal(report.peers[1].state, "ejected");
  assert_string_equal(report.peers[2].state, "up");
  assert_int_equal(report.peers[0].weight, 3);
  assert_int_equal(report.peers[1].failures, 3);
  assert_int_equal(report.peers[2].priority, 4);
  assert_string_equal(report.breaker, "closed");
  tg_group_report_deinit(&report);
}

/* ---- many threads ---- */

static atomic_bool stop;

static void *pick_for_ever(void *arg) {
  struct tg_group *group = arg;
  struct tg_peer_outcome good = {.status = 200, .latency = TG_MILLISECOND};
  for (unsigned i = 0; !atomic_load(&stop); i++) {
    struct tg_pick pick = {.has_hash = true, .hash = i};
    struct tg_peer *peer;
    if (tg_group_pick(group, &pick, &peer)) continue;
    good.turn = pick.turn;
    good.failed = i % 7 == 0;
    tg_peer_end(peer, &good);
  }
  return NULL;
}

static void test_changes_while_all_loops_pick(void **state) {
  pthread_t threads[4];
  struct fixture *fixture = *state;
  atomic_store(&stop, false);
  APPLY(fixture, "10.0.0.1:80", "10.0.0.2:80");
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, pick_for_ever, fixture->group);
  for (int i = 0; i < 200; i++) {
    struct tg_peer_spec more = {.address = TG_SLICE("10.0.0.5:80")};
    APPLY(fixture, "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80");
    assert_int_equal(tg_roster_add(fixture->group, &more), TG_OK);
    APPLY(fixture, "10.0.0.1:80", "10.0.0.2:80");
    assert_int_equal(tg_roster_remove(fixture->group, more.address), TG_OK);
  }
  atomic_store(&stop, true);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
}

int main(void) {
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
  const struct CMUnitTest tests[] = {
      WITH(test_weights_are_kept),
      WITH(test_a_failing_peer_gets_nothing_more),
      WITH(test_it_comes_back_by_a_slow_start),
      WITH(test_nobody_healthy_then_the_ejected_are_asked),
      WITH(test_priorities_and_zones),
      WITH(test_a_retry_goes_elsewhere_while_it_can),
      WITH(test_retries_have_a_budget),
      WITH(test_the_breaker_opens_and_says_for_how_long),
      WITH(test_a_hash_and_a_cookie_keep_their_peer),
      WITH(test_a_new_list_keeps_the_state_of_the_others),
      WITH(test_old_generations_know_what_they_knew),
      WITH(test_run_time_changes),
      WITH(test_a_peer_has_its_own_limit),
      WITH(test_a_name_is_a_peer_until_it_is_known),
      WITH(test_the_report_shows_all),
      WITH(test_changes_while_all_loops_pick),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
