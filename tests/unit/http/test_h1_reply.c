/* The parser of replies, over tables of what a backend sends and the verdicts it must get.
 *
 * Each row is run whole and in pieces of 1, 2, 3 and 7 bytes; all runs must say the same. */
#include "http/h1_reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "h1_reply_drive.h"

#define OK      "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"
#define LENGTH  OK "Content-Length: 5\r\n\r\n"
#define NEXT    OK "Content-Length: 0\r\n\r\n"

struct row {
  struct tg_slice input;
  const char *verdict;
};

#define ROW(input, verdict) \
  { {"" input, sizeof(input) - 1}, verdict }

static void assert_same(struct reply_drive *d, struct tg_slice input, const char *verdict) {
  static const size_t pieces[] = {0, 1, 2, 3, 7};
  struct tg_buffer said = {0};
  size_t left = 0;
  for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
    reply_drive_run(d, input, pieces[i]);
    if (strcmp(d->verdict, verdict) != 0)
      fail_msg("in pieces of %zu: %s instead of %s (%s): %.*s", pieces[i], d->verdict, verdict,
               d->error ? d->error : "", (int)(input.len < 300 ? input.len : 300), input.ptr);
    if (i == 0) {
      left = d->left;
      assert_int_equal(tg_buffer_append(&said, d->text.data, d->text.len), TG_OK);
    }
    assert_true(tg_slice_eq(tg_buffer_slice(&said), tg_buffer_slice(&d->text)));
    if (!d->error) assert_int_equal(d->left, left);
  }
  tg_buffer_deinit(&said);
}

static void check_rows(const struct row *rows, size_t count, enum tg_reply_to to) {
  struct reply_drive d;
  reply_drive_init(&d);
  d.to = to;
  for (size_t i = 0; i < count; i++) assert_same(&d, rows[i].input, rows[i].verdict);
  reply_drive_deinit(&d);
}

#define CHECK(rows, to) check_rows(rows, sizeof(rows) / sizeof((rows)[0]), to)

