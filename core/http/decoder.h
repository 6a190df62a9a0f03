/* Content codings taken off (RFC 9110 section 8.4.1): gzip, deflate, br (RFC 7932), zstd (RFC
 * 8878).
 *
 * Streaming in both directions: it takes what has come and writes as much as there is room for, so
 * that who reads decides how much a bomb may become. Bytes only; zlib, libbrotli and libzstd do the
 * work. A decoder is on the heap because their windows are large: 8 MiB at most for zstd (RFC
 * 9659), 16 MiB for br, 32 KiB for the others, as far as the data asks for them. */
#ifndef TG_HTTP_DECODER_H
#define TG_HTTP_DECODER_H

#include <stdbool.h>

#include "base/slice.h"
#include "base/status.h"

enum tg_coding {
  TG_CODING_IDENTITY,
  TG_CODING_GZIP,
  TG_CODING_DEFLATE,
  TG_CODING_BR,
  TG_CODING_ZSTD,
  TG_CODING_UNKNOWN /* another one, or several at once */
};

/* Which one a Content-Encoding names, in any case; an empty value is identity. */
enum tg_coding tg_coding_of(struct tg_slice value);

struct tg_decoder;

/* For one body. NULL without memory; the coding is one of the four. */
struct tg_decoder *tg_decoder_new(enum tg_coding coding);
void tg_decoder_free(struct tg_decoder *decoder);

/* Decodes the front of *in, which it takes off, into `out`; *len is the room there before the call
 * (at least 1), and the number of bytes written after it. When the room was filled there may be
 * more, also without new input. TG_ESYNTAX: this is no such data, its window is too large, or
 * something follows its end; TG_ENOMEM. Both are final. */
TG_MUST_CHECK tg_status tg_decoder_run(struct tg_decoder *decoder, struct tg_slice *in, char *out,
                                       size_t *len);

/* May the data end here? A body without a byte may. */
bool tg_decoder_whole(const struct tg_decoder *decoder);

#endif
