/* The watcher over real folders: each way in which files change is seen, and what does not matter
 * wakes nobody. */
#include "app/watcher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/bundle.h"
#include "base/check.h"
#include "temp_dir.h"

#define DEADLINE (10 * TG_SECOND)

/* What the watcher promises: it scans after so much silence, or so much noise. */
#define SILENCE (50 * TG_MILLISECOND)
#define NOISE   (500 * TG_MILLISECOND)

struct fixture {
  struct temp_dir *dir;
  char app[128];
  struct tg_loop loop;
  struct tg_watcher *watcher;
  struct tg_timer deadline;
  unsigned changes;
  bool late;
  struct {
    struct tg_timer timer;
    unsigned writes;
    uint64_t last, before;   /* when the last one was written, and the one before it */
    uint64_t begun, longest; /* since the last change was told: when that was, and the silence */
    bool hasty;              /* a change was told after neither silence nor noise enough */
  } noise;
};

/* Of the last save the watcher may not have heard yet: that of the one before it counts. */
static void measure_silence(struct fixture *fixture) {
  uint64_t silent = tg_clock_now() - fixture->noise.before;
  if (silent > fixture->noise.longest) fixture->noise.longest = silent;
}

static void on_changed(void *owner) {
  struct fixture *fixture = owner;
  uint64_t now = tg_clock_now();
  measure_silence(fixture);
  if (fixture->noise.longest < SILENCE && now - fixture->noise.begun < NOISE)
    fixture->noise.hasty = true;
  fixture->noise.longest = 0;
  fixture->noise.begun = now;
  fixture->changes++;
  tg_loop_stop(&fixture->loop);
}

static void on_deadline(struct tg_timer *timer) {
  struct fixture *fixture = TG_CONTAINER(timer, struct fixture, deadline);
  fixture->late = true;
  tg_loop_stop(&fixture->loop);
}

static int setup(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  if (!fixture || temp_dir_setup((void **)&fixture->dir) != 0) return -1;
  temp_dir_mkdir(fixture->dir, "app");
  temp_dir_mkdir(fixture->dir, "app/routes");
  temp_dir_write(fixture->dir, "app/routes/a.lua", "one");
  snprintf(fixture->app, sizeof fixture->app, "%s", temp_dir_path(fixture->dir, "app"));
  *state = fixture;
  return tg_loop_init(&fixture->loop, 0);
}

static int teardown(void **state) {
  struct fixture *fixture = *state;
  if (fixture->watcher) tg_watcher_close(fixture->watcher);
  tg_timer_stop(&fixture->loop.timers, &fixture->deadline);
  tg_timer_stop(&fixture->loop.timers, &fixture->noise.timer);
  tg_loop_deinit(&fixture->loop);
  int status = temp_dir_teardown((void **)&fixture->dir);
  free(fixture);
  return status;
}

/* Runs the loop until a change is told, or for `limit`; true when it was. */
static bool run_until_change(struct fixture *fixture, uint64_t limit) {
  fixture->changes = 0;
  fixture->late = false;
  assert_int_equal(tg_timer_start(&fixture->loop.timers, &fixture->deadline, tg_clock_now() + limit,
                                  on_deadline),
                   TG_OK);
  while (!fixture->changes && !fixture->late) tg_loop_run(&fixture->loop);
  tg_timer_stop(&fixture->loop.timers, &fixture->deadline);
  return fixture->changes > 0;
}

static void open_on(struct fixture *fixture, const char *config) {
  uint64_t hash;
  fixture->watcher = tg_watcher_open(&fixture->loop, fixture->app, config, on_changed, fixture);
  assert_non_null(fixture->watcher);
  assert_int_equal(tg_bundle_hash(fixture->app, config, &hash), TG_OK);
  tg_watcher_set_hash(fixture->watcher, hash);
}

#define assert_change(fixture) assert_true(run_until_change(fixture, DEADLINE))

static void test_a_save_is_seen_quickly(void **state) {
  struct fixture *fixture = *state;
  open_on(fixture, NULL);
  temp_dir_write(fixture->dir, "app/routes/a.lua", "two");
  uint64_t before = tg_clock_now();
  assert_change(fixture);
  assert_true(tg_clock_now() - before >= 40 * TG_MILLISECOND);
  temp_dir_write(fixture->dir, "app/routes/a.lua", "three");
  assert_change(fixture);
}

static void test_a_change_before_the_first_watch_is_seen(void **state) {
  struct fixture *fixture = *state;
  uint64_t hash;
  assert_int_equal(tg_bundle_hash(fixture->app, NULL, &hash), TG_OK);
  temp_dir_write(fixture->dir, "app/routes/a.lua", "two");
  fixture->watcher = tg_watcher_open(&fixture->loop, fixture->app, NULL, on_changed, fixture);
  tg_watcher_set_hash(fixture->watcher, hash);
  assert_change(fixture);
}

