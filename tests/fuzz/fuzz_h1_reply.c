/* Replies of a backend, read whole and in pieces: both must say the same, to the byte.
 *
 * Input: one byte that chooses the size of the pieces, one that chooses small limits or the common
 * ones and what the reply is to, then what the backend sends. */
#include <stdint.h>

#include "../unit/http/h1_reply_drive.h"

static void set_up(struct reply_drive *d, uint8_t choice) {
  reply_drive_init(d);
  d->to = (enum tg_reply_to)(choice / 2 % 3);
  if (choice & 1) {
    d->head_bytes = 64;
    d->head_fields = 4;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  struct tg_slice input = tg_slice((const char *)data + 2, size - 2);
  struct reply_drive whole, cut;
  set_up(&whole, data[1]);
  set_up(&cut, data[1]);
  reply_drive_run(&whole, input, 0);
  reply_drive_run(&cut, input, data[0] % 32u + 1);
  TG_CHECK(strcmp(whole.verdict, cut.verdict) == 0);
  TG_CHECK(whole.error || whole.left == cut.left);
  TG_CHECK(tg_slice_eq(tg_buffer_slice(&whole.text), tg_buffer_slice(&cut.text)));
  reply_drive_deinit(&whole);
  reply_drive_deinit(&cut);
  return 0;
}
