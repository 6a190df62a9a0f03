/* Frames: every rule of RFC 6455 section 5, whole and byte by byte. */
#include "http/websocket.h"

#include "http/ws_deflate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "websocket_drive.h"

#define LIMIT 1000

struct row {
  const char *bytes;
  size_t len;
  const char *words;
  size_t used; /* bytes after which it failed; 0: all were taken */
};

/* Masked with zeros, so that a payload can be read. */
#define M "\0\0\0\0"
#define ROW(bytes, words) \
  { bytes, sizeof(bytes) - 1, words, 0 }
#define BAD(bytes, words, used) \
  { bytes, sizeof(bytes) - 1, words, used }

static void run_row(const struct row *row, bool masked, size_t number) {
  for (size_t step = 0; step <= 7; step++) {
    struct ws_drive d;
    ws_drive_init(&d, masked, LIMIT);
    ws_drive_run(&d, tg_slice(row->bytes, row->len), step);
    struct tg_slice words = tg_slice(d.words.data ? d.words.data : "", d.words.len);
    if (!tg_slice_eq(words, tg_slice_cstr(row->words)))
      fail_msg("row %zu, step %zu: %.*s", number, step, (int)words.len, words.ptr);
    size_t used = row->used ? row->used : row->len;
    /* Text is judged by the piece: of longer pieces more may be taken than the byte at fault. */
    if (step == 1 && d.used != used) fail_msg("row %zu: %zu bytes were taken", number, d.used);
    ws_drive_deinit(&d);
  }
}

static void run_rows(const struct row *rows, size_t count) {
  for (size_t i = 0; i < count; i++) run_row(&rows[i], true, i);
}

#define RUN(rows) run_rows(rows, sizeof(rows) / sizeof(rows)[0])

/* Section 5.7. */
static void examples_of_the_rfc(void **state) {
  (void)state;
  static const struct row masked[] = {
      ROW("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "text Hello\n"),
      ROW("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "pong Hello\n"),
  };
  static const struct row plain[] = {
      ROW("\x81\x05\x48\x65\x6c\x6c\x6f", "text Hello\n"),
      ROW("\x01\x03\x48\x65\x6c\x80\x02\x6c\x6f", "text Hello\n"),
      ROW("\x89\x05\x48\x65\x6c\x6c\x6f", "ping Hello\n"),
  };
  RUN(masked);
  for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) run_row(&plain[i], false, i);
}

static void messages(void **state) {
  (void)state;
  static const struct row rows[] = {
      ROW("\x81\x80" M, "text\n"),
      ROW("\x82\x80" M, "binary\n"),
      ROW("\x82\x83" M "\xff\xfe\x01", "binary \xff\xfe\x01\n"),
      ROW("\x81\x82" M "ab\x81\x81" M "c", "text ab\ntext c\n"),
      ROW("\x01\x81" M "a\x00\x81" M "b\x00\x80" M "\x80\x81" M "c", "text abc\n"),
      ROW("\x01\x80" M "\x80\x80" M, "text\n"),
      ROW("\x01\x81" M "a\x89\x82" M "hi\x8a\x80" M "\x80\x81" M "b", "ping hi\npong\ntext ab\n"),
      ROW("\x02\x81" M "a\x88\x80" M, "close 1005\n"),
      /* a character over three fragments */
      ROW("\x01\x81" M "\xe2\x00\x81" M "\x82\x80\x81" M "\xac", "text \xe2\x82\xac\n"),
  };
  RUN(rows);
}

static void protocol_errors(void **state) {
  (void)state;
  static const struct row rows[] = {
      BAD("\x81\x05Hello", "error 1002\n", 2),           /* not masked */
      BAD("\xc1\x80" M, "error 1002\n", 1),              /* RSV1 */
      BAD("\xa1\x80" M, "error 1002\n", 1),              /* RSV2 */
      BAD("\x91\x80" M, "error 1002\n", 1),              /* RSV3 */
      BAD("\x83\x80" M, "error 1002\n", 1),              /* opcodes that mean nothing */
      BAD("\x87\x80" M, "error 1002\n", 1),              /**/
      BAD("\x8b\x80" M, "error 1002\n", 1),              /**/
      BAD("\x8f\x80" M, "error 1002\n", 1),              /**/
      BAD("\x80\x80" M, "error 1002\n", 1),              /* continues nothing */
      BAD("\x00\x80" M, "error 1002\n", 1),              /**/
      BAD("\x01\x80" M "\x81\x80" M, "error 1002\n", 7), /* a message inside of another */
      BAD("\x09\x80" M, "error 1002\n", 1),              /* a fragmented Ping, Pong, Close */
      BAD("\x0a\x80" M, "error 1002\n", 1),              /**/
      BAD("\x08\x80" M, "error 1002\n", 1),              /**/
      BAD("\x89\xfe\x00\x7e" M, "error 1002\n", 2),      /* a long Ping */
      BAD("\x88\xff" M M M, "error 1002\n", 2),          /* a very long Close */
      BAD("\x82\xfe\x00\x7d" M, "error 1002\n", 8),      /* longer forms of a length than needed */
      BAD("\x82\xff\0\0\0\0\0\0\xff\xff" M, "error 1002\n", 14),
      BAD("\x82\xff\x80\0\0\0\0\0\0\0" M, "error 1002\n", 14), /* the top bit of a length */
  };
  RUN(rows);
}

static void text_is_judged_at_once(void **state) {
  (void)state;
  static const struct row rows[] = {
      BAD("\x81\x84" M "a\xc3(b", "error 1007\n", 9),
      BAD("\x01\x82" M "a\xf4\x00\x82" M "\x90z", "error 1007\n", 15),
      BAD("\x01\x81" M "a\x80\x81" M "\xc3", "error 1007\n", 14), /* ends in a character */
      BAD("\x81\x83" M "\xed\xa0\x80", "error 1007\n", 8),
      ROW("\x82\x83" M "\xed\xa0\x80", "binary \xed\xa0\x80\n"),
  };
  RUN(rows);
}

static void closes(void **state) {
  (void)state;
  static const struct row rows[] = {
      ROW("\x88\x80" M, "close 1005\n"),
      ROW("\x88\x82" M "\x03\xe8", "close 1000\n"),
      ROW("\x88\x86" M "\x03\xf3_bye", "close 1011 _bye\n"),
      BAD("\x88\x81" M "\x03", "error 1002\n", 7),
      BAD("\x88\x83" M "\x03\xe8\xff", "error 1007\n", 9),
      BAD("\x88\x84" M "\x03\xe8\xe2\x82", "error 1007\n", 10),
  };
  RUN(rows);
  static const unsigned good[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010,
                                  1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999};
  static const unsigned bad[] = {0,    1,    999,  1004, 1005, 1006, 1015, 1016,
                                 1100, 1999, 2000, 2999, 5000, 5555, 65535};
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
    if (!tg_ws_valid_code(good[i])) fail_msg("%u", good[i]);
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    char frame[] = "\x88\x82" M "\0\0";
    frame[6] = (char)(bad[i] >> 8);
    frame[7] = (char)(bad[i] & 0xff);
    struct row row = {frame, 8, "error 1002\n", 0};
    run_row(&row, true, bad[i]);
  }
}

