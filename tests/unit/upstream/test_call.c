/* Calls that go well: what goes out, what comes in, and links that are used again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "call_rig.h"

#define GET   "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK    "HTTP/1.1 200 OK\r\n"
#define HELLO OK "Content-Length: 5\r\n\r\nhello"

static void assert_body(struct rig *rig, const char *text) {
  assert_int_equal(tg_buffer_size(&rig->body), strlen(text));
  assert_memory_equal(rig->body.data, text, strlen(text));
}

static void assert_whole(struct rig *rig, int status, const char *text) {
  RIG_UNTIL(rig, rig->ends);
  assert_int_equal(rig->ends, 1);
  assert_int_equal(rig->heads, 1);
  assert_int_equal(rig->failures, 0);
  assert_int_equal(rig->status, status);
  assert_true(rig->body_ended);
  assert_int_equal(rig->body_status, TG_OK);
  assert_body(rig, text);
}

static void a_reply_with_a_length(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  RIG_HEAR(rig, GET);
  rig_say(rig, HELLO);
  assert_whole(rig, 200, "hello");
  assert_int_equal(rig_stats(rig).idle, 1);
  rig_free(rig);
}

static void test_C1_links_are_used_again(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  static const struct row {
    const char *reply, *body;
    int status;
  } rows[] = {
      {HELLO, "hello", 200},
      {OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "hello", 200},
      {"HTTP/1.1 204 No Content\r\n\r\n", "", 204},
      {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "", 304},
      {OK "Content-Length: 0\r\n\r\n", "", 200},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    assert_int_equal(rig_start(rig), TG_OK);
    if (i == 0) RIG_ACCEPT(rig);
    RIG_HEAR(rig, GET);
    rig_say(rig, rows[i].reply);
    assert_whole(rig, rows[i].status, rows[i].body);
    assert_int_equal(rig->reused, i > 0);
  }
  rig->request.method = TG_SLICE("HEAD");
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_HEAR(rig, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
  rig_say(rig, OK "Content-Length: 5\r\n\r\n");
  assert_whole(rig, 200, "");
  assert_int_equal(rig_stats(rig).opened, 1);
  assert_int_equal(rig_stats(rig).reused, 5);
  rig_free(rig);
}

static void test_C1_origins_share_no_link(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  rig_say(rig, HELLO);
  assert_whole(rig, 200, "hello");
  int first = rig->peer;
  rig->origin.tls_name = TG_SLICE("other");
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  rig_say(rig, HELLO);
  assert_whole(rig, 200, "hello");
  assert_false(rig->reused);
  assert_int_equal(rig_stats(rig).idle, 2);
  tg_link_pool_clear(tg_link_pool_of(&rig->loop), &rig->origin);
  assert_int_equal(rig_stats(rig).idle, 1);
  close(first);
  rig_free(rig);
}

static void every_cut_of_a_reply_gives_the_same(void **state) {
  (void)state;
  static const struct tg_slice reply = {
      "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" OK
      "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\n, w\r\n0\r\nSum: 8\r\n\r\n",
      sizeof "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" OK
             "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\n, w\r\n0\r\nSum: 8\r\n\r\n" -
          1};
  struct rig *rig = rig_new();
  for (size_t cut = 1; cut < reply.len; cut++) {
    assert_int_equal(rig_start(rig), TG_OK);
    if (cut == 1) RIG_ACCEPT(rig);
    RIG_HEAR(rig, GET);
    rig_say_bytes(rig, tg_slice(reply.ptr, cut));
    for (int i = 0; i < 3; i++) rig_turn(rig);
    rig_say_bytes(rig, tg_slice_skip(reply, cut));
    assert_whole(rig, 200, "hello, w");
    assert_int_equal(rig->interims, 1);
    assert_string_equal(rig->trailer, "8");
  }
  assert_int_equal(rig_stats(rig).opened, 1);
  rig_free(rig);
}

static void a_reader_who_comes_later_misses_nothing(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  rig->lazy = true;
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  rig_say(rig, OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n");
  RIG_UNTIL(rig, rig->heads);
  rig_say(rig, "1\r\n?\r\n0\r\n\r\n");
  for (int i = 0; i < 5; i++) rig_turn(rig);
  rig_read(rig);
  assert_body(rig, "hello");
  rig_read(rig);
  rig_read(rig);
  assert_body(rig, "hello!?");
  assert_false(rig->body_ended);
  rig_read(rig);
  assert_whole(rig, 200, "hello!?");
  assert_int_equal(rig_stats(rig).idle, 1);
  rig_free(rig);
}

static void a_body_until_close(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  RIG_HEAR(rig, GET);
  rig_say(rig, OK "\r\nhello");
  rig_hang_up(rig);
  assert_whole(rig, 200, "hello");
  assert_int_equal(rig_stats(rig).idle, 0);
  rig_free(rig);
}

static void a_long_reply_waits_for_its_reader(void **state) {
  (void)state;
  enum { LENGTH = 64 << 20 };
  struct rig *rig = rig_new();
  char *bytes = malloc(65536);
  assert_non_null(bytes);
  memset(bytes, 'x', 65536);
  rig->lazy = true;
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  rig_say(rig, OK "Content-Length: 67108864\r\n\r\n");
  RIG_UNTIL(rig, rig->heads);
  size_t said = 0;
  for (int quiet = 0; quiet < 50;) { /* until nothing more fits between us */
    ssize_t n = send(rig->peer, bytes, 65536, MSG_NOSIGNAL);
    if (n > 0) said += (size_t)n;
    quiet = n > 0 ? 0 : quiet + 1;
    rig_turn(rig);
  }
  assert_true(said < LENGTH);
  rig->lazy = false;
  rig_read(rig);
  while (said < LENGTH) {
    size_t most = LENGTH - said < 65536 ? LENGTH - said : 65536;
    ssize_t n = send(rig->peer, bytes, most, MSG_NOSIGNAL);
    if (n > 0) said += (size_t)n;
    rig_turn(rig);
  }
  RIG_UNTIL(rig, rig->ends);
  assert_int_equal(tg_buffer_size(&rig->body), LENGTH);
  assert_int_equal(rig_stats(rig).idle, 1);
  free(bytes);
  rig_free(rig);
}

