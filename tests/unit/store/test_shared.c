/* The shared dictionaries: what each call does, time to live, bounds of memory, and exactness over
 * threads. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "store/shared.h"

static uint64_t test_time;

static uint64_t read_test_time(void) {
  return test_time;
}

struct fixture {
  struct tg_shared_registry *registry;
  struct tg_shared *shared;
  struct tg_buffer bytes;
  struct tg_shared_value value;
};

static int setup(void **state) {
  struct fixture *f = calloc(1, sizeof *f);
  test_time = 1000 * TG_SECOND;
  f->registry = tg_shared_registry_new(read_test_time);
  *state = f;
  return tg_shared_registry_get(f->registry, TG_SLICE("d"), 0, &f->shared);
}

static int teardown(void **state) {
  struct fixture *f = *state;
  tg_shared_registry_free(f->registry);
  tg_buffer_deinit(&f->bytes);
  free(f);
  return 0;
}

static struct tg_shared_value number(double n) {
  return (struct tg_shared_value){.kind = TG_SHARED_NUMBER, .number = n};
}

static struct tg_shared_value text(const char *s) {
  return (struct tg_shared_value){.kind = TG_SHARED_STRING, .bytes = tg_slice_cstr(s)};
}

static tg_status put(struct fixture *f, enum tg_shared_mode mode, const char *key,
                     struct tg_shared_value value, double ttl) {
  return tg_shared_put(f->shared, mode, tg_slice_cstr(key), &value, ttl);
}

static tg_status get(struct fixture *f, const char *key) {
  return tg_shared_get(f->shared, tg_slice_cstr(key), &f->bytes, &f->value);
}

static void every_kind_comes_back(void **state) {
  struct fixture *f = *state;
  assert_int_equal(get(f, "k"), TG_ENOT_FOUND);
  assert_int_equal(put(f, TG_SHARED_SET, "k", number(1.5), 0), TG_OK);
  assert_int_equal(get(f, "k"), TG_OK);
  assert_int_equal(f->value.kind, TG_SHARED_NUMBER);
  assert_true(f->value.number == 1.5);
  struct tg_shared_value flag = {.kind = TG_SHARED_BOOLEAN, .boolean = true};
  assert_int_equal(put(f, TG_SHARED_SET, "k", flag, 0), TG_OK);
  assert_int_equal(get(f, "k"), TG_OK);
  assert_int_equal(f->value.kind, TG_SHARED_BOOLEAN);
  assert_true(f->value.boolean);
  struct tg_shared_value nul = {.kind = TG_SHARED_TABLE, .bytes = tg_slice("a\0b", 3)};
  assert_int_equal(tg_shared_put(f->shared, TG_SHARED_SET, tg_slice("k\0", 2), &nul, 0), TG_OK);
  assert_int_equal(tg_shared_get(f->shared, tg_slice("k\0", 2), &f->bytes, &f->value), TG_OK);
  assert_int_equal(f->value.kind, TG_SHARED_TABLE);
  assert_true(tg_slice_eq(f->value.bytes, nul.bytes));
  assert_int_equal(put(f, TG_SHARED_SET, "", text(""), 0), TG_OK); /* an empty key is a key */
  assert_int_equal(get(f, ""), TG_OK);
  assert_int_equal(f->value.kind, TG_SHARED_STRING);
  assert_int_equal(f->value.bytes.len, 0);
  struct tg_shared_value nil = {.kind = TG_SHARED_NIL};
  assert_int_equal(put(f, TG_SHARED_SET, "k", nil, 0), TG_OK);
  assert_int_equal(get(f, "k"), TG_ENOT_FOUND);
}

static void add_and_replace_look_first(void **state) {
  struct fixture *f = *state;
  assert_int_equal(put(f, TG_SHARED_REPLACE, "k", text("a"), 0), TG_ENOT_FOUND);
  assert_int_equal(put(f, TG_SHARED_ADD, "k", text("b"), 0), TG_OK);
  assert_int_equal(put(f, TG_SHARED_ADD, "k", text("c"), 0), TG_EEXISTS);
  assert_int_equal(get(f, "k"), TG_OK);
  assert_true(tg_slice_eq(f->value.bytes, TG_SLICE("b")));
  assert_int_equal(put(f, TG_SHARED_REPLACE, "k", text("d"), 0), TG_OK);
  assert_int_equal(get(f, "k"), TG_OK);
  assert_true(tg_slice_eq(f->value.bytes, TG_SLICE("d")));
  assert_true(tg_shared_delete(f->shared, TG_SLICE("k")));
  assert_false(tg_shared_delete(f->shared, TG_SLICE("k")));
}

