/* permessage-deflate: what is agreed on, messages there and back, and what bombs and garbage cost.
 */
#include "http/ws_deflate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PMD "permessage-deflate"

static void offers(void **state) {
  (void)state;
  static const struct {
    const char *member, *alone, *context; /* the answer's value by what is wanted; NULL: refused */
  } rows[] = {
      {PMD,
       PMD "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12",
       PMD "; server_max_window_bits=12"},
      {PMD "; client_max_window_bits",
       PMD "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12; "
           "client_max_window_bits=12",
       PMD "; server_max_window_bits=12; client_max_window_bits=12"},
      {PMD "; client_max_window_bits=9; server_max_window_bits=\"10\"",
       PMD "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; "
           "client_max_window_bits=9",
       PMD "; server_max_window_bits=10; client_max_window_bits=9"},
      {"Permessage-Deflate ; server_no_context_takeover;client_no_context_takeover",
       PMD "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12",
       PMD "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12"},
      {"x-webkit-deflate-frame", NULL, NULL},
      {PMD "; unknown", NULL, NULL},
      {PMD ";",
       PMD "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12",
       PMD "; server_max_window_bits=12"},
      {PMD ";;client_max_window_bits", NULL, NULL},
      {PMD "; server_max_window_bits", NULL, NULL},
      {PMD "; server_max_window_bits=8", NULL, NULL},
      {PMD "; server_max_window_bits=16", NULL, NULL},
      {PMD "; server_max_window_bits=09", NULL, NULL},
      {PMD "; server_max_window_bits=+9", NULL, NULL},
      {PMD "; server_max_window_bits=9; server_max_window_bits=9", NULL, NULL},
      {PMD "; client_max_window_bits=7", NULL, NULL},
      {PMD "; client_no_context_takeover=1", NULL, NULL},
      {PMD "; client_no_context_takeover; client_no_context_takeover", NULL, NULL},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    for (int context = 0; context < 2; context++) {
      const char *wanted = context ? rows[i].context : rows[i].alone;
      struct tg_ws_deflate_terms terms;
      char text[TG_WS_DEFLATE_TERMS_MAX];
      bool taken =
          tg_ws_deflate_offer(tg_slice_cstr(rows[i].member),
                              context ? TG_WS_COMPRESS_CONTEXT : TG_WS_COMPRESS_ALONE, &terms);
      if (taken != (wanted != NULL)) fail_msg("row %zu", i);
      if (!taken) continue;
      struct tg_slice value = tg_slice(text, tg_ws_deflate_write_terms(text, &terms));
      if (!tg_slice_eq(value, tg_slice_cstr(wanted)))
        fail_msg("row %zu: %.*s", i, (int)value.len, value.ptr);
    }
  }
}

static void begin(struct tg_ws_deflate *d, const char *member, bool context) {
  struct tg_ws_deflate_terms terms;
  assert_true(tg_ws_deflate_offer(tg_slice_cstr(member),
                                  context ? TG_WS_COMPRESS_CONTEXT : TG_WS_COMPRESS_ALONE, &terms));
  tg_ws_deflate_init(d, &terms);
}

/* Section 7.2.3: a message, one that refers to it, stored blocks, and a last block. */
static void examples_of_the_rfc(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t len;
  } rows[] = {
      {"\xf2\x48\xcd\xc9\xc9\x07\x00", 7},
      {"\xf2\x00\x11\x00\x00", 5},
      {"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", 11},
      {"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8},
      {"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", 13},
  };
  for (size_t step = 1; step < 14; step++) {
    struct tg_ws_deflate d;
    begin(&d, PMD, true);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
      struct tg_buffer out = {0};
      for (size_t at = 0; at < rows[i].len; at += step) {
        size_t len = rows[i].len - at < step ? rows[i].len - at : step;
        assert_int_equal(tg_ws_inflate(&d, tg_slice(rows[i].bytes + at, len), &out, 100), TG_OK);
      }
      assert_int_equal(tg_ws_inflate_end(&d, &out, 100), TG_OK);
      if (!tg_slice_eq(tg_buffer_slice(&out), TG_SLICE("Hello"))) fail_msg("row %zu", i);
      tg_buffer_deinit(&out);
    }
    tg_ws_deflate_deinit(&d);
  }
}

static void there_and_back(void **state) {
  (void)state;
  static char text[50000];
  for (int context = 0; context < 2; context++) {
    struct tg_ws_deflate d;
    begin(&d, PMD, context);
    size_t first = 0;
    for (unsigned round = 0; round < 30; round++) {
      struct tg_buffer packed = {0}, out = {0};
      size_t len = round == 29 ? sizeof text : round * 100;
      unsigned dice = 7;
      for (size_t i = 0; i < len; i++) text[i] = (char)((dice = dice * 1103515245u + 12345u) >> 20);
      assert_int_equal(tg_ws_deflate_message(&d, tg_slice(text, len), &packed), TG_OK);
      if (round == 10) first = tg_buffer_size(&packed);
      assert_int_equal(tg_ws_inflate(&d, tg_buffer_slice(&packed), &out, sizeof text), TG_OK);
      assert_int_equal(tg_ws_inflate_end(&d, &out, sizeof text - tg_buffer_size(&out)), TG_OK);
      assert_int_equal(tg_buffer_size(&out), len);
      if (len) assert_memory_equal(out.data, text, len);
      tg_buffer_deinit(&packed);
      tg_buffer_deinit(&out);
    }
    /* noise grows alone, and is a reference where the message before had it */
    if (context) assert_true(first < 500);
    if (!context) assert_true(first >= 1000);
    assert_int_equal(d.in_open, context);
    assert_int_equal(d.out_open, context);
    tg_ws_deflate_deinit(&d);
  }
}

/* Ten megabytes in ten kilobytes: no more memory is taken than the limit. */
static void bombs_and_garbage(void **state) {
  (void)state;
  struct tg_ws_deflate d;
  struct tg_buffer packed = {0}, out = {0};
  char *zeros = calloc(1, 10 << 20);
  begin(&d, PMD, false);
  assert_int_equal(tg_ws_deflate_message(&d, tg_slice(zeros, 10 << 20), &packed), TG_OK);
  assert_true(tg_buffer_size(&packed) < 60000);
  assert_int_equal(tg_ws_inflate(&d, tg_buffer_slice(&packed), &out, 1000), TG_ETOO_LARGE);
  assert_true(tg_buffer_size(&out) <= 1000 && out.cap < 16384);
  tg_ws_deflate_deinit(&d);
  begin(&d, PMD, false);
  assert_int_equal(tg_ws_inflate(&d, TG_SLICE("\xff\xff\xff\xff"), &out, 1000), TG_EINVALID);
  tg_ws_deflate_deinit(&d);
  tg_buffer_deinit(&packed);
  tg_buffer_deinit(&out);
  free(zeros);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(offers),
      cmocka_unit_test(examples_of_the_rfc),
      cmocka_unit_test(there_and_back),
      cmocka_unit_test(bombs_and_garbage),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
