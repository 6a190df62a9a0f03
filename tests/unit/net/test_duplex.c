/* tg_duplex over a socket pair: what is asked, what comes, and that nothing is lost in between. */
#include "net/duplex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"

struct rig {
  struct tg_loop loop;
  struct tg_duplex *duplex;
  int far; /* the other end, blocking */
};

static int called;

static void on_ready(struct tg_duplex_read *read) {
  (void)read;
  called++;
}

static void on_room(struct tg_duplex_room *room) {
  (void)room;
  called++;
}

static int setup(void **state) {
  struct rig *rig = calloc(1, sizeof *rig);
  int pair[2];
  assert_non_null(rig);
  assert_int_equal(tg_loop_init(&rig->loop, 0), 0);
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  rig->duplex = tg_duplex_new(&rig->loop, TG_DUPLEX_PIPE);
  assert_non_null(rig->duplex);
  assert_int_equal(tg_duplex_attach(rig->duplex, pair[0]), 0);
  rig->far = pair[1];
  called = 0;
  *state = rig;
  return 0;
}

static int teardown(void **state) {
  struct rig *rig = *state;
  if (rig->duplex) tg_duplex_close(rig->duplex);
  if (rig->far >= 0) close(rig->far);
  tg_loop_deinit(&rig->loop); /* proves that the handle is gone */
  free(rig);
  return 0;
}

static void turn(struct rig *rig) {
  uv_run(&rig->loop.uv, UV_RUN_NOWAIT);
}

static void until_called(struct rig *rig) {
  while (!called) uv_run(&rig->loop.uv, UV_RUN_ONCE);
}

static void far_says(struct rig *rig, const char *text) {
  assert_int_equal(write(rig->far, text, strlen(text)), strlen(text));
}

static void far_ends(struct rig *rig) {
  close(rig->far);
  rig->far = -1;
}

static struct tg_duplex_read ask(enum tg_duplex_want want, size_t count, const char *delimiter) {
  struct tg_duplex_read read;
  tg_duplex_read_init(&read, want, count);
  read.delimiter = tg_slice_cstr(delimiter);
  read.ready = on_ready;
  return read;
}

/* Asks, waits where it must, takes, and compares. */
static tg_status get(struct rig *rig, struct tg_duplex_read read, const char *expected) {
  tg_status status = tg_duplex_look(rig->duplex, &read);
  if (status == TG_EAGAIN) {
    called = 0;
    tg_duplex_wait(rig->duplex, &read);
    until_called(rig);
    status = tg_duplex_look(rig->duplex, &read);
    tg_duplex_unwait(&read);
  }
  if (status) return status;
  assert_int_equal(read.bytes.len, strlen(expected));
  assert_memory_equal(read.bytes.ptr, expected, read.bytes.len);
  tg_duplex_take(rig->duplex, &read);
  return status;
}

static void gives_what_is_there(void **state) {
  struct rig *rig = *state;
  far_says(rig, "hello");
  assert_int_equal(get(rig, ask(TG_WANT_SOME, 3, ""), "hel"), TG_OK);
  assert_int_equal(get(rig, ask(TG_WANT_SOME, 9, ""), "lo"), TG_OK);
  far_ends(rig);
  assert_int_equal(get(rig, ask(TG_WANT_SOME, 9, ""), ""), UV_EOF);
  assert_int_equal(tg_duplex_buffered(rig->duplex), 0);
}

static void exactly_waits_for_the_rest(void **state) {
  struct rig *rig = *state;
  struct tg_duplex_read read = ask(TG_WANT_EXACTLY, 4, "");
  far_says(rig, "ab");
  assert_int_equal(tg_duplex_look(rig->duplex, &read), TG_EAGAIN);
  tg_duplex_wait(rig->duplex, &read);
  turn(rig);
  assert_int_equal(called, 0);
  far_says(rig, "cde");
  until_called(rig);
  assert_int_equal(called, 1);
  tg_duplex_unwait(&read);
  assert_int_equal(get(rig, ask(TG_WANT_EXACTLY, 4, ""), "abcd"), TG_OK);
  far_ends(rig);
  assert_int_equal(get(rig, ask(TG_WANT_EXACTLY, 4, ""), ""), UV_EOF);
  assert_int_equal(tg_duplex_buffered(rig->duplex), 1);
  assert_int_equal(get(rig, ask(TG_WANT_SOME, 4, ""), "e"), TG_OK);
}

static void a_delimiter_may_come_in_parts(void **state) {
  struct rig *rig = *state;
  struct tg_duplex_read read = ask(TG_WANT_UNTIL, 100, "\r\n\r\n");
  assert_int_equal(tg_duplex_look(rig->duplex, &read), TG_EAGAIN);
  tg_duplex_wait(rig->duplex, &read);
  for (const char *part = "head\r\n\r\r\n\r"; *part; part++) {
    char byte[2] = {*part, 0};
    far_says(rig, byte);
    turn(rig);
  }
  assert_int_equal(called, 0);
  far_says(rig, "\nbody");
  until_called(rig);
  tg_duplex_unwait(&read);
  assert_int_equal(get(rig, ask(TG_WANT_UNTIL, 100, "\r\n\r\n"), "head\r\n\r"), TG_OK);
  assert_int_equal(get(rig, ask(TG_WANT_SOME, 100, ""), "body"), TG_OK);
}

