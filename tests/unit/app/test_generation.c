/* States that are loaded while the first one is: whole, broken at any place, and given up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/generation.h"
#include "app/watchdog.h"
#include "base/check.h"
#include "loop/thread.h"
#include "script/watch.h"
#include "store/shared.h"

#define FILES  120
#define STATES 4

#define CONFIG                      \
  "local tg = require 'tidegate'\n" \
  "return { on_start = function() " \
  "tg.shared('loads'):incr('starts') end, "

/* An application of FILES route files, and what is needed to build it. */
struct rig {
  struct tg_settings settings;
  struct tg_host host;
  struct tg_loop loop;
  struct tg_watchdog *watchdog;
  struct tg_watch watch;
  char dir[32];
  struct tg_build build;
  void (*run)(struct rig *rig);
  char text[4096]; /* of the errors */
};

static void write_file(const struct rig *rig, const char *name, const char *text) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", rig->dir, name);
  FILE *file = fopen(path, "w");
  TG_CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void write_route(const struct rig *rig, int number, const char *before) {
  char name[64], text[1024];
  snprintf(name, sizeof name, "routes/r%03d.lua", number);
  snprintf(text, sizeof text,
           "local tg, unit = require 'tidegate', require 'unit'\n"
           "local loads = tg.shared('loads'):incr('r%03d')\n%s\n"
           "return { ['GET /{id:int}'] = { query = { n = tg.schema.int }, run = function(req) "
           "return unit.name end } }\n",
           number, before);
  write_file(rig, name, text);
}

static void make_app(struct rig *rig) {
  char path[64];
  strcpy(rig->dir, "/tmp/tg-generation-XXXXXX");
  TG_CHECK(mkdtemp(rig->dir));
  static const char *const folders[] = {"routes", "lib", "templates"};
  for (int i = 0; i < 3; i++) {
    snprintf(path, sizeof path, "%s/%s", rig->dir, folders[i]);
    TG_CHECK(mkdir(path, 0700) == 0);
  }
  write_file(rig, "tidegate.lua", CONFIG "}");
  write_file(rig, "lib/unit.lua", "return { name = 'unit' }");
  write_file(rig, "templates/page.html", "<p>{{ name }}</p>");
  write_file(rig, "routes/_group.lua", "return { tags = { 'all' } }");
  for (int i = 0; i < FILES; i++) write_route(rig, i, "");
}

static void remove_app(struct rig *rig) {
  char path[128];
  for (int i = 0; i < FILES; i++) {
    snprintf(path, sizeof path, "%s/routes/r%03d.lua", rig->dir, i);
    (void)remove(path);
  }
  static const char *const names[] = {
      "tidegate.lua", "lib/unit.lua", "templates/page.html", "routes/_group.lua",
      "routes",       "lib",          "templates",           ""};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    snprintf(path, sizeof path, "%s/%s", rig->dir, names[i]);
    (void)remove(path);
  }
}

/* On a thread whose stack is large enough for Lua. */
static void *on_thread(void *arg) {
  struct rig *rig = arg;
  TG_CHECK(tg_loop_init(&rig->loop, 0) == TG_OK);
  tg_watchdog_add(rig->watchdog, &rig->watch);
  rig->run(rig);
  tg_watchdog_remove(rig->watchdog, &rig->watch);
  tg_loop_deinit(&rig->loop);
  return NULL;
}

static void run(struct rig *rig, void (*body)(struct rig *rig)) {
  pthread_t thread;
  rig->run = body;
  rig->build = (struct tg_build){.host = &rig->host,
                                 .loop = &rig->loop,
                                 .dir = rig->dir,
                                 .number = 1,
                                 .loops = STATES,
                                 .watch = &rig->watch,
                                 .watchdog = rig->watchdog,
                                 .start_hooks = true};
  assert_int_equal(tg_thread_start(&thread, "test", on_thread, rig), TG_OK);
  pthread_join(thread, NULL);
}

static int set_up(void **state) {
  struct rig *rig = calloc(1, sizeof *rig);
  TG_CHECK(rig);
  make_app(rig);
  tg_settings_init(&rig->settings);
  rig->host = (struct tg_host){.settings = &rig->settings,
                               .app_dir = rig->dir,
                               .shared = tg_shared_registry_new(tg_clock_now)};
  rig->watchdog = tg_watchdog_new();
  TG_CHECK(rig->host.shared && rig->watchdog);
  *state = rig;
  return 0;
}

static int tear_down(void **state) {
  struct rig *rig = *state;
  tg_watchdog_free(rig->watchdog);
  tg_shared_registry_free(rig->host.shared);
  remove_app(rig);
  free(rig);
  return 0;
}

/* How often a file has run, by its name, or on_start, as "starts". */
static int count(const struct rig *rig, const char *name) {
  struct tg_shared *shared;
  struct tg_shared_value value;
  struct tg_buffer bytes = {0};
  tg_status status = tg_shared_registry_get(rig->host.shared, TG_SLICE("loads"), 0, &shared);
  TG_CHECK(status == TG_OK);
  status = tg_shared_get(shared, tg_slice_cstr(name), &bytes, &value);
  tg_buffer_deinit(&bytes);
  return status ? 0 : (int)value.number;
}

/* ---- whole */

