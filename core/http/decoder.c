/* One step function a coding, with the same way of telling what was taken and written. */
#include "http/decoder.h"

#include <brotli/decode.h>
#include <stdint.h>
#include <stdlib.h>
#define ZLIB_CONST
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/check.h"

#define ZSTD_WINDOW_LOG 23                /* 8 MiB: the most that RFC 9659 allows in HTTP */
#define STEP_MAX        ((size_t)1 << 30) /* zlib counts in unsigned int */

struct tg_decoder {
  enum tg_coding coding;
  bool opened; /* zlib: which of its formats this is was seen from the first byte */
  bool whole;
  union {
    z_stream z;
    BrotliDecoderState *br;
    ZSTD_DCtx *zstd;
  } of;
};

enum tg_coding tg_coding_of(struct tg_slice value) {
  static const struct {
    const char *name;
    enum tg_coding coding;
  } rows[] = {{"", TG_CODING_IDENTITY},       {"identity", TG_CODING_IDENTITY},
              {"gzip", TG_CODING_GZIP},       {"x-gzip", TG_CODING_GZIP},
              {"deflate", TG_CODING_DEFLATE}, {"br", TG_CODING_BR},
              {"zstd", TG_CODING_ZSTD}};
  value = tg_slice_trim(value);
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    if (tg_slice_ieq(value, tg_slice_cstr(rows[i].name))) return rows[i].coding;
  return TG_CODING_UNKNOWN;
}