/* What is too long is refused by its length, before anything was reserved for it. */
static void lengths(void **state) {
  (void)state;
  static const struct row rows[] = {
      BAD("\x82\xfe\x03\xe9" M "xxxx", "error 1009\n", 8),
      BAD("\x82\xff\0\0\0\0\xff\0\0\0" M "xxxx", "error 1009\n", 14),
      BAD("\x82\xff\x40\0\0\0\0\0\0\0" M, "error 1009\n", 14),
      BAD("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff" M, "error 1009\n", 14),
      BAD("\x02\x81" M "x\x00\xfe\x03\xe8" M, "error 1009\n", 15), /* of all fragments together */
  };
  RUN(rows);
  static const size_t sizes[] = {0, 1, 125, 126, 127, 999, 1000};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    char frame[TG_WS_HEAD_MAX + LIMIT];
    size_t head = tg_ws_write_head(frame, TG_WS_BINARY, false, sizes[i]);
    assert_int_equal(head, sizes[i] < 126 ? 2 : 4);
    memset(frame + head, 'x', sizes[i]);
    struct ws_drive d;
    ws_drive_init(&d, false, LIMIT);
    ws_drive_run(&d, tg_slice(frame, head + sizes[i]), 3);
    assert_int_equal(d.words.len, sizes[i] ? 8 + sizes[i] : 7);
    ws_drive_deinit(&d);
  }
  char head[TG_WS_HEAD_MAX];
  assert_int_equal(tg_ws_write_head(head, TG_WS_TEXT, false, 65535), 4);
  assert_int_equal(tg_ws_write_head(head, TG_WS_TEXT, false, 65536), 10);
  assert_memory_equal(head, "\x81\x7f\0\0\0\0\0\x01\0\0", 10);
}

