/* Multipart bodies: the same whole and in pieces, and never more than was sent.
 *
 * Input: one byte that chooses the size of the pieces, then the body; its boundary is "b". */
#include <stdint.h>
#include <stdlib.h>

#include "../unit/http/multipart_drive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const struct tg_slice type = {"multipart/form-data; boundary=b", 31};
  if (size < 1) return 0;
  struct tg_slice body = tg_slice((const char *)data + 1, size - 1);
  struct drive *whole = malloc(sizeof *whole), *cut = malloc(sizeof *cut);
  TG_CHECK(whole && cut);
  tg_status status = drive_run(whole, type, body, 0, 8);
  TG_CHECK(drive_run(cut, type, body, data[0] % 16u + 1, 8) == status);
  TG_CHECK(tg_slice_eq(tg_buffer_slice(&whole->text), tg_buffer_slice(&cut->text)));
  TG_CHECK(whole->text.len <= body.len + 64 || status);
  tg_buffer_deinit(&whole->text);
  tg_buffer_deinit(&cut->text);
  free(whole);
  free(cut);
  /* as a Content-Type: whatever it is, it is read within its bounds */
  struct tg_multipart *reader = malloc(sizeof *reader);
  TG_CHECK(reader);
  (void)!tg_multipart_init(reader, body, 1, 1);
  free(reader);
  return 0;
}