static void incr_adds_and_begins(void **state) {
  struct fixture *f = *state;
  double sum = 0, init = 10;
  assert_int_equal(tg_shared_incr(f->shared, TG_SLICE("n"), 1, NULL, 0, &sum), TG_ENOT_FOUND);
  assert_int_equal(tg_shared_incr(f->shared, TG_SLICE("n"), 1, &init, 5, &sum), TG_OK);
  assert_true(sum == 11);
  assert_int_equal(tg_shared_incr(f->shared, TG_SLICE("n"), -2.5, &init, 99, &sum), TG_OK);
  assert_true(sum == 8.5);
  test_time += 6 * TG_SECOND; /* the time to live of the beginning holds */
  assert_int_equal(get(f, "n"), TG_ENOT_FOUND);
  assert_int_equal(put(f, TG_SHARED_SET, "s", text("1"), 0), TG_OK);
  assert_int_equal(tg_shared_incr(f->shared, TG_SLICE("s"), 1, &init, 0, &sum), TG_ECONFLICT);
}

static void entries_end_with_their_time(void **state) {
  struct fixture *f = *state;
  double left = 0;
  assert_int_equal(put(f, TG_SHARED_SET, "k", number(1), 2.5), TG_OK);
  assert_int_equal(tg_shared_ttl(f->shared, TG_SLICE("k"), &left), TG_OK);
  assert_true(fabs(left - 2.5) < 0.001);
  test_time += 2 * TG_SECOND;
  assert_int_equal(get(f, "k"), TG_OK);
  assert_int_equal(put(f, TG_SHARED_ADD, "k", number(2), 0), TG_EEXISTS);
  test_time += TG_SECOND;
  assert_int_equal(get(f, "k"), TG_ENOT_FOUND);
  assert_int_equal(tg_shared_ttl(f->shared, TG_SLICE("k"), &left), TG_ENOT_FOUND);
  assert_int_equal(put(f, TG_SHARED_ADD, "k", number(2), 0), TG_OK);
  assert_int_equal(tg_shared_ttl(f->shared, TG_SLICE("k"), &left), TG_OK);
  assert_true(isinf(left));
  assert_int_equal(tg_shared_expire(f->shared, TG_SLICE("k"), 1), TG_OK);
  test_time += 2 * TG_SECOND;
  assert_int_equal(tg_shared_expire(f->shared, TG_SLICE("k"), 1), TG_ENOT_FOUND);
  assert_false(tg_shared_delete(f->shared, TG_SLICE("k")));
  assert_int_equal(put(f, TG_SHARED_SET, "k", number(1), -1), TG_EINVALID);
  assert_int_equal(put(f, TG_SHARED_SET, "k", number(1), NAN), TG_EINVALID);
  assert_int_equal(put(f, TG_SHARED_SET, "k", number(1), INFINITY), TG_OK);
  assert_int_equal(tg_shared_expire(f->shared, TG_SLICE("k"), 1e300), TG_OK);
  assert_int_equal(tg_shared_ttl(f->shared, TG_SLICE("k"), &left), TG_OK);
  assert_true(isinf(left));
}

static void stores_sweep_what_has_expired(void **state) {
  struct fixture *f = *state;
  char key[32];
  for (int i = 0; i < 1000; i++) {
    snprintf(key, sizeof key, "old %d", i);
    assert_int_equal(put(f, TG_SHARED_SET, key, number(i), 1), TG_OK);
  }
  test_time += 2 * TG_SECOND;
  for (int i = 0; i < 4000; i++) {
    snprintf(key, sizeof key, "new %d", i % 400);
    assert_int_equal(put(f, TG_SHARED_SET, key, number(i), 0), TG_OK);
  }
  struct tg_shared_stats stats;
  tg_shared_stats(f->shared, &stats);
  assert_int_equal(stats.entries, 400);
  assert_int_equal(stats.evicted, 0);
}

static void the_budget_holds_and_the_least_used_go_first(void **state) {
  struct fixture *f = *state;
  struct tg_shared_stats stats;
  char key[32];
  assert_int_equal(tg_shared_registry_get(f->registry, TG_SLICE("d"), 65536, &f->shared), TG_OK);
  assert_int_equal(put(f, TG_SHARED_SET, "kept", text("v"), 0), TG_OK);
  for (int i = 0; i < 5000; i++) {
    snprintf(key, sizeof key, "k%d", i);
    assert_int_equal(put(f, TG_SHARED_SET, key, text("some value"), 0), TG_OK);
    assert_int_equal(get(f, "kept"), TG_OK); /* in use, so it stays */
    assert_int_equal(get(f, key), TG_OK);
    tg_shared_stats(f->shared, &stats);
    assert_true(stats.bytes <= 65536);
  }
  assert_true(stats.evicted > 3000);
  assert_true(stats.bytes > 32768);
  assert_int_equal(get(f, "k0"), TG_ENOT_FOUND);
  /* One large entry takes room from all the others. */
  static char large[60001];
  memset(large, 'x', sizeof large - 1);
  assert_int_equal(put(f, TG_SHARED_SET, "large", text(large), 0), TG_OK);
  assert_int_equal(get(f, "large"), TG_OK);
  tg_shared_stats(f->shared, &stats);
  assert_true(stats.bytes <= 65536);
  /* A reload with another budget. */
  assert_int_equal(tg_shared_registry_get(f->registry, TG_SLICE("d"), 4096, &f->shared), TG_OK);
  tg_shared_stats(f->shared, &stats);
  assert_true(stats.bytes <= 4096);
  assert_int_equal(put(f, TG_SHARED_SET, "large", text(large), 0), TG_ETOO_LARGE);
}

