/* The settings table: every row's default lies in its range, and what lies outside is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <math.h>

#include "base/clock.h"
#include "base/settings.h"

static void every_row_is_sound(void **state) {
  (void)state;
  struct tg_settings settings;
  tg_settings_init(&settings);
  size_t rows = 0;
  for (const struct tg_setting_row *row = tg_settings_rows; row->key; row++, rows++) {
    assert_ptr_equal(tg_settings_find(tg_slice_cstr(row->key)), row);
    assert_true(row->def >= row->min && row->def <= row->max);
    assert_true(row->doc[0] && row->doc[strlen(row->doc) - 1] == '.');
    assert_true(fabs(tg_settings_get(&settings, row) - row->def) < 1e-9);
    assert_int_equal(tg_settings_set(&settings, row, row->min), TG_OK);
    assert_int_equal(tg_settings_set(&settings, row, row->max), TG_OK);
    assert_true(fabs(tg_settings_get(&settings, row) - row->max) < 1e-6);
    assert_int_equal(tg_settings_set(&settings, row, row->max * 2 + 1), TG_ERANGE);
    assert_int_equal(tg_settings_set(&settings, row, row->min - 1), TG_ERANGE);
    assert_int_equal(tg_settings_set(&settings, row, (double)NAN), TG_ERANGE);
    assert_true(fabs(tg_settings_get(&settings, row) - row->max) < 1e-6); /* unchanged */
  }
#define TEXT_BYTES(key, field, bytes, doc) +(bytes)
  size_t texts = 0 TG_SETTINGS_TEXT_MAP(TEXT_BYTES);
#undef TEXT_BYTES
  assert_int_equal(rows, (sizeof settings - texts) / sizeof(uint64_t));
}

static void durations_are_nanoseconds_and_sizes_are_whole(void **state) {
  (void)state;
  struct tg_settings settings;
  tg_settings_init(&settings);
  const struct tg_setting_row *header = tg_settings_find(TG_SLICE("timeouts.header"));
  assert_int_equal(settings.timeouts_header, 10 * TG_SECOND);
  assert_int_equal(tg_settings_set(&settings, header, 0.25), TG_OK);
  assert_int_equal(settings.timeouts_header, TG_SECOND / 4);
  const struct tg_setting_row *body = tg_settings_find(TG_SLICE("limits.body"));
  assert_int_equal(tg_settings_set(&settings, body, 10.5), TG_ERANGE);
  assert_int_equal(settings.limits_body, 1048576);
}

static void unknown_keys_are_null(void **state) {
  (void)state;
  static const char *const keys[] = {"",           "limits",     "limits.", "limits.bodyx",
                                     "limits.bod", "LIMITS.BODY"};
  for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
    assert_null(tg_settings_find(tg_slice_cstr(keys[i])));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_row_is_sound),
      cmocka_unit_test(durations_are_nanoseconds_and_sizes_are_whole),
      cmocka_unit_test(unknown_keys_are_null),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
