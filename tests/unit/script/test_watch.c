/* Strikes of the watchdog: they end the step that they are for, and no other one. */
#include "script/watch.h"

#include <lua.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <lauxlib.h>

#include "script/vm.h"

#include <cmocka.h>

struct scene {
  struct tg_vm vm;
  struct tg_watch watch;
};

static void begin(struct scene *scene) {
  *scene = (struct scene){0};
  scene->vm.watch = &scene->watch;
  scene->vm.L = luaL_newstate();
  assert_non_null(scene->vm.L);
}

/* What the watchdog does when it has found the present turn too long, up to its signal. */
static void strike_due(struct scene *scene) {
  atomic_store(&scene->watch.due, atomic_load(&scene->watch.turns));
}

static bool armed(const struct scene *scene) {
  return lua_gethook(scene->vm.L) != NULL;
}

static void test_the_step_that_is_due_is_struck(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene);
  tg_watch_enter(&scene.watch, &scene.vm, 1);
  strike_due(&scene);
  tg_watch_strike(&scene.watch);
  assert_true(armed(&scene));
  tg_watch_leave(&scene.watch);
  assert_false(armed(&scene));
  lua_close(scene.vm.L);
}

static void test_a_late_signal_strikes_nobody(void **state) {
  (void)state;
  struct scene scene;
  begin(&scene);
  tg_watch_enter(&scene.watch, &scene.vm, 1);
  strike_due(&scene);
  tg_watch_leave(&scene.watch);
  tg_watch_strike(&scene.watch); /* between two steps */
  assert_false(armed(&scene));
  tg_watch_enter(&scene.watch, &scene.vm, 1);
  tg_watch_strike(&scene.watch); /* in the next one */
  assert_false(armed(&scene));
  tg_watch_leave(&scene.watch);
  lua_close(scene.vm.L);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_step_that_is_due_is_struck),
      cmocka_unit_test(test_a_late_signal_strikes_nobody),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