static void a_limit_loses_nothing(void **state) {
  struct rig *rig = *state;
  far_says(rig, "12345;6");
  assert_int_equal(get(rig, ask(TG_WANT_UNTIL, 4, ";"), ""), TG_ETOO_LARGE);
  assert_int_equal(get(rig, ask(TG_WANT_LINE, 4, ""), ""), TG_ETOO_LARGE);
  assert_int_equal(get(rig, ask(TG_WANT_ALL, 4, ""), ""), TG_ETOO_LARGE);
  assert_int_equal(get(rig, ask(TG_WANT_UNTIL, 5, ";"), "12345"), TG_OK);
  far_ends(rig);
  assert_int_equal(get(rig, ask(TG_WANT_UNTIL, 5, ";"), ""), UV_EOF);
  assert_int_equal(get(rig, ask(TG_WANT_ALL, 1, ""), "6"), TG_OK);
  assert_int_equal(get(rig, ask(TG_WANT_ALL, 1, ""), ""), TG_OK);
}

static void lines_end_in_both_ways(void **state) {
  struct rig *rig = *state;
  far_says(rig, "one\r\ntwo\n\n\r\nab\rc\nabc\r");
  assert_int_equal(get(rig, ask(TG_WANT_LINE, 99, ""), "one"), TG_OK);
  assert_int_equal(get(rig, ask(TG_WANT_LINE, 3, ""), "two"), TG_OK);
  assert_int_equal(get(rig, ask(TG_WANT_LINE, 99, ""), ""), TG_OK);
  assert_int_equal(get(rig, ask(TG_WANT_LINE, 0, ""), ""), TG_OK);
  assert_int_equal(get(rig, ask(TG_WANT_LINE, 4, ""), "ab\rc"), TG_OK);
  struct tg_duplex_read read = ask(TG_WANT_LINE, 3, "");
  assert_int_equal(tg_duplex_look(rig->duplex, &read), TG_EAGAIN);
  far_says(rig, "\nrest");
  assert_int_equal(get(rig, read, "abc"), TG_OK);
  far_ends(rig);
  assert_int_equal(get(rig, ask(TG_WANT_LINE, 99, ""), "rest"), TG_OK);
  assert_int_equal(get(rig, ask(TG_WANT_LINE, 99, ""), ""), UV_EOF);
}

static void a_given_up_read_takes_nothing(void **state) {
  struct rig *rig = *state;
  struct tg_duplex_read read = ask(TG_WANT_EXACTLY, 6, "");
  tg_duplex_wait(rig->duplex, &read);
  assert_true(tg_duplex_reader_busy(rig->duplex));
  far_says(rig, "abc");
  turn(rig);
  tg_duplex_unwait(&read);
  assert_false(tg_duplex_reader_busy(rig->duplex));
  far_says(rig, "def");
  turn(rig);
  assert_int_equal(called, 0);
  assert_int_equal(get(rig, ask(TG_WANT_EXACTLY, 6, ""), "abcdef"), TG_OK);
}

static void reads_ahead_only_so_far(void **state) {
  struct rig *rig = *state;
  char block[4096] = {0};
  size_t sent = 0, got = 0;
  assert_int_equal(fcntl(rig->far, F_SETFL, O_NONBLOCK), 0);
  far_says(rig, "x");
  assert_int_equal(get(rig, ask(TG_WANT_SOME, 1, ""), "x"), TG_OK);
  for (int idle = 0; idle < 3; turn(rig)) {
    ssize_t n = write(rig->far, block, sizeof block);
    idle = n > 0 ? 0 : idle + 1;
    if (n > 0) sent += (size_t)n;
  }
  assert_true(tg_duplex_buffered(rig->duplex) >= TG_DUPLEX_AHEAD);
  assert_true(tg_duplex_buffered(rig->duplex) <= TG_DUPLEX_AHEAD + TG_LOOP_SCRATCH);
  far_ends(rig);
  while (got < sent) {
    struct tg_duplex_read read = ask(TG_WANT_EXACTLY, sent - got > 5000 ? 5000 : sent - got, "");
    called = 0;
    if (tg_duplex_look(rig->duplex, &read) == TG_EAGAIN) {
      tg_duplex_wait(rig->duplex, &read);
      until_called(rig);
      assert_int_equal(tg_duplex_look(rig->duplex, &read), TG_OK);
      tg_duplex_unwait(&read);
    }
    got += read.bytes.len;
    tg_duplex_take(rig->duplex, &read);
  }
  assert_int_equal(get(rig, ask(TG_WANT_SOME, 1, ""), ""), UV_EOF);
}

