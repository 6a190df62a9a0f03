/* The arena: alignment, growth, reset, and memory that is gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/arena.h"

static void pieces_are_aligned_and_apart(void **state) {
  (void)state;
  char first[1000];
  struct tg_arena arena;
  tg_arena_init(&arena, first + 1, sizeof first - 1);
  char *pieces[200];
  for (size_t i = 0; i < 200; i++) {
    pieces[i] = tg_arena_alloc(&arena, i);
    assert_non_null(pieces[i]);
    assert_int_equal((uintptr_t)pieces[i] % 16, 0);
    memset(pieces[i], (int)i, i);
  }
  for (size_t i = 0; i < 200; i++)
    for (size_t k = 0; k < i; k++) assert_int_equal((unsigned char)pieces[i][k], i);
  tg_arena_reset(&arena);
}

static void the_first_block_is_used_first_and_again(void **state) {
  (void)state;
  _Alignas(16) char first[256];
  struct tg_arena arena;
  tg_arena_init(&arena, first, sizeof first);
  char *piece = tg_arena_alloc(&arena, 100);
  assert_ptr_equal(piece, first);
  char *large = tg_arena_alloc(&arena, 200000); /* more than any block would be */
  assert_non_null(large);
  memset(large, 1, 200000);
  tg_arena_reset(&arena);
  assert_ptr_equal(tg_arena_alloc(&arena, 1), first);
  tg_arena_reset(&arena);
}

static void copies_are_copies(void **state) {
  (void)state;
  struct tg_arena arena;
  tg_arena_init(&arena, NULL, 0);
  char text[] = "text";
  struct tg_slice copy = tg_arena_copy(&arena, tg_slice(text, 4));
  text[0] = 'n';
  assert_true(tg_slice_eq(copy, TG_SLICE("text")));
  struct tg_slice empty = tg_arena_copy(&arena, tg_slice(NULL, 0));
  assert_int_equal(empty.len, 0);
  assert_non_null(empty.ptr);
  tg_arena_reset(&arena);
}

static void a_size_past_all_memory_is_null(void **state) {
  (void)state;
  struct tg_arena arena;
  tg_arena_init(&arena, NULL, 0);
  assert_non_null(tg_arena_alloc(&arena, 10));
  assert_null(tg_arena_alloc(&arena, SIZE_MAX / 2 + 1));
  assert_null(tg_arena_alloc(&arena, SIZE_MAX - 64));
  assert_null(tg_arena_alloc(&arena, SIZE_MAX));
  assert_non_null(tg_arena_alloc(&arena, 10)); /* still of use */
  tg_arena_reset(&arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(pieces_are_aligned_and_apart),
      cmocka_unit_test(the_first_block_is_used_first_and_again),
      cmocka_unit_test(copies_are_copies),
      cmocka_unit_test(a_size_past_all_memory_is_null),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