static void check_functions(const struct tg_generation *generation, struct tg_vm *vm) {
  const struct tg_app_state *state = vm->owner;
  for (uint32_t id = 0; id < generation->route_count; id++) {
    lua_rawgeti(vm->L, LUA_REGISTRYINDEX, state->run_refs[id]);
    assert_int_equal(lua_type(vm->L, -1), LUA_TFUNCTION);
    lua_pop(vm->L, 1);
  }
}

static void build_whole(struct rig *rig) {
  struct tg_load_errors errors;
  struct tg_generation *generation = tg_generation_build(&rig->build, &errors);
  if (!generation) fail_msg("%s", errors.text);
  assert_int_equal(generation->vm_count, STATES);
  assert_int_equal(generation->own_count, FILES);
  assert_int_equal(generation->refs, STATES + 1);
  for (unsigned i = 0; i < STATES; i++) {
    struct tg_vm *vm = generation->vms[i];
    assert_int_equal(vm->index, i);
    assert_ptr_equal(vm->loop, &rig->loop);
    assert_null(vm->watch);
    check_functions(generation, vm);
    tg_generation_free_vm(vm);
  }
  tg_generation_release(generation);
}

static void test_every_state_loads_every_file(void **state) {
  struct rig *rig = *state;
  for (int i = 1; i <= 3; i++) {
    run(rig, build_whole);
    assert_int_equal(count(rig, "r000"), STATES * i);
    assert_int_equal(count(rig, "r119"), STATES * i);
    assert_int_equal(count(rig, "starts"), STATES * i);
  }
}

/* ---- broken */

static void build_broken(struct rig *rig) {
  struct tg_load_errors errors;
  struct tg_generation *generation = tg_generation_build(&rig->build, &errors);
  assert_null(generation);
  assert_int_equal(errors.count, 1);
  snprintf(rig->text, sizeof rig->text, "%s", errors.text);
  tg_load_errors_deinit(&errors);
}

/* No other state runs a file that is broken, nor one behind it; no hook runs. */
static void test_the_first_state_ends_the_others(void **state) {
  static const int places[] = {0, 1, 17, 60, FILES - 1};
  struct rig *rig = *state;
  for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
    char name[32];
    snprintf(name, sizeof name, "r%03d", places[i]);
    int before = count(rig, name), last = count(rig, "r119");
    write_route(rig, places[i], "error('broken here')");
    run(rig, build_broken);
    assert_non_null(strstr(rig->text, "broken here"));
    assert_non_null(strstr(rig->text, name));
    assert_int_equal(count(rig, name), before + 1);
    assert_int_equal(count(rig, "r119"), last + 1);
    write_route(rig, places[i], "");
  }
  assert_int_equal(count(rig, "starts"), 0);
}

static void test_a_file_that_does_not_compile_ends_them_too(void **state) {
  struct rig *rig = *state;
  write_route(rig, 60, "return return");
  run(rig, build_broken);
  assert_non_null(strstr(rig->text, "routes/r060.lua:3"));
  assert_int_equal(count(rig, "r119"), 1);
  assert_int_equal(count(rig, "starts"), 0);
}

static void test_a_broken_configuration_begins_no_other(void **state) {
  struct rig *rig = *state;
  write_file(rig, "tidegate.lua", CONFIG "timeouts = { strat = 1 } }");
  run(rig, build_broken);
  assert_non_null(strstr(rig->text, "strat"));
  assert_int_equal(count(rig, "r000"), 1);
}

static void test_another_state_may_fail_alone(void **state) {
  struct rig *rig = *state;
  write_route(rig, 60, "if loads > 1 then error('only once') end");
  run(rig, build_broken);
  assert_non_null(strstr(rig->text, "only once"));
  assert_int_equal(count(rig, "starts"), 0);
}

static void test_states_have_the_same_routes(void **state) {
  struct rig *rig = *state;
  write_route(rig, 60, "if loads > 1 then return { ['PUT /'] = function() end } end");
  run(rig, build_broken);
  assert_non_null(strstr(rig->text, "other routes in one state than in another"));
  assert_int_equal(count(rig, "starts"), 0);
}

/* What is found after the first state has loaded, with the others close behind it. */
static void build_without_certificate(struct rig *rig) {
  rig->build.opens_tls = true;
  build_broken(rig);
}

static void test_a_certificate_that_is_not_there_ends_them(void **state) {
  struct rig *rig = *state;
  write_file(rig, "tidegate.lua",
             CONFIG "listen = { { '127.0.0.1:0', tls = { cert = 'no.pem', key = 'no.pem' } } } }");
  for (int i = 0; i < 5; i++) {
    run(rig, build_without_certificate);
    assert_non_null(strstr(rig->text, "no.pem"));
  }
  assert_int_equal(count(rig, "starts"), 0);
}

static void build_cancelled(struct rig *rig) {
  struct tg_starting starting = {.cancelled = true};
  rig->build.starting = &starting;
  build_broken(rig);
}

static void test_a_build_that_is_given_up_starts_nothing(void **state) {
  struct rig *rig = *state;
  run(rig, build_cancelled);
  assert_int_equal(count(rig, "starts"), 0);
  run(rig, build_whole);
  assert_int_equal(count(rig, "starts"), STATES);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_every_state_loads_every_file, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_the_first_state_ends_the_others, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_a_file_that_does_not_compile_ends_them_too, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(test_a_broken_configuration_begins_no_other, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(test_another_state_may_fail_alone, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_states_have_the_same_routes, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_a_certificate_that_is_not_there_ends_them, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(test_a_build_that_is_given_up_starts_nothing, set_up,
                                      tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
