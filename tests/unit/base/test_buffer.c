/* The buffer: what goes in comes out, through growth and through reading from the front. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buffer.h"

static void bytes_come_out_as_they_went_in(void **state) {
  (void)state;
  struct tg_buffer buffer;
  tg_buffer_init(&buffer);
  unsigned in = 0, out = 0, random = 1;
  for (int round = 0; round < 20000; round++) {
    random = random * 1103515245u + 12345u;
    size_t n = random >> 16 & 127;
    char piece[128];
    for (size_t i = 0; i < n; i++) piece[i] = (char)in++;
    assert_int_equal(tg_buffer_append(&buffer, piece, n), TG_OK);
    random = random * 1103515245u + 12345u;
    size_t take = random >> 16 & 127;
    if (take > tg_buffer_size(&buffer)) take = tg_buffer_size(&buffer);
    struct tg_slice unread = tg_buffer_slice(&buffer);
    for (size_t i = 0; i < take; i++) assert_int_equal((unsigned char)unread.ptr[i], (out++) & 255);
    tg_buffer_consume(&buffer, take);
    assert_int_equal(tg_buffer_size(&buffer), in - out);
  }
  assert_true(buffer.cap < 1 << 16); /* what was read is not kept for ever */
  tg_buffer_clear(&buffer);
  assert_int_equal(tg_buffer_size(&buffer), 0);
  tg_buffer_deinit(&buffer);
  assert_null(buffer.data);
}

static void formatted_text(void **state) {
  (void)state;
  struct tg_buffer buffer = {0};
  assert_int_equal(tg_buffer_format(&buffer, "%s=%d;", "a", 1), TG_OK);
  assert_int_equal(tg_buffer_format(&buffer, "%0400d", 2), TG_OK);
  assert_int_equal(tg_buffer_size(&buffer), 404);
  assert_memory_equal(buffer.data, "a=1;000", 7);
  tg_buffer_deinit(&buffer);
}

static void room_that_cannot_be_is_refused(void **state) {
  (void)state;
  struct tg_buffer buffer = {0};
  assert_int_equal(tg_buffer_append(&buffer, "abc", 3), TG_OK);
  assert_int_equal(tg_buffer_reserve(&buffer, SIZE_MAX), TG_ENOMEM);
  assert_int_equal(tg_buffer_reserve(&buffer, SIZE_MAX / 4), TG_ENOMEM);
  assert_int_equal(tg_buffer_size(&buffer), 3);
  assert_memory_equal(buffer.data, "abc", 3);
  assert_int_equal(tg_buffer_append(&buffer, NULL, 0), TG_OK);
  tg_buffer_deinit(&buffer);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bytes_come_out_as_they_went_in),
      cmocka_unit_test(formatted_text),
      cmocka_unit_test(room_that_cannot_be_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
