/* The list: order, removal from anywhere and twice, and moving one list to another's end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/list.h"

struct item {
  int number;
  struct tg_list node;
};

static void assert_list(struct tg_list *list, const char *digits) {
  const struct tg_list *node = list->next;
  for (; *digits; digits++, node = node->next) {
    assert_ptr_not_equal(node, list);
    assert_int_equal(TG_CONTAINER(node, struct item, node)->number, *digits - '0');
    assert_ptr_equal(node->next->prev, node);
  }
  assert_ptr_equal(node, list);
}

static void order_and_removal(void **state) {
  (void)state;
  struct tg_list list, other;
  struct item items[6];
  tg_list_init(&list);
  tg_list_init(&other);
  assert_true(tg_list_empty(&list));
  assert_null(tg_list_take_first(&list));
  for (int i = 0; i < 6; i++) items[i].number = i;
  tg_list_append(&list, &items[1].node);
  tg_list_append(&list, &items[2].node);
  tg_list_prepend(&list, &items[0].node);
  assert_list(&list, "012");
  tg_list_remove(&items[1].node);
  tg_list_remove(&items[1].node); /* harmless */
  assert_list(&list, "02");
  for (int i = 3; i < 6; i++) tg_list_append(&other, &items[i].node);
  tg_list_move(&list, &other);
  assert_list(&list, "02345");
  assert_true(tg_list_empty(&other));
  tg_list_move(&list, &other);
  assert_list(&list, "02345");
  tg_list_move(&other, &list);
  assert_list(&other, "02345");
  assert_ptr_equal(tg_list_take_first(&other), &items[0].node);
  assert_true(tg_list_empty(&items[0].node));
  assert_list(&other, "2345");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(order_and_removal)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
