/* Gates by name: one to a name while it is used, and none left after. */
#include "upstream/gates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void one_gate_to_a_name(void **state) {
  (void)state;
  struct tg_loop loop;
  struct tg_gate_wait wait;
  assert_int_equal(tg_loop_init(&loop, 0), TG_OK);
  struct tg_gates *gates = tg_gates_new();
  struct tg_gate *a = tg_gates_hold(gates, TG_SLICE("a"), 1, 0);
  struct tg_gate *b = tg_gates_hold(gates, TG_SLICE("b"), 1, 0);
  assert_ptr_not_equal(a, b);
  assert_ptr_equal(tg_gates_hold(gates, TG_SLICE("a"), 1, 0), a);
  assert_int_equal(tg_gate_enter(a, &loop, &wait, 0), TG_OK);
  assert_int_equal(tg_gate_enter(a, &loop, &wait, 0), TG_EOVERLOAD);
  assert_ptr_equal(tg_gates_hold(gates, TG_SLICE("a"), 2, 0), a); /* another limit */
  assert_int_equal(tg_gate_enter(a, &loop, &wait, 0), TG_OK);
  tg_gate_leave(a);
  tg_gate_leave(a);
  for (int i = 0; i < 3; i++) tg_gates_release(gates, a);
  tg_gates_release(gates, b);
  assert_int_equal(tg_gates_count(gates), 2);
  tg_gates_free(gates);
  tg_gates_free(NULL);
  tg_loop_deinit(&loop);
}

/* Names that come and go do not pile up; who is held or inside stays. */
static void unused_ones_go(void **state) {
  (void)state;
  struct tg_loop loop;
  struct tg_gate_wait wait;
  assert_int_equal(tg_loop_init(&loop, 0), TG_OK);
  struct tg_gates *gates = tg_gates_new();
  struct tg_gate *held = tg_gates_hold(gates, TG_SLICE("held"), 1, 0);
  struct tg_gate *inside = tg_gates_hold(gates, TG_SLICE("inside"), 1, 0);
  assert_int_equal(tg_gate_enter(inside, &loop, &wait, 0), TG_OK);
  tg_gates_release(gates, inside);
  for (int i = 0; i < 100000; i++) {
    char name[32];
    int len = snprintf(name, sizeof name, "host%d", i);
    tg_gates_release(gates, tg_gates_hold(gates, tg_slice(name, (size_t)len), 1, 0));
  }
  assert_true(tg_gates_count(gates) <= 258);
  assert_ptr_equal(tg_gates_hold(gates, TG_SLICE("inside"), 1, 0), inside);
  assert_int_equal(tg_gate_enter(inside, &loop, &wait, 0), TG_EOVERLOAD);
  tg_gate_leave(inside);
  tg_gates_release(gates, inside);
  tg_gates_release(gates, held);
  tg_gates_free(gates);
  tg_loop_deinit(&loop);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_gate_to_a_name),
      cmocka_unit_test(unused_ones_go),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