static void test_150_status_lines(void **state) {
  (void)state;
  static const struct row rows[] = {
      ROW(OK "Content-Length: 0\r\n\r\n", "200 ok"),
      ROW("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "200 ok"),
      ROW("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200 ok"),
      ROW("HTTP/1.1 200 All is \xc3\xa9\tgood\r\nContent-Length: 0\r\n\r\n", "200 ok"),
      ROW("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "200 close"),
      ROW("HTTP/1.1 599 x\r\nContent-Length: 0\r\n\r\n", "599 ok"),
      ROW("HTTP/1.1 600 x\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("HTTP/1.1 000 x\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("HTTP/1.1 099 x\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("HTTP/1.1 999 x\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("HTTP/1.1 20 x\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("HTTP/1.1 2000 x\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("HTTP/1.1 2x0 x\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("HTTP/1.1 -20 x\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("HTTP/1.1\t200 OK\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("HTTP/1.1 200\tOK\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("HTTP/1.1 200 O\x1bK\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("HTTP/1.1 200 OK\rContent-Length: 0\r\n\r\n", "bad"),
      ROW("HTTP/1.1 200 OK\r\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("HTTP/1.1 \r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("HTTP/01.1 200 OK\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("HTTP/1.10 200 OK\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("HTTP 1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("ICY 200 OK\r\n\r\n", "bad"),
      ROW("\r\n" NEXT, "bad"),
      ROW("\n" NEXT, "bad"),
      ROW(" " NEXT, "bad"),
      ROW("\0" NEXT, "bad"),
      ROW("<html>hello</html>\n", "bad"),
      ROW("hello", "bad"),
      ROW("SSH-2.0-OpenSSH_9.2\r\n", "bad"),
      ROW("\x15\x03\x01\x00\x02\x02\x0a", "bad"),
      ROW("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "bad"),
      ROW("HTTP/1.1 200 O", "cut"),
      ROW("HTTP/1.1 200 OK\r\nA: b\r\n", "cut"),
      ROW("", "cut"),
  };
  CHECK(rows, TG_REPLY_TO_OTHER);
}

static void test_150_fields(void **state) {
  (void)state;
  static const struct row rows[] = {
      ROW(OK "A: b\r\nA:c\r\nContent-Length: 0\r\n\r\n", "200 ok"),
      ROW(OK "A: b\n\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW(OK "A: b\nContent-Length: 0\r\n\r\n", "bad"),
      ROW(OK "A: b\rContent-Length: 0\r\n\r\n", "bad"),
      ROW(OK "Content-Length: 0\r\n\n", "bad"),
      ROW(OK "Content-Length: 0\n\n", "bad"),
      ROW(OK "A: b\r\n c\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW(OK "A: b\r\n\tc\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW(OK " A: b\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW(OK "A : b\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW(OK "A\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW(OK ": b\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW(OK "A\0: b\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW(OK "A: b\0c\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW(OK "A(: b\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW(OK "A: \x7f\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW(OK "A: \xc3\xa9\r\nContent-Length: 0\r\n\r\n", "200 ok"),
  };
  CHECK(rows, TG_REPLY_TO_OTHER);
}

static void test_150_framing(void **state) {
  (void)state;
  static const struct row rows[] = {
      ROW(LENGTH "hello", "200 ok"),
      ROW(LENGTH "hell", "200 cut"),
      ROW(LENGTH, "200 cut"),
      ROW(OK "\r\nhello", "200 close"),
      ROW(OK "\r\n", "200 close"),
      ROW(OK "Connection: close\r\nContent-Length: 5\r\n\r\nhello", "200 close"),
      ROW("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", "200 ok"),
      ROW("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhello", "200 close"),
      ROW(CHUNKED "5\r\nhello\r\n0\r\n\r\n", "200 ok"),
      ROW(CHUNKED "5;a=b\r\nhello\r\n0;c=\"d\"\r\n\r\n", "200 ok"),
      ROW(CHUNKED "5\r\nhello\r\n0\r\nA: b\r\n\r\n", "200 ok"),
      ROW(CHUNKED "5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n", "200 bad"),
      ROW(CHUNKED "5\r\nhello\r\n0\r\n", "200 cut"),
      ROW(CHUNKED "5\r\nhello\r\n0", "200 cut"),
      ROW(CHUNKED "5\r\nhello\r\n", "200 cut"),
      ROW(CHUNKED "5\r\nhel", "200 cut"),
      ROW(CHUNKED, "200 cut"),
      ROW(CHUNKED "5\nhello\r\n0\r\n\r\n", "200 bad"),
      ROW(CHUNKED "5\r\nhello\n0\r\n\r\n", "200 bad"),
      ROW(CHUNKED "5\r\nhello!\r\n0\r\n\r\n", "200 bad"),
      ROW(CHUNKED "0x5\r\nhello\r\n0\r\n\r\n", "200 bad"),
      ROW(CHUNKED "-5\r\nhello\r\n0\r\n\r\n", "200 bad"),
      ROW(CHUNKED "5 \r\nhello\r\n0\r\n\r\n", "200 bad"),
      ROW(CHUNKED "\r\nhello\r\n0\r\n\r\n", "200 bad"),
      ROW(CHUNKED "10000000000000000\r\nhello", "200 bad"),
      ROW(OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "bad"),
      ROW(OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "bad"),
      ROW(OK "Content-Length: 5, 5\r\n\r\nhello", "bad"),
      ROW(OK "Content-Length: +5\r\n\r\nhello", "bad"),
      ROW(OK "Content-Length: -5\r\n\r\nhello", "bad"),
      ROW(OK "Content-Length: 0x5\r\n\r\nhello", "bad"),
      ROW(OK "Content-Length: 5 5\r\n\r\nhello", "bad"),
      ROW(OK "Content-Length:\r\n\r\nhello", "bad"),
      ROW(OK "Content-Length: 99999999999999999999\r\n\r\nhello", "bad"),
      ROW(OK "Content-Length: 9223372036854775807\r\n\r\nhello", "bad"),
      ROW(OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "bad"),
      ROW(OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "bad"),
      ROW(OK "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "bad"),
      ROW(OK "Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", "bad"),
      ROW(OK "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "bad"),
      ROW(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "bad"),
      ROW(OK "Transfer-Encoding: identity\r\n\r\nhello", "bad"),
      ROW(OK "Transfer-Encoding: gzip\r\n\r\nhello", "bad"),
      ROW(OK "Transfer-Encoding: xchunked\r\n\r\nhello", "bad"),
      ROW(OK "Transfer-Encoding:\r\n\r\nhello", "bad"),
      ROW(OK "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", "200 ok"),
      ROW("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "bad"),
  };
  CHECK(rows, TG_REPLY_TO_OTHER);
}

static void test_154_bodies_where_none_is_allowed(void **state) {
  (void)state;
  static const struct row rows[] = {
      ROW("HTTP/1.1 204 No Content\r\n\r\n", "204 ok"),
      ROW("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "204 ok"),
      ROW("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", "bad"),
      ROW("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "bad"),
      ROW("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "304 ok"),
      ROW("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", "304 ok"),
      ROW("HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello" NEXT, "bad"),
      ROW("HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n" NEXT, "bad"),
      ROW("HTTP/1.1 101 Switching Protocols\r\nContent-Length: 5\r\n\r\n", "bad"),
  };
  CHECK(rows, TG_REPLY_TO_OTHER);
  static const struct row head[] = {
      ROW(LENGTH, "200 ok"),
      ROW(CHUNKED, "200 ok"),
      ROW(OK "\r\n", "200 ok"),
      ROW(OK "Content-Length: 5, 6\r\n\r\n", "bad"),
      ROW("HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n", "404 ok"),
  };
  CHECK(head, TG_REPLY_TO_HEAD);
  static const struct row connect[] = {
      ROW(LENGTH, "200 ok"),
      ROW(CHUNKED, "200 ok"),
      ROW("HTTP/1.1 407 Who?\r\nContent-Length: 2\r\n\r\nno", "407 ok"),
  };
  CHECK(connect, TG_REPLY_TO_CONNECT);
}

/* What is behind a reply stays: 153. */
static void test_153_surplus_is_left(void **state) {
  (void)state;
  static const struct row rows[] = {
      ROW(LENGTH "hello, world", "200 ok"),
      ROW("HTTP/1.1 204 No Content\r\n\r\nworld", "204 ok"),
      ROW("HTTP/1.1 304 Not Modified\r\n\r\nworld", "304 ok"),
      ROW(CHUNKED "0\r\n\r\nworld", "200 ok"),
      ROW("HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\nworld", "101 ok"),
  };
  struct reply_drive d;
  reply_drive_init(&d);
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    assert_same(&d, rows[i].input, rows[i].verdict);
    assert_true(d.left >= 5);
  }
  reply_drive_deinit(&d);
}

static void test_155_interim_replies(void **state) {
  (void)state;
  static const struct row rows[] = {
      ROW("HTTP/1.1 100 Continue\r\n\r\n" NEXT, "100 200 ok"),
      ROW("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 x\r\n\r\n" CHUNKED
          "1\r\na\r\n0\r\nT: u\r\n\r\n",
          "103 102 200 ok"),
      ROW("HTTP/1.1 100 Continue\r\n\r\n", "100 cut"),
      ROW("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 20", "100 cut"),
      ROW("HTTP/1.1 100 Continue\r\n\r\nhello", "100 bad"),
      ROW("HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n" NEXT, "100 200 ok"),
  };
  CHECK(rows, TG_REPLY_TO_OTHER);
}

static void test_151_limits(void **state) {
  (void)state;
  struct reply_drive d;
  reply_drive_init(&d);
  d.head_bytes = 64;
  d.head_fields = 3;
  static const struct row rows[] = {
      ROW(OK "A: 1\r\nB: 2\r\nContent-Length: 0\r\n\r\n", "200 ok"),
      ROW(OK "A: 1\r\nB: 2\r\nC: 3\r\nContent-Length: 0\r\n\r\n", "bad"),
      ROW("HTTP/1.1 200 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
          "bad"),
      ROW(OK "A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", "bad"),
      ROW(CHUNKED "5;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
          "200 bad"),
      ROW(CHUNKED "0\r\nA: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
          "200 bad"),
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    assert_same(&d, rows[i].input, rows[i].verdict);
  reply_drive_deinit(&d);
}

static void trailers_and_bodies_come_whole(void **state) {
  (void)state;
  struct reply_drive d;
  reply_drive_init(&d);
  assert_same(&d,
              TG_SLICE(CHUNKED "5\r\nhello\r\n7\r\n, world\r\n0\r\n"
                               "X-Sum: 12\r\nSet-Cookie: no\r\n\r\n"),
              "200 ok");
  struct tg_slice text = tg_buffer_slice(&d.text);
  assert_non_null(memmem(text.ptr, text.len, "\nhello, worldX-Sum\n12\n", 22));
  assert_null(memmem(text.ptr, text.len, "Cookie", 6));
  reply_drive_deinit(&d);
}

static void says_how_much_is_left(void **state) {
  (void)state;
  struct tg_h1_reply h1;
  struct tg_arena arena;
  size_t used;
  tg_arena_init(&arena, NULL, 0);
  tg_h1_reply_init(&h1, &arena, TG_REPLY_TO_OTHER, 1000, 10);
  assert_int_equal(tg_h1_reply_left(&h1), UINT64_MAX);
  struct tg_slice bytes = TG_SLICE(LENGTH "he");
  assert_int_equal(tg_h1_reply_feed(&h1, bytes, &used), TG_H1_HEAD);
  assert_int_equal(tg_h1_reply_left(&h1), 5);
  assert_int_equal(tg_h1_reply_feed(&h1, tg_slice_skip(bytes, used), &used), TG_H1_BODY);
  assert_int_equal(tg_h1_reply_left(&h1), 3);
  assert_int_equal(tg_h1_reply_feed(&h1, TG_SLICE("llo"), &used), TG_H1_BODY);
  assert_int_equal(tg_h1_reply_left(&h1), 0);
  assert_int_equal(tg_h1_reply_feed(&h1, tg_slice(NULL, 0), &used), TG_H1_END);
  assert_int_equal(tg_h1_reply_left(&h1), 0);
  assert_true(tg_slice_eq(tg_reply_find(&h1.reply, TG_SLICE("content-length")), TG_SLICE("5")));
  assert_null(tg_reply_find(&h1.reply, TG_SLICE("x")).ptr);
  tg_arena_reset(&arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_150_status_lines),
      cmocka_unit_test(test_150_fields),
      cmocka_unit_test(test_150_framing),
      cmocka_unit_test(test_154_bodies_where_none_is_allowed),
      cmocka_unit_test(test_153_surplus_is_left),
      cmocka_unit_test(test_155_interim_replies),
      cmocka_unit_test(test_151_limits),
      cmocka_unit_test(trailers_and_bodies_come_whole),
      cmocka_unit_test(says_how_much_is_left),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
