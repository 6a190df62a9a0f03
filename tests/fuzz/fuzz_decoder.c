/* Content codings: the same whole and in pieces, and never more than there was room for.
 *
 * Input: one byte that chooses the coding and the size of the pieces, then the data. */
#include <stdint.h>
#include <stdlib.h>

#include "../unit/http/decoder_drive.h"

#define MOST ((size_t)1 << 16)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  enum tg_coding coding = (enum tg_coding)(TG_CODING_GZIP + data[0] % 4);
  struct tg_slice packed = tg_slice((const char *)data + 1, size - 1);
  struct tg_buffer whole = {0}, cut = {0};
  tg_status status = decoder_drive(coding, packed, 0, 1024, MOST, &whole);
  tg_status other = decoder_drive(coding, packed, data[0] / 4 % 16u + 1, 24, MOST, &cut);
  TG_CHECK(tg_buffer_size(&whole) <= MOST + 1024);
  /* where it breaks, the libraries may hold back what came before */
  if (status == TG_OK || other == TG_OK) {
    TG_CHECK(other == status);
    TG_CHECK(tg_slice_eq(tg_buffer_slice(&whole), tg_buffer_slice(&cut)));
  }
  tg_buffer_deinit(&whole);
  tg_buffer_deinit(&cut);
  (void)tg_coding_of(packed);
  return 0;
}
