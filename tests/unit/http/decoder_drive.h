/* Takes a coding off a whole text with pieces and room of given sizes, for tests and the fuzzer. */
#ifndef TG_TESTS_DECODER_DRIVE_H
#define TG_TESTS_DECODER_DRIVE_H

#include "base/buffer.h"
#include "base/check.h"
#include "http/decoder.h"

/* Appends at most `most` bytes to *out: TG_ETOO_LARGE past that, TG_EAGAIN where it is not whole.
 */
static inline tg_status decoder_drive(enum tg_coding coding, struct tg_slice packed, size_t piece,
                                      size_t room, size_t most, struct tg_buffer *out) {
  struct tg_decoder *decoder = tg_decoder_new(coding);
  TG_CHECK(decoder && room);
  char *at = malloc(room);
  TG_CHECK(at);
  tg_status status = TG_OK;
  while (status == TG_OK && packed.len) {
    size_t take = piece && piece < packed.len ? piece : packed.len, len;
    struct tg_slice in = tg_slice(packed.ptr, take);
    packed = tg_slice_skip(packed, take);
    do {
      len = room;
      status = tg_decoder_run(decoder, &in, at, &len);
      TG_CHECK(len <= room && tg_buffer_append(out, at, len) == TG_OK);
      if (tg_buffer_size(out) > most) status = TG_ETOO_LARGE;
    } while (status == TG_OK && len == room);
    TG_CHECK(status || !in.len);
  }
  if (status == TG_OK && !tg_decoder_whole(decoder)) status = TG_EAGAIN;
  tg_decoder_free(decoder);
  free(at);
  return status;
}

#endif