static void expired_ones_go_before_living_ones(void **state) {
  struct fixture *f = *state;
  char key[32], value[1000];
  memset(value, 'v', sizeof value);
  value[sizeof value - 1] = 0;
  assert_int_equal(tg_shared_registry_get(f->registry, TG_SLICE("d"), 1 << 20, &f->shared), TG_OK);
  for (int i = 0; i < 400; i++) {
    snprintf(key, sizeof key, "living %d", i);
    assert_int_equal(put(f, TG_SHARED_SET, key, text(value), 0), TG_OK);
    snprintf(key, sizeof key, "short %d", i);
    assert_int_equal(put(f, TG_SHARED_SET, key, text(value), 1), TG_OK);
  }
  test_time += 2 * TG_SECOND;
  for (int i = 0; i < 400; i++) {
    snprintf(key, sizeof key, "more %d", i);
    assert_int_equal(put(f, TG_SHARED_SET, key, text(value), 0), TG_OK);
  }
  struct tg_shared_stats stats;
  tg_shared_stats(f->shared, &stats);
  assert_int_equal(stats.evicted, 0);
  assert_int_equal(get(f, "living 0"), TG_OK);
}

static void what_is_too_large_is_refused(void **state) {
  struct fixture *f = *state;
  char *key = malloc(TG_SHARED_KEY_MAX + 1);
  memset(key, 'k', TG_SHARED_KEY_MAX + 1);
  struct tg_shared_value one = number(1);
  double sum, init = 0;
  assert_int_equal(
      tg_shared_put(f->shared, TG_SHARED_SET, tg_slice(key, TG_SHARED_KEY_MAX), &one, 0), TG_OK);
  assert_int_equal(
      tg_shared_put(f->shared, TG_SHARED_SET, tg_slice(key, TG_SHARED_KEY_MAX + 1), &one, 0),
      TG_ETOO_LARGE);
  assert_int_equal(
      tg_shared_incr(f->shared, tg_slice(key, TG_SHARED_KEY_MAX + 1), 1, &init, 0, &sum),
      TG_ETOO_LARGE);
  free(key);
}

static void the_registry_finds_by_name(void **state) {
  struct fixture *f = *state;
  struct tg_shared *other, *again;
  assert_int_equal(tg_shared_registry_get(f->registry, TG_SLICE("e"), 0, &other), TG_OK);
  assert_ptr_not_equal(other, f->shared);
  assert_int_equal(tg_shared_registry_get(f->registry, TG_SLICE("e"), 0, &again), TG_OK);
  assert_ptr_equal(other, again);
  char name[TG_SHARED_NAME_MAX + 1];
  memset(name, 'n', sizeof name);
  assert_int_equal(tg_shared_registry_get(f->registry, tg_slice(name, sizeof name), 0, &other),
                   TG_EINVALID);
  assert_int_equal(tg_shared_registry_get(f->registry, TG_SLICE(""), 0, &other), TG_EINVALID);
  assert_int_equal(tg_shared_registry_get(f->registry, TG_SLICE("x"), 100, &other), TG_EINVALID);
  tg_status status = TG_OK;
  for (int i = 0; i < 2000 && status == TG_OK; i++) {
    int len = snprintf(name, sizeof name, "many %d", i);
    status = tg_shared_registry_get(f->registry, tg_slice(name, (size_t)len), 0, &other);
  }
  assert_int_equal(status, TG_EOVERLOAD);
}

/* --- threads ---------------------------------------------------------------------------------------- */

#define THREADS 4
#define ROUNDS  20000

struct worker {
  pthread_t thread;
  struct tg_shared_registry *registry;
  uint64_t won; /* adds that succeeded */
  unsigned seed;
};