static bool open_library(struct tg_decoder *decoder) {
  switch (decoder->coding) {
    case TG_CODING_BR:
      decoder->of.br = BrotliDecoderCreateInstance(NULL, NULL, NULL);
      return decoder->of.br != NULL;
    case TG_CODING_ZSTD:
      decoder->of.zstd = ZSTD_createDCtx();
      if (!decoder->of.zstd) return false;
      (void)ZSTD_DCtx_setParameter(decoder->of.zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
      return true;
    default: return true; /* zlib is opened at the first byte */
  }
}

struct tg_decoder *tg_decoder_new(enum tg_coding coding) {
  TG_CHECK(coding > TG_CODING_IDENTITY && coding < TG_CODING_UNKNOWN);
  struct tg_decoder *decoder = calloc(1, sizeof *decoder);
  if (!decoder) return NULL;
  decoder->coding = coding;
  decoder->whole = true;
  if (open_library(decoder)) return decoder;
  free(decoder);
  return NULL;
}

void tg_decoder_free(struct tg_decoder *decoder) {
  if (!decoder) return;
  if (decoder->coding == TG_CODING_BR)
    BrotliDecoderDestroyInstance(decoder->of.br);
  else if (decoder->coding == TG_CODING_ZSTD)
    (void)ZSTD_freeDCtx(decoder->of.zstd);
  else if (decoder->opened)
    (void)inflateEnd(&decoder->of.z);
  free(decoder);
}

/* "deflate" is the format of zlib (RFC 9110 section 8.4.1.2), but some send what that wraps; its
 * first byte then cannot be that of a zlib header unless it begins with an odd stored block. */
static int window_bits(const struct tg_decoder *decoder, unsigned char first) {
  if (decoder->coding == TG_CODING_GZIP) return 16 + MAX_WBITS;
  return (first & 0x0f) == Z_DEFLATED && first >> 4 <= 7 ? MAX_WBITS : -MAX_WBITS;
}

static tg_status begin_zlib(struct tg_decoder *decoder, struct tg_slice in) {
  z_stream *z = &decoder->of.z;
  if (!decoder->opened) {
    int bits = window_bits(decoder, (unsigned char)in.ptr[0]);
    if (inflateInit2(z, bits) != Z_OK) return TG_ENOMEM;
    decoder->opened = true;
  } else if (decoder->whole) {
    /* gzip may consist of several members (RFC 1952 section 2.2) */
    if (decoder->coding != TG_CODING_GZIP || inflateReset(z) != Z_OK) return TG_ESYNTAX;
  }
  return TG_OK;
}

static tg_status run_zlib(struct tg_decoder *decoder, struct tg_slice *in, char *out,
                          size_t *written, size_t room) {
  z_stream *z = &decoder->of.z;
  size_t given = in->len < STEP_MAX ? in->len : STEP_MAX;
  tg_status status = given ? begin_zlib(decoder, *in) : TG_OK;
  if (status || !decoder->opened || (decoder->whole && !given)) return status;
  z->next_in = (const unsigned char *)in->ptr;
  z->avail_in = (uInt)given;
  z->next_out = (unsigned char *)out;
  z->avail_out = (uInt)room;
  int code = inflate(z, Z_NO_FLUSH);
  *in = tg_slice_skip(*in, given - z->avail_in);
  *written = room - z->avail_out;
  decoder->whole = code == Z_STREAM_END;
  if (code == Z_MEM_ERROR) return TG_ENOMEM;
  /* Z_BUF_ERROR: there was nothing to do */
  return code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR ? TG_OK : TG_ESYNTAX;
}

static tg_status run_br(struct tg_decoder *decoder, struct tg_slice *in, char *out, size_t *written,
                        size_t room) {
  const uint8_t *next_in = (const uint8_t *)in->ptr;
  uint8_t *next_out = (uint8_t *)out;
  size_t left = in->len, out_left = room;
  if (decoder->opened && decoder->whole) return in->len ? TG_ESYNTAX : TG_OK;
  if (!decoder->opened && !in->len) return TG_OK;
  decoder->opened = true;
  BrotliDecoderResult code =
      BrotliDecoderDecompressStream(decoder->of.br, &left, &next_in, &out_left, &next_out, NULL);
  *in = tg_slice_skip(*in, in->len - left);
  *written = room - out_left;
  decoder->whole = code == BROTLI_DECODER_RESULT_SUCCESS;
  if (code != BROTLI_DECODER_RESULT_ERROR) return TG_OK;
  BrotliDecoderErrorCode why = BrotliDecoderGetErrorCode(decoder->of.br);
  bool no_memory = why <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES &&
                   why >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES;
  return no_memory ? TG_ENOMEM : TG_ESYNTAX;
}

static tg_status run_zstd(struct tg_decoder *decoder, struct tg_slice *in, char *out,
                          size_t *written, size_t room) {
  ZSTD_inBuffer from = {in->ptr, in->len, 0};
  void *start = out;
  ZSTD_outBuffer to = {start, room, 0};
  if (decoder->whole && !in->len) return TG_OK;
  size_t code = ZSTD_decompressStream(decoder->of.zstd, &to, &from);
  *in = tg_slice_skip(*in, from.pos);
  *written = to.pos;
  decoder->whole = code == 0; /* further frames may follow */
  if (!ZSTD_isError(code)) return TG_OK;
  return ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation ? TG_ENOMEM : TG_ESYNTAX;
}

tg_status tg_decoder_run(struct tg_decoder *decoder, struct tg_slice *in, char *out, size_t *len) {
  size_t room = *len < STEP_MAX ? *len : STEP_MAX, done = 0;
  tg_status status = TG_OK;
  bool moved = true;
  while (status == TG_OK && moved && done < room) {
    size_t before = in->len, written = 0;
    if (decoder->coding == TG_CODING_BR)
      status = run_br(decoder, in, out + done, &written, room - done);
    else if (decoder->coding == TG_CODING_ZSTD)
      status = run_zstd(decoder, in, out + done, &written, room - done);
    else
      status = run_zlib(decoder, in, out + done, &written, room - done);
    done += written;
    moved = written || in->len != before;
  }
  *len = done;
  /* it takes no more and yet is no error: nothing that would end by being asked again */
  return status == TG_OK && in->len && done < room ? TG_ESYNTAX : status;
}

bool tg_decoder_whole(const struct tg_decoder *decoder) {
  return decoder->whole;
}