static void empty_fragments_are_counted(void **state) {
  (void)state;
  struct ws_drive d;
  ws_drive_init(&d, true, LIMIT);
  ws_drive_run(&d, tg_slice("\x01\x80" M, 6), 0);
  for (int i = 0; i < 2000 && d.words.len == 0; i++) ws_drive_run(&d, tg_slice("\0\x80" M, 6), 0);
  assert_true(tg_slice_eq(tg_buffer_slice(&d.words), TG_SLICE("error 1008\n")));
  ws_drive_deinit(&d);
}

/* Every key at every place of payloads of every length up to three words. */
static void masks(void **state) {
  (void)state;
  static const unsigned char key[] = {0x37, 0xfa, 0x21, 0x3d};
  for (size_t len = 0; len < 26; len++) {
    for (size_t step = 0; step < 13; step++) {
      char frame[64] = {(char)0x82, (char)(0x80 | len)}, words[64] = "binary ";
      memcpy(frame + 2, key, 4);
      for (size_t i = 0; i < len; i++) {
        words[7 + i] = (char)('a' + i);
        frame[6 + i] = (char)((unsigned char)words[7 + i] ^ key[i & 3]);
      }
      words[len ? 7 + len : 6] = '\n';
      struct ws_drive d;
      ws_drive_init(&d, true, LIMIT);
      ws_drive_run(&d, tg_slice(frame, 6 + len), step);
      assert_int_equal(d.words.len, len ? 8 + len : 7);
      assert_memory_equal(d.words.data, words, d.words.len);
      ws_drive_deinit(&d);
    }
  }
}

/* RFC 7692 section 7.2.3: with the extension agreed on, RSV1 is the first frame's of a message. */
static void compressed(void **state) {
  (void)state;
  static const struct row rows[] = {
      ROW("\xc1\x87" M "\xf2\x48\xcd\xc9\xc9\x07\x00", "text Hello\n"),
      ROW("\x41\x83" M "\xf2\x48\xcd\x89\x80" M "\x80\x84" M "\xc9\xc9\x07\x00",
          "ping\ntext Hello\n"),
      ROW("\xc1\x81" M "\x00\x81\x81" M "x", "text\ntext x\n"),
      ROW("\xc2\x88" M "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "binary Hello\n"),
      BAD("\xc9\x80" M, "error 1002\n", 1),
      BAD("\x41\x80" M "\xc0\x80" M, "error 1002\n", 7),
      BAD("\xe1\x80" M, "error 1002\n", 1),
      BAD("\xc1\x84" M "\xff\xff\xff\xff", "error 1007\n", 7),
      BAD("\xc2\xfe\x04\x29" M, "error 1009\n", 8), /* longer than the limit can become */
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    for (size_t step = 0; step <= 7; step++) {
      struct tg_ws_deflate_terms terms = {.agreed = true,
                                          .server_alone = true,
                                          .client_alone = true,
                                          .server_bits = 12,
                                          .client_bits = 15};
      struct tg_ws_deflate deflate;
      struct ws_drive d;
      tg_ws_deflate_init(&deflate, &terms);
      ws_drive_init(&d, true, LIMIT);
      d.parser.deflate = &deflate;
      ws_drive_run(&d, tg_slice(rows[i].bytes, rows[i].len), step);
      if (!tg_slice_eq(tg_buffer_slice(&d.words), tg_slice_cstr(rows[i].words)))
        fail_msg("row %zu, step %zu: %.*s", i, step, (int)d.words.len, d.words.data);
      if (step == 1 && rows[i].used) assert_int_equal(d.used, rows[i].used);
      ws_drive_deinit(&d);
      tg_ws_deflate_deinit(&deflate);
    }
  }
}

static void close_payloads(void **state) {
  (void)state;
  char out[TG_WS_CONTROL_MAX], reason[200];
  assert_int_equal(tg_ws_write_close(out, 1000, TG_SLICE("bye")), 5);
  assert_memory_equal(out,
                      "\x03\xe8"
                      "bye",
                      5);
  memset(reason, 'x', sizeof reason);
  assert_int_equal(tg_ws_write_close(out, 1000, tg_slice(reason, sizeof reason)), 125);
  memcpy(reason + 122, "\xc3\xa9", 2); /* a character over the end is left out whole */
  assert_int_equal(tg_ws_write_close(out, 1000, tg_slice(reason, sizeof reason)), 124);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(examples_of_the_rfc),
      cmocka_unit_test(messages),
      cmocka_unit_test(protocol_errors),
      cmocka_unit_test(text_is_judged_at_once),
      cmocka_unit_test(closes),
      cmocka_unit_test(lengths),
      cmocka_unit_test(empty_fragments_are_counted),
      cmocka_unit_test(masks),
      cmocka_unit_test(compressed),
      cmocka_unit_test(close_payloads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