static void *work(void *arg) {
  struct worker *worker = arg;
  struct tg_shared *shared;
  struct tg_buffer bytes = {0};
  struct tg_shared_value value;
  const double init = 0;
  double sum;
  char key[32];
  if (tg_shared_registry_get(worker->registry, TG_SLICE("threads"), 0, &shared)) return "registry";
  for (int i = 0; i < ROUNDS; i++) {
    if (tg_shared_incr(shared, TG_SLICE("hits"), 1, &init, 0, &sum)) return "incr";
    int len = snprintf(key, sizeof key, "once %d", i);
    value = number(i);
    tg_status status = tg_shared_put(shared, TG_SHARED_ADD, tg_slice(key, (size_t)len), &value, 0);
    if (status == TG_OK)
      worker->won++;
    else if (status != TG_EEXISTS)
      return "add";
    worker->seed = worker->seed * 1103515245u + 12345u;
    len = snprintf(key, sizeof key, "mixed %u", worker->seed >> 16 & 63);
    value = text(key);
    if (tg_shared_put(shared, TG_SHARED_SET, tg_slice(key, (size_t)len), &value, 0.001))
      return "put";
    status = tg_shared_get(shared, tg_slice(key, (size_t)len), &bytes, &value);
    if (status == TG_OK && !tg_slice_eq(value.bytes, tg_slice(key, (size_t)len))) return "torn";
    if (i % 7 == 0) tg_shared_delete(shared, tg_slice(key, (size_t)len));
  }
  tg_buffer_deinit(&bytes);
  return NULL;
}

static void incr_and_add_are_exact_over_threads(void **state) {
  (void)state;
  struct tg_shared_registry *registry = tg_shared_registry_new(NULL);
  struct worker workers[THREADS];
  uint64_t won = 0;
  for (unsigned i = 0; i < THREADS; i++) {
    workers[i] = (struct worker){.registry = registry, .seed = i};
    assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
  }
  for (int i = 0; i < THREADS; i++) {
    void *failed;
    pthread_join(workers[i].thread, &failed);
    if (failed) fail_msg("a thread failed in %s", (char *)failed);
    won += workers[i].won;
  }
  struct tg_shared *shared;
  struct tg_buffer bytes = {0};
  struct tg_shared_value value;
  assert_int_equal(tg_shared_registry_get(registry, TG_SLICE("threads"), 0, &shared), TG_OK);
  assert_int_equal(tg_shared_get(shared, TG_SLICE("hits"), &bytes, &value), TG_OK);
  assert_true(value.number == THREADS * ROUNDS);
  assert_int_equal(won, ROUNDS);
  tg_buffer_deinit(&bytes);
  tg_shared_registry_free(registry);
}

static void *press(void *arg) {
  struct worker *worker = arg;
  struct tg_shared *shared;
  static const char large[2000];
  char key[32];
  if (tg_shared_registry_get(worker->registry, TG_SLICE("tight"), 65536, &shared))
    return "registry";
  for (int i = 0; i < ROUNDS / 4; i++) {
    int len = snprintf(key, sizeof key, "%u %d", worker->seed, i);
    struct tg_shared_value value = {.kind = TG_SHARED_STRING,
                                    .bytes = tg_slice(large, (size_t)(i * 37 % 2000))};
    if (tg_shared_put(shared, TG_SHARED_SET, tg_slice(key, (size_t)len), &value, 0)) return "put";
  }
  return NULL;
}

static void the_budget_holds_under_threads(void **state) {
  (void)state;
  struct tg_shared_registry *registry = tg_shared_registry_new(NULL);
  struct worker workers[THREADS];
  for (unsigned i = 0; i < THREADS; i++) {
    workers[i] = (struct worker){.registry = registry, .seed = i};
    assert_int_equal(pthread_create(&workers[i].thread, NULL, press, &workers[i]), 0);
  }
  for (int i = 0; i < THREADS; i++) {
    void *failed;
    pthread_join(workers[i].thread, &failed);
    assert_null(failed);
  }
  struct tg_shared *shared;
  struct tg_shared_stats stats;
  assert_int_equal(tg_shared_registry_get(registry, TG_SLICE("tight"), 0, &shared), TG_OK);
  tg_shared_stats(shared, &stats);
  assert_true(stats.bytes <= 65536);
  assert_true(stats.bytes > 16384);
  tg_shared_registry_free(registry);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(every_kind_comes_back),
      TEST(add_and_replace_look_first),
      TEST(incr_adds_and_begins),
      TEST(entries_end_with_their_time),
      TEST(stores_sweep_what_has_expired),
      TEST(the_budget_holds_and_the_least_used_go_first),
      TEST(expired_ones_go_before_living_ones),
      TEST(what_is_too_large_is_refused),
      TEST(the_registry_finds_by_name),
      cmocka_unit_test(incr_and_add_are_exact_over_threads),
      cmocka_unit_test(the_budget_holds_under_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