static void test_rename_over_and_deletion(void **state) {
  struct fixture *fixture = *state;
  open_on(fixture, NULL);
  temp_dir_write(fixture->dir, "app/routes/.a.lua.new", "two");
  temp_dir_rename(fixture->dir, "app/routes/.a.lua.new", "app/routes/a.lua");
  assert_change(fixture);
  assert_int_equal(unlink(temp_dir_path(fixture->dir, "app/routes/a.lua")), 0);
  assert_change(fixture);
}

static void test_new_folders_and_files_in_them(void **state) {
  struct fixture *fixture = *state;
  open_on(fixture, NULL);
  temp_dir_mkdir(fixture->dir, "app/routes/v1");
  temp_dir_mkdir(fixture->dir, "app/routes/v1/deep");
  temp_dir_write(fixture->dir, "app/routes/v1/deep/b.lua", "one");
  assert_change(fixture);
  temp_dir_write(fixture->dir, "app/routes/v1/deep/b.lua", "two");
  assert_change(fixture);
  temp_dir_mkdir(fixture->dir, "app/lib");
  temp_dir_write(fixture->dir, "app/lib/m.lua", "one");
  assert_change(fixture);
  temp_dir_write(fixture->dir, "app/lib/m.lua", "two");
  assert_change(fixture);
  temp_dir_write(fixture->dir, "app/tidegate.lua", "return {}");
  assert_change(fixture);
}

static void test_a_folder_deleted_and_made_again(void **state) {
  struct fixture *fixture = *state;
  open_on(fixture, NULL);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(unlink(temp_dir_path(fixture->dir, "app/routes/a.lua")), 0);
    assert_int_equal(rmdir(temp_dir_path(fixture->dir, "app/routes")), 0);
    assert_change(fixture);
    temp_dir_mkdir(fixture->dir, "app/routes");
    temp_dir_write(fixture->dir, "app/routes/a.lua", i % 2 ? "one" : "two");
    assert_change(fixture);
  }
}

static void test_the_application_moved_away_and_replaced(void **state) {
  struct fixture *fixture = *state;
  open_on(fixture, NULL);
  temp_dir_mkdir(fixture->dir, "next");
  temp_dir_mkdir(fixture->dir, "next/routes");
  temp_dir_write(fixture->dir, "next/routes/a.lua", "two");
  temp_dir_rename(fixture->dir, "app", "old");
  temp_dir_rename(fixture->dir, "next", "app");
  assert_change(fixture);
  temp_dir_write(fixture->dir, "app/routes/a.lua", "three");
  assert_change(fixture);
}

/* As Kubernetes does it: routes -> ..data/routes, ..data -> ..v1, and ..data is renamed over. */
static void test_a_swap_of_links_like_a_config_map(void **state) {
  struct fixture *fixture = *state;
  struct temp_dir *dir = fixture->dir;
  static const char *const versions[] = {"app/..v1", "app/..v2", "app/..v3"};
  char path[128];
  assert_int_equal(unlink(temp_dir_path(dir, "app/routes/a.lua")), 0);
  assert_int_equal(rmdir(temp_dir_path(dir, "app/routes")), 0);
  for (size_t i = 0; i < 3; i++) {
    temp_dir_mkdir(dir, versions[i]);
    snprintf(path, sizeof path, "%s/routes", versions[i]);
    temp_dir_mkdir(dir, path);
    snprintf(path, sizeof path, "%s/routes/a.lua", versions[i]);
    temp_dir_write(dir, path, versions[i]);
  }
  temp_dir_link(dir, "..v1", "app/..data");
  temp_dir_link(dir, "..data/routes", "app/routes");
  open_on(fixture, NULL);
  for (size_t i = 1; i < 3; i++) {
    temp_dir_link(dir, versions[i] + 4, "app/..data_tmp");
    temp_dir_rename(dir, "app/..data_tmp", "app/..data");
    assert_change(fixture);
  }
  temp_dir_write(dir, "app/..v3/routes/a.lua", "in place");
  assert_change(fixture);
}

static void test_the_application_is_a_link(void **state) {
  struct fixture *fixture = *state;
  struct temp_dir *dir = fixture->dir;
  temp_dir_mkdir(dir, "releases");
  temp_dir_mkdir(dir, "releases/2");
  temp_dir_mkdir(dir, "releases/2/routes");
  temp_dir_write(dir, "releases/2/routes/a.lua", "two");
  temp_dir_rename(dir, "app", "releases/1");
  temp_dir_link(dir, "releases/1", "app");
  open_on(fixture, NULL);
  temp_dir_link(dir, "releases/2", "app_new");
  temp_dir_rename(dir, "app_new", "app");
  assert_change(fixture);
  temp_dir_write(dir, "releases/2/routes/a.lua", "three");
  assert_change(fixture);
}

