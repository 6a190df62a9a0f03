/* Content codings: known bytes in every cut, several members, what is broken, and what bombs cost.
 */
#include "http/decoder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include <cmocka.h>

#include "decoder_drive.h"

#define PLAIN       "hello, hello, hello"
#define BYTES(list) tg_slice((const char *)(list), sizeof(list))

static const unsigned char br[] = {0x1b, 0x12, 0x00, 0xf8, 0x8d, 0x94, 0x6e, 0xde,
                                   0x44, 0x09, 0x52, 0x86, 0x96, 0x6c, 0x2c, 0x6f,
                                   0x11, 0x4f, 0x24, 0xd0, 0x71, 0x00};
static const unsigned char gz[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03,
                                   0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xd7, 0x51, 0xc8, 0x40, 0xa2,
                                   0x00, 0x9f, 0xa1, 0xca, 0x09, 0x13, 0x00, 0x00, 0x00};
static const unsigned char zlib[] = {0x78, 0x9c, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xd7, 0x51,
                                     0xc8, 0x40, 0xa2, 0x00, 0x44, 0x28, 0x06, 0xd5};
static const unsigned char raw[] = {0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xd7,
                                    0x51, 0xc8, 0x40, 0xa2, 0x00};
/* ten megabytes of zeros */
static const unsigned char br_bomb[] = {0xcb, 0xff, 0xff, 0x3f, 0xf8, 0x27, 0x00, 0xe2, 0xb1,
                                        0x40, 0x20, 0xf7, 0xfe, 0x2f, 0xff, 0xff, 0x3f, 0xf0,
                                        0x4f, 0x00, 0xc4, 0x61, 0x11, 0x80, 0xee, 0xfd, 0x07};

static struct tg_slice zstd_of(const char *text, size_t len, char *out, size_t room) {
  size_t packed = ZSTD_compress(out, room, text, len, 1);
  assert_false(ZSTD_isError(packed));
  return tg_slice(out, packed);
}

static tg_status run(enum tg_coding coding, struct tg_slice packed, size_t piece, size_t room,
                     struct tg_buffer *out) {
  tg_buffer_clear(out);
  return decoder_drive(coding, packed, piece, room, 1 << 20, out);
}

static void assert_plain(enum tg_coding coding, struct tg_slice packed) {
  struct tg_buffer out = {0};
  for (size_t piece = 0; piece < 4; piece++)
    for (size_t room = 1; room < 40; room += 6) {
      assert_int_equal(run(coding, packed, piece, room, &out), TG_OK);
      assert_true(tg_slice_eq(tg_buffer_slice(&out), TG_SLICE(PLAIN)));
    }
  tg_buffer_deinit(&out);
}

static void every_coding_in_every_cut(void **state) {
  (void)state;
  char room[256];
  assert_plain(TG_CODING_GZIP, BYTES(gz));
  assert_plain(TG_CODING_DEFLATE, BYTES(zlib));
  assert_plain(TG_CODING_DEFLATE, BYTES(raw)); /* as some servers send it */
  assert_plain(TG_CODING_BR, BYTES(br));
  assert_plain(TG_CODING_ZSTD, zstd_of(PLAIN, strlen(PLAIN), room, sizeof room));
}

static void names(void **state) {
  (void)state;
  assert_int_equal(tg_coding_of(TG_SLICE("")), TG_CODING_IDENTITY);
  assert_int_equal(tg_coding_of(TG_SLICE("Identity")), TG_CODING_IDENTITY);
  assert_int_equal(tg_coding_of(TG_SLICE(" GZip ")), TG_CODING_GZIP);
  assert_int_equal(tg_coding_of(TG_SLICE("x-gzip")), TG_CODING_GZIP);
  assert_int_equal(tg_coding_of(TG_SLICE("deflate")), TG_CODING_DEFLATE);
  assert_int_equal(tg_coding_of(TG_SLICE("br")), TG_CODING_BR);
  assert_int_equal(tg_coding_of(TG_SLICE("zstd")), TG_CODING_ZSTD);
  assert_int_equal(tg_coding_of(TG_SLICE("compress")), TG_CODING_UNKNOWN);
  assert_int_equal(tg_coding_of(TG_SLICE("gzip, br")), TG_CODING_UNKNOWN);
}

