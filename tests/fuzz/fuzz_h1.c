/* Streams of requests, read whole and in pieces: both must say the same, to the byte.
 *
 * Input: one byte that chooses the size of the pieces, one that chooses small limits or the common
 * ones, then the stream. */
#include <stdint.h>

#include "../unit/http/h1_drive.h"

static void set_small_limits(struct tg_settings *settings) {
  settings->limits_request_line = 64;
  settings->limits_header_block = 256;
  settings->limits_header_count = 4;
  settings->limits_body = 32;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  size_t piece = data[0] % 32u + 1;
  struct tg_slice input = tg_slice((const char *)data + 2, size - 2);
  struct drive whole, cut;
  drive_init(&whole);
  drive_init(&cut);
  if (data[1] & 1) {
    set_small_limits(&whole.settings);
    set_small_limits(&cut.settings);
  }
  drive_run(&whole, input, 0);
  drive_run(&cut, input, piece);
  TG_CHECK(strcmp(whole.verdict, cut.verdict) == 0);
  TG_CHECK(whole.left == cut.left);
  TG_CHECK(tg_slice_eq(drive_text(&whole), drive_text(&cut)));
  drive_deinit(&whole);
  drive_deinit(&cut);
  return 0;
}