static void test_a_linked_file_changes_in_its_own_folder(void **state) {
  struct fixture *fixture = *state;
  struct temp_dir *dir = fixture->dir;
  temp_dir_mkdir(dir, "shared");
  temp_dir_write(dir, "shared/b.lua", "one");
  temp_dir_link(dir, "../../shared/b.lua", "app/routes/b.lua");
  open_on(fixture, NULL);
  temp_dir_write(dir, "shared/b.lua", "two");
  assert_change(fixture);
}

static void test_a_configuration_elsewhere(void **state) {
  struct fixture *fixture = *state;
  struct temp_dir *dir = fixture->dir;
  temp_dir_mkdir(dir, "etc");
  temp_dir_write(dir, "etc/gate.lua", "return {}");
  char config[128];
  snprintf(config, sizeof config, "%s", temp_dir_path(dir, "etc/gate.lua"));
  open_on(fixture, config);
  temp_dir_write(dir, "etc/new", "return { loops = 2 }");
  temp_dir_rename(dir, "etc/new", "etc/gate.lua");
  assert_change(fixture);
}

/* The last change proves that the watcher was awake all the time. */
static void test_what_is_not_the_application_changes_nothing(void **state) {
  struct fixture *fixture = *state;
  struct temp_dir *dir = fixture->dir;
  open_on(fixture, NULL);
  temp_dir_write(dir, "app/routes/notes.txt", "x");
  temp_dir_write(dir, "app/routes/.a.lua.swp", "x");
  temp_dir_write(dir, "app/data.db", "x");
  temp_dir_write(dir, "elsewhere", "x");
  temp_dir_write(dir, "app/routes/a.lua", "one"); /* the same bytes again */
  assert_false(run_until_change(fixture, 300 * TG_MILLISECOND));
  temp_dir_write(dir, "app/routes/a.lua", "two");
  assert_change(fixture);
}

static void on_write_again(struct tg_timer *timer);

static void start_noise(struct fixture *fixture) {
  assert_int_equal(tg_timer_start(&fixture->loop.timers, &fixture->noise.timer,
                                  tg_clock_now() + 10 * TG_MILLISECOND, on_write_again),
                   TG_OK);
}

static void on_write_again(struct tg_timer *timer) {
  struct fixture *fixture = TG_CONTAINER(timer, struct fixture, noise.timer);
  char text[32];
  measure_silence(fixture);
  snprintf(text, sizeof text, "write %u", fixture->noise.writes++);
  temp_dir_write(fixture->dir, "app/routes/a.lua", text);
  fixture->noise.before = fixture->noise.last;
  fixture->noise.last = tg_clock_now();
  start_noise(fixture);
}

/* 100 saves a second leave no 50 ms of silence, but where this process does not get to run: then
 * the change may be told early, and there is more noise. */
static void test_noise_without_end_is_not_waited_out(void **state) {
  struct fixture *fixture = *state;
  fixture->noise.begun = fixture->noise.last = fixture->noise.before = tg_clock_now();
  open_on(fixture, NULL);
  start_noise(fixture);
  do {
    assert_change(fixture);
    assert_false(fixture->noise.hasty);
  } while (fixture->noise.writes <= 10);
}

static void test_close_during_a_scan(void **state) {
  struct fixture *fixture = *state;
  open_on(fixture, NULL);
  temp_dir_write(fixture->dir, "app/routes/a.lua", "two");
  assert_change(fixture);
  temp_dir_write(fixture->dir, "app/routes/a.lua", "three");
  run_until_change(fixture, 51 * TG_MILLISECOND);
  tg_watcher_close(fixture->watcher);
  fixture->watcher = NULL;
}

static void on_folder(void *owner, const char *path) {
  char *list = owner;
  strcat(list, path);
  strcat(list, "\n");
}

static void test_each_names_the_folders(void **state) {
  struct fixture *fixture = *state;
  char list[1024] = "", expected[512];
  temp_dir_mkdir(fixture->dir, "app/routes/v1");
  temp_dir_mkdir(fixture->dir, "app/lib");
  open_on(fixture, NULL);
  tg_watcher_each(fixture->watcher, on_folder, list);
  snprintf(expected, sizeof expected, "%s/lib\n%s/routes\n%s/routes/v1\n", fixture->app,
           fixture->app, fixture->app);
  assert_string_equal(list, expected);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_a_save_is_seen_quickly),
      TEST(test_a_change_before_the_first_watch_is_seen),
      TEST(test_rename_over_and_deletion),
      TEST(test_new_folders_and_files_in_them),
      TEST(test_a_folder_deleted_and_made_again),
      TEST(test_the_application_moved_away_and_replaced),
      TEST(test_a_swap_of_links_like_a_config_map),
      TEST(test_the_application_is_a_link),
      TEST(test_a_linked_file_changes_in_its_own_folder),
      TEST(test_a_configuration_elsewhere),
      TEST(test_what_is_not_the_application_changes_nothing),
      TEST(test_noise_without_end_is_not_waited_out),
      TEST(test_close_during_a_scan),
      TEST(test_each_names_the_folders),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