/* Two members of gzip and two frames of zstd are one text; the others end once. */
static void several_in_a_row(void **state) {
  (void)state;
  struct tg_buffer out = {0};
  unsigned char two[2 * sizeof gz];
  char frames[256];
  memcpy(two, gz, sizeof gz);
  memcpy(two + sizeof gz, gz, sizeof gz);
  size_t one = zstd_of(PLAIN, strlen(PLAIN), frames, 128).len;
  memcpy(frames + one, frames, one);
  for (size_t piece = 0; piece < 3; piece++) {
    assert_int_equal(run(TG_CODING_GZIP, BYTES(two), piece, 7, &out), TG_OK);
    assert_true(tg_slice_eq(tg_buffer_slice(&out), TG_SLICE(PLAIN PLAIN)));
    assert_int_equal(run(TG_CODING_ZSTD, tg_slice(frames, 2 * one), piece, 7, &out), TG_OK);
    assert_true(tg_slice_eq(tg_buffer_slice(&out), TG_SLICE(PLAIN PLAIN)));
  }
  tg_buffer_deinit(&out);
}

static void nothing_is_whole(void **state) {
  (void)state;
  for (int coding = TG_CODING_GZIP; coding <= TG_CODING_ZSTD; coding++) {
    struct tg_decoder *decoder = tg_decoder_new((enum tg_coding)coding);
    struct tg_slice none = TG_SLICE("");
    char room[8];
    size_t len = sizeof room;
    assert_true(tg_decoder_whole(decoder));
    assert_int_equal(tg_decoder_run(decoder, &none, room, &len), TG_OK);
    assert_int_equal(len, 0);
    assert_true(tg_decoder_whole(decoder));
    tg_decoder_free(decoder);
  }
  tg_decoder_free(NULL);
}

static void broken_or_cut_short(void **state) {
  (void)state;
  struct tg_buffer out = {0};
  char frame[128], longer[160];
  struct tg_slice packed[] = {BYTES(gz), BYTES(zlib), BYTES(br),
                              zstd_of(PLAIN, strlen(PLAIN), frame, sizeof frame)};
  for (int i = 0; i < 4; i++) {
    enum tg_coding coding = (enum tg_coding)(TG_CODING_GZIP + i);
    for (size_t len = 1; len < packed[i].len; len++)
      assert_int_equal(run(coding, tg_slice(packed[i].ptr, len), 1, 64, &out), TG_EAGAIN);
    memcpy(longer, packed[i].ptr, packed[i].len);
    memcpy(longer + packed[i].len, "!?", 3);
    struct tg_slice surplus = tg_slice(longer, packed[i].len + 2);
    assert_int_equal(run(coding, surplus, 0, 64, &out), TG_ESYNTAX);
    assert_int_equal(run(coding, surplus, 1, 1, &out), TG_ESYNTAX);
    assert_int_equal(run(coding, TG_SLICE("<html>it is not packed</html>"), 0, 64, &out),
                     TG_ESYNTAX);
  }
  memcpy(longer, gz, sizeof gz);
  longer[sizeof gz - 6] ^= 1; /* in the checksum */
  assert_int_equal(run(TG_CODING_GZIP, tg_slice(longer, sizeof gz), 0, 64, &out), TG_ESYNTAX);
  tg_buffer_deinit(&out);
}

/* Megabytes out of some bytes: as much comes as is asked for. */
static void bombs(void **state) {
  (void)state;
  struct tg_buffer out = {0};
  assert_int_equal(decoder_drive(TG_CODING_BR, BYTES(br_bomb), 0, 1000, 5000, &out), TG_ETOO_LARGE);
  assert_true(tg_buffer_size(&out) <= 6000);
  char *zeros = calloc(1, 10 << 20), packed[4096];
  tg_buffer_clear(&out);
  struct tg_slice frame = zstd_of(zeros, 10 << 20, packed, sizeof packed);
  assert_int_equal(decoder_drive(TG_CODING_ZSTD, frame, 0, 1000, 5000, &out), TG_ETOO_LARGE);
  assert_true(tg_buffer_size(&out) <= 6000);
  free(zeros);
  tg_buffer_deinit(&out);
}

/* A frame that asks for a window of 64 MiB (RFC 9659 allows 8). */
static void wide_windows_are_refused(void **state) {
  (void)state;
  struct tg_buffer out = {0};
  static const unsigned char wide[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00,
                                       0x80, 0x01, 0x00, 0x00}; /* exponent 16: 2^26 bytes */
  assert_int_equal(run(TG_CODING_ZSTD, BYTES(wide), 0, 64, &out), TG_ESYNTAX);
  tg_buffer_deinit(&out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(names),
      cmocka_unit_test(every_coding_in_every_cut),
      cmocka_unit_test(several_in_a_row),
      cmocka_unit_test(nothing_is_whole),
      cmocka_unit_test(broken_or_cut_short),
      cmocka_unit_test(bombs),
      cmocka_unit_test(wide_windows_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