static void writers_wait_for_room(void **state) {
  struct rig *rig = *state;
  size_t len = 1024 * 1024, got = 0;
  char *block = malloc(len), back[65536];
  struct tg_slice parts[2] = {tg_slice("0123456789", 10), {0}};
  struct tg_duplex_room room = {.level = TG_DUPLEX_LOW, .ready = on_room};
  assert_non_null(block);
  for (size_t i = 0; i < len; i++) block[i] = (char)('a' + i % 26);
  parts[1] = tg_slice(block, len);
  assert_int_equal(tg_duplex_write(rig->duplex, parts, 2), TG_EAGAIN);
  tg_duplex_room_wait(rig->duplex, &room);
  assert_true(tg_duplex_writer_busy(rig->duplex));
  tg_duplex_shut(rig->duplex);
  assert_int_equal(tg_duplex_write(rig->duplex, parts, 1), TG_ECLOSED);
  while (!called) {
    ssize_t n = read(rig->far, back, sizeof back);
    assert_true(n > 0);
    for (ssize_t i = 0; i < n; i++, got++)
      assert_int_equal(back[i], got < 10 ? parts[0].ptr[got] : block[got - 10]);
    turn(rig);
  }
  assert_true(tg_duplex_queued(rig->duplex) <= TG_DUPLEX_LOW);
  tg_duplex_room_end(&room);
  for (;;) {
    turn(rig);
    ssize_t n = read(rig->far, back, sizeof back);
    if (n == 0) break;
    assert_true(n > 0);
    got += (size_t)n;
  }
  assert_int_equal(got, len + 10);
  far_says(rig, "still here");
  assert_int_equal(get(rig, ask(TG_WANT_SOME, 99, ""), "still here"), TG_OK);
  free(block);
}

static void closing_tells_both(void **state) {
  struct rig *rig = *state;
  size_t len = 4 * 1024 * 1024;
  char *block = calloc(1, len);
  struct tg_slice part = tg_slice(block, len);
  struct tg_duplex_room room = {.level = 0, .ready = on_room};
  struct tg_duplex_read read = ask(TG_WANT_SOME, 1, "");
  assert_non_null(block);
  assert_int_equal(tg_duplex_write(rig->duplex, &part, 1), TG_EAGAIN);
  tg_duplex_room_wait(rig->duplex, &room);
  tg_duplex_wait(rig->duplex, &read);
  tg_duplex_close(rig->duplex);
  rig->duplex = NULL;
  assert_int_equal(called, 2);
  assert_null(read.duplex);
  assert_null(room.duplex);
  tg_duplex_unwait(&read);
  tg_duplex_room_end(&room);
  free(block);
}

static void a_gone_peer_breaks_writing(void **state) {
  struct rig *rig = *state;
  struct tg_slice part = TG_SLICE("x");
  far_ends(rig);
  assert_int_equal(tg_duplex_write(rig->duplex, &part, 1), UV_EPIPE);
  assert_int_equal(tg_duplex_write(rig->duplex, &part, 1), UV_EPIPE);
}

/* Whatever is asked, in whatever pieces it comes: the same answers. */
static void cuts_change_nothing(void **state) {
  struct rig *rig = *state;
  static const char text[] = "ab\r\n\r\r\ncd;;e;\n\nfghij\rk\r\nlast";
  static const char *const answers[] = {"ab", "\r", "cd", "e;\n\nf", "ghij\rk", "la"};
  const struct tg_duplex_read reads[] = {
      ask(TG_WANT_LINE, 2, ""),    ask(TG_WANT_UNTIL, 1, "\r\n"), ask(TG_WANT_UNTIL, 2, ";;"),
      ask(TG_WANT_EXACTLY, 5, ""), ask(TG_WANT_LINE, 6, ""),      ask(TG_WANT_EXACTLY, 2, ""),
  };
  size_t len = sizeof text - 1;
  for (size_t piece = 1; piece <= len; piece++) {
    size_t sent = 0;
    for (size_t i = 0; i < sizeof reads / sizeof reads[0]; i++) {
      struct tg_duplex_read read = reads[i];
      while (tg_duplex_look(rig->duplex, &read) == TG_EAGAIN) {
        size_t n = len - sent < piece ? len - sent : piece;
        assert_true(n > 0);
        assert_int_equal(write(rig->far, text + sent, n), n);
        sent += n;
        called = 0;
        tg_duplex_wait(rig->duplex, &read);
        turn(rig);
        tg_duplex_unwait(&read);
      }
      assert_int_equal(get(rig, reads[i], answers[i]), TG_OK);
    }
    assert_int_equal(write(rig->far, text + sent, len - sent), len - sent);
    assert_int_equal(get(rig, ask(TG_WANT_EXACTLY, 2, ""), "st"), TG_OK);
  }
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      T(gives_what_is_there),     T(exactly_waits_for_the_rest), T(a_delimiter_may_come_in_parts),
      T(a_limit_loses_nothing),   T(lines_end_in_both_ways),     T(a_given_up_read_takes_nothing),
      T(reads_ahead_only_so_far), T(writers_wait_for_room),      T(cuts_change_nothing),
      T(closing_tells_both),      T(a_gone_peer_breaks_writing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