/* ---- requests with bodies ---- */

static void a_short_body_goes_with_the_head(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  rig->request.method = TG_SLICE("POST");
  rig->request.bytes = TG_SLICE("a=b");
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  RIG_HEAR(rig, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na=b");
  rig_say(rig, HELLO);
  assert_whole(rig, 200, "hello");
  assert_int_equal(rig_stats(rig).idle, 1);
  rig_free(rig);
}

static size_t hear_all(struct rig *rig, size_t wanted) {
  size_t got = 0;
  char bytes[65536];
  while (got < wanted) {
    ssize_t n = recv(rig->peer, bytes, sizeof bytes, 0);
    if (n > 0) got += (size_t)n;
    rig_turn(rig);
  }
  return got;
}

static void a_long_body_goes_in_pieces(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  size_t len = 5000001;
  char *bytes = calloc(1, len);
  assert_non_null(bytes);
  rig->request.method = TG_SLICE("PUT");
  rig->request.bytes = tg_slice(bytes, len);
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  RIG_HEAR(rig, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5000001\r\n\r\n");
  assert_int_equal(hear_all(rig, len), len);
  rig_say(rig, HELLO);
  assert_whole(rig, 200, "hello");
  assert_int_equal(rig_stats(rig).idle, 1);
  free(bytes);
  rig_free(rig);
}

static void a_streamed_body_in_chunks(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  rig_upload(rig, TG_LENGTH_CHUNKED);
  for (int i = 0; i < 2; i++) { /* over a new link, and over one that is there */
    assert_int_equal(rig_start(rig), TG_OK);
    if (i == 0) RIG_ACCEPT(rig);
    RIG_HEAR(rig, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    RIG_UNTIL(rig, rig->up_done);
    rig_up_say(rig, TG_OK, TG_SLICE("hello world, hello"));
    RIG_HEAR(rig, "12\r\nhello world, hello\r\n");
    rig_up_say(rig, TG_OK, tg_slice(NULL, 0));
    RIG_HEAR(rig, "0\r\n\r\n");
    rig_say(rig, HELLO);
    assert_whole(rig, 200, "hello");
  }
  assert_int_equal(rig_stats(rig).opened, 1);
  rig_free(rig);
}

static void a_streamed_body_is_held_by_a_slow_backend(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  char *bytes = calloc(1, 65536);
  size_t said = 0;
  assert_non_null(bytes);
  rig_upload(rig, 64 << 20);
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  RIG_UNTIL(rig, rig->up_done);
  for (int quiet = 0; quiet < 50; quiet++) {
    if (rig->up_done) rig_up_say(rig, TG_OK, tg_slice(bytes, 65536)), said += 65536, quiet = 0;
    rig_turn(rig);
  }
  assert_true(said < 32u << 20);
  while (said < 64u << 20) {
    char sink[65536];
    (void)!recv(rig->peer, sink, sizeof sink, 0);
    if (rig->up_done) rig_up_say(rig, TG_OK, tg_slice(bytes, 65536)), said += 65536;
    rig_turn(rig);
  }
  rig_cancel(rig);
  assert_int_equal(rig_stats(rig).idle, 0);
  free(bytes);
  rig_free(rig);
}

static void test_104_the_body_waits_for_a_100(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  rig->request.method = TG_SLICE("PUT");
  rig->request.bytes = TG_SLICE("abc");
  rig->request.expect_continue = true;
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  RIG_HEAR(rig, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  rig_say(rig, "HTTP/1.1 100 Continue\r\n\r\n");
  RIG_HEAR(rig, "abc");
  rig_say(rig, HELLO);
  assert_whole(rig, 200, "hello");
  assert_int_equal(rig->interims, 0);
  /* without a 100 the body goes out after a while all the same */
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_HEAR(rig,
           "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc");
  rig_say(rig, HELLO);
  assert_whole(rig, 200, "hello");
  /* with a refusal it never does, and nobody knows what would come next on that link */
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_HEAR(rig, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  rig_say(rig, "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
  assert_whole(rig, 417, "");
  assert_int_equal(rig_stats(rig).idle, 0);
  RIG_HEAR(rig, "");
  rig_free(rig);
}

static void test_105_a_reply_before_the_body_was_read(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  rig_upload(rig, 1000);
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  RIG_UNTIL(rig, rig->up_done);
  rig_up_say(rig, TG_OK, TG_SLICE("abc"));
  rig_say(rig, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!");
  assert_whole(rig, 413, "no!");
  assert_int_equal(rig->up_cancels, 1);
  assert_int_equal(rig_stats(rig).idle, 0);
  rig_free(rig);
}

/* ---- 101 ---- */

static void an_upgrade_is_raw_both_ways(void **state) {
  (void)state;
  static const struct tg_response_field field = {{"Upgrade", 7}, {"echo", 4}};
  struct rig *rig = rig_new();
  rig->request.upgrade = true;
  rig->request.fields = &field;
  rig->request.field_count = 1;
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  RIG_HEAR(rig, "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
  rig_say(rig, "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nraw");
  RIG_UNTIL(rig, tg_buffer_size(&rig->body) == 3);
  assert_int_equal(rig->status, 101);
  assert_int_equal(rig->call->sink.write(&rig->call->sink, TG_SLICE("0\r\n\r\n")), TG_OK);
  RIG_HEAR(rig, "0\r\n\r\n");
  rig_say(rig, " bytes");
  RIG_UNTIL(rig, tg_buffer_size(&rig->body) == 9);
  tg_call_shut(rig->call);
  RIG_HEAR(rig, "");
  assert_int_equal(rig->ends, 0);
  rig_hang_up(rig);
  RIG_UNTIL(rig, rig->ends);
  assert_body(rig, "raw bytes");
  assert_true(rig->body_ended);
  assert_int_equal(rig_stats(rig).idle + rig_stats(rig).busy, 0);
  /* the other side ends first */
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  rig_say(rig, "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
  RIG_UNTIL(rig, rig->heads);
  assert_int_equal(shutdown(rig->peer, SHUT_WR), 0);
  RIG_UNTIL(rig, rig->body_ended);
  assert_int_equal(rig->ends, 0);
  assert_int_equal(rig->call->sink.write(&rig->call->sink, TG_SLICE("last")), TG_OK);
  tg_call_shut(rig->call);
  RIG_UNTIL(rig, rig->ends);
  RIG_HEAR(rig, "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nlast");
  rig_free(rig);
}

/* ---- where ---- */

static void a_unix_socket(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  char name[128];
  close(rig->listener);
  snprintf(at.sun_path, sizeof at.sun_path, "/tmp/tidegate-call-%d", (int)getpid());
  snprintf(name, sizeof name, "unix:%s", at.sun_path);
  unlink(at.sun_path);
  rig->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  assert_int_equal(bind(rig->listener, (void *)&at, sizeof at), 0);
  assert_int_equal(listen(rig->listener, 8), 0);
  rig->origin = (struct tg_origin){.host = tg_slice_cstr(name)};
  rig->request.authority.len = 0;
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  RIG_HEAR(rig, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  rig_say(rig, OK "\r\nhello");
  rig_hang_up(rig);
  assert_whole(rig, 200, "hello");
  unlink(at.sun_path);
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_UNTIL(rig, rig->ends);
  assert_int_equal(rig->failure, UV_ENOENT);
  rig_free(rig);
}

static void names_are_looked_up_and_addresses_tried_in_order(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  rig->origin.host = TG_SLICE("localhost"); /* ::1 is refused, 127.0.0.1 is not */
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  rig_say(rig, HELLO);
  assert_whole(rig, 200, "hello");
  rig_free(rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_reply_with_a_length),
      cmocka_unit_test(test_C1_links_are_used_again),
      cmocka_unit_test(test_C1_origins_share_no_link),
      cmocka_unit_test(every_cut_of_a_reply_gives_the_same),
      cmocka_unit_test(a_reader_who_comes_later_misses_nothing),
      cmocka_unit_test(a_body_until_close),
      cmocka_unit_test(a_long_reply_waits_for_its_reader),
      cmocka_unit_test(a_short_body_goes_with_the_head),
      cmocka_unit_test(a_long_body_goes_in_pieces),
      cmocka_unit_test(a_streamed_body_in_chunks),
      cmocka_unit_test(a_streamed_body_is_held_by_a_slow_backend),
      cmocka_unit_test(test_104_the_body_waits_for_a_100),
      cmocka_unit_test(test_105_a_reply_before_the_body_was_read),
      cmocka_unit_test(an_upgrade_is_raw_both_ways),
      cmocka_unit_test(a_unix_socket),
      cmocka_unit_test(names_are_looked_up_and_addresses_tried_in_order),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
