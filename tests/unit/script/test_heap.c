/* The small objects of a Lua state: pieces do not overlap, memory comes back, slabs change class.
 */
#include "script/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct taken {
  unsigned char *ptr;
  size_t size;
  unsigned char mark;
};

static void fill(struct tg_heap *heap, struct taken *taken, size_t size, unsigned mark) {
  taken->ptr = tg_heap_take(heap, size);
  taken->size = size;
  taken->mark = (unsigned char)mark;
  assert_non_null(taken->ptr);
  assert_int_equal((uintptr_t)taken->ptr % 16, 0);
  memset(taken->ptr, taken->mark, size);
}

static void check_and_give(struct tg_heap *heap, struct taken *taken) {
  for (size_t i = 0; i < taken->size; i++) assert_int_equal(taken->ptr[i], taken->mark);
  tg_heap_give(heap, taken->ptr);
  taken->ptr = NULL;
}

static void test_pieces_of_all_sizes_are_apart(void **state) {
  (void)state;
  struct tg_heap heap;
  struct taken all[TG_HEAP_MOST];
  tg_heap_init(&heap);
  for (unsigned i = 0; i < TG_HEAP_MOST; i++) fill(&heap, &all[i], i + 1, i);
  for (unsigned i = 0; i < TG_HEAP_MOST; i++) check_and_give(&heap, &all[i]);
  tg_heap_deinit(&heap);
}

static void test_what_was_given_back_is_taken_again(void **state) {
  (void)state;
  struct tg_heap heap;
  tg_heap_init(&heap);
  void *first = tg_heap_take(&heap, 40);
  tg_heap_give(&heap, first);
  assert_ptr_equal(tg_heap_take(&heap, 48), first);
  tg_heap_deinit(&heap);
}

#define SLABS_MOST 64

struct seen {
  uintptr_t slabs[SLABS_MOST];
  unsigned count;
};

static void see(struct seen *seen, const void *piece) {
  uintptr_t slab = (uintptr_t)piece / TG_HEAP_SLAB;
  for (unsigned i = 0; i < seen->count; i++)
    if (seen->slabs[i] == slab) return;
  assert_true(seen->count < SLABS_MOST);
  seen->slabs[seen->count++] = slab;
}

/* Each class needs four slabs or five, one of which stays with it: the others go from hand to hand.
 */
static void test_empty_slabs_serve_other_classes(void **state) {
  (void)state;
  struct tg_heap heap;
  struct seen seen = {.count = 0};
  void **all = calloc(TG_HEAP_SLAB, sizeof *all);
  assert_non_null(all);
  tg_heap_init(&heap);
  for (size_t size = 16; size <= TG_HEAP_MOST; size += 16) {
    size_t count = 4 * TG_HEAP_SLAB / size;
    for (size_t i = 0; i < count; i++) see(&seen, all[i] = tg_heap_take(&heap, size));
    for (size_t i = 0; i < count; i++) tg_heap_give(&heap, all[i]);
  }
  free(all);
  tg_heap_deinit(&heap);
}

static void test_many_steps_at_random(void **state) {
  (void)state;
  struct tg_heap heap;
  static const unsigned seed = 7;
  struct taken all[2000] = {0};
  unsigned random = seed;
  tg_heap_init(&heap);
  for (unsigned step = 0; step < 200000; step++) {
    random = random * 1103515245u + 12345u;
    struct taken *one = &all[(random >> 8) % 2000];
    if (one->ptr)
      check_and_give(&heap, one);
    else
      fill(&heap, one, 1 + (random >> 16) % TG_HEAP_MOST, step);
  }
  for (unsigned i = 0; i < 2000; i++)
    if (all[i].ptr) check_and_give(&heap, &all[i]);
  tg_heap_deinit(&heap);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pieces_of_all_sizes_are_apart),
      cmocka_unit_test(test_what_was_given_back_is_taken_again),
      cmocka_unit_test(test_empty_slabs_serve_other_classes),
      cmocka_unit_test(test_many_steps_at_random),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
