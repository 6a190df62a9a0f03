/* Calls that go wrong: what a backend may do at each stage, what the user is told, and what becomes
 * of the link; and calls that are given up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "call_rig.h"

#define GET   "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK    "HTTP/1.1 200 OK\r\n"
#define HELLO OK "Content-Length: 5\r\n\r\nhello"

static void assert_failed(struct rig *rig, tg_status status) {
  RIG_UNTIL(rig, rig->ends);
  assert_int_equal(rig->failures, 1);
  assert_int_equal(rig->heads, 0);
  assert_int_equal(rig->ends, 1);
  assert_int_equal(rig->failure, status);
  assert_int_equal(rig_stats(rig).idle + rig_stats(rig).busy, 0);
}

static void assert_cut(struct rig *rig, tg_status status) {
  RIG_UNTIL(rig, rig->ends);
  assert_int_equal(rig->failures, 0);
  assert_int_equal(rig->heads, 1);
  assert_true(rig->body_ended);
  assert_int_equal(rig->body_status, status);
  assert_int_equal(rig_stats(rig).idle + rig_stats(rig).busy, 0);
}

static void drop_peer(struct rig *rig) {
  if (rig->peer >= 0) rig_hang_up(rig);
}

/* A call over a link that has served: it lies idle in the pool, rig->peer is its other end. */
static void warm_up(struct rig *rig) {
  struct tg_call_request request = rig->request;
  rig->request = (struct tg_call_request){.method = TG_SLICE("GET"),
                                          .target = TG_SLICE("/"),
                                          .authority = TG_SLICE("h"),
                                          .arena = &rig->arena};
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  RIG_HEAR(rig, GET);
  rig_say(rig, HELLO);
  RIG_UNTIL(rig, rig->ends);
  assert_int_equal(rig_stats(rig).idle, 1);
  rig->request = request;
}

static void requests_unfit_for_the_wire_are_refused_at_once(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  for (int i = 0; i < 2; i++) { /* without a link, and with one */
    struct tg_response_field field = {TG_SLICE("a"), TG_SLICE("b\r\nc: d")};
    rig->request.fields = &field;
    rig->request.field_count = 1;
    assert_int_equal(rig_start(rig), TG_EINVALID);
    rig->request.field_count = 0;
    rig->request.target = TG_SLICE("/a b");
    assert_int_equal(rig_start(rig), TG_EINVALID);
    rig->request.target = TG_SLICE("/");
    rig->request.method = TG_SLICE("GET /");
    assert_int_equal(rig_start(rig), TG_EINVALID);
    rig->request.method = TG_SLICE("GET");
    assert_int_equal(rig_stats(rig).busy, 0);
    if (i == 0) warm_up(rig);
  }
  assert_int_equal(rig_stats(rig).idle, 1);
  rig_free(rig);
}

static void test_149_nobody_listens(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  close(rig->listener);
  rig->listener = -1;
  assert_int_equal(rig_start(rig), TG_OK);
  assert_int_equal(rig->failures, 0); /* never from within the start */
  assert_failed(rig, UV_ECONNREFUSED);
  rig_free(rig);
}

static void test_159_names_that_are_none(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  char long_name[401];
  memset(long_name, 'a', 400);
  long_name[400] = '\0';
  rig->origin.host = tg_slice_cstr(long_name);
  assert_int_equal(rig_start(rig), TG_OK);
  assert_failed(rig, TG_EINVALID);
  rig->origin.host = TG_SLICE("a b");
  assert_int_equal(rig_start(rig), TG_OK);
  assert_failed(rig, TG_EINVALID);
  rig->origin.host = TG_SLICE("unix:");
  assert_int_equal(rig_start(rig), TG_OK);
  assert_failed(rig, TG_EINVALID);
  rig_free(rig);
}

static void test_149_ends_at_each_byte_of_the_head(void **state) {
  (void)state;
  static const char head[] = OK "Content-Length: 0\r\n\r";
  struct rig *rig = rig_new();
  for (size_t len = 0; len < sizeof head; len++) {
    for (int reset = 0; reset < 2; reset++) {
      assert_int_equal(rig_start(rig), TG_OK);
      RIG_ACCEPT(rig);
      RIG_HEAR(rig, GET);
      if (len) rig_say_bytes(rig, tg_slice(head, len));
      for (int i = 0; i < 3; i++) rig_turn(rig);
      if (reset)
        rig_reset(rig);
      else
        rig_hang_up(rig);
      assert_failed(rig, reset ? UV_ECONNRESET : TG_ECLOSED);
      assert_non_null(strstr(rig->detail, len ? "within the head" : "before the reply"));
    }
  }
  rig_free(rig);
}

static void test_150_malformed_heads(void **state) {
  (void)state;
  static const char *const replies[] = {
      "hello\r\n\r\n",
      "\r\n" HELLO,
      "HTTP/0.9 200 OK\r\n\r\n",
      "HTTP/2.0 200 OK\r\n\r\n",
      "HTTP/1.1 000 OK\r\n\r\n",
      "HTTP/1.1 600 OK\r\n\r\n",
      "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
      OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
      OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      OK "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
      OK "A: b\r\n c\r\n\r\n",
      "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello",
      "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", /* 156: unasked */
      "<html></html>",
  };
  struct rig *rig = rig_new();
  for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
    assert_int_equal(rig_start(rig), TG_OK);
    RIG_ACCEPT(rig);
    rig_say(rig, replies[i]);
    assert_failed(rig, TG_EBAD_REPLY);
    assert_true(rig->detail[0]);
    drop_peer(rig);
  }
  rig_free(rig);
}

static void test_151_heads_without_an_end(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  rig->limits.head_bytes = 1000;
  rig->limits.head_fields = 10;
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  rig_say(rig, OK);
  for (int i = 0; i < 11; i++) rig_say(rig, "A: b\r\n");
  assert_failed(rig, TG_EBAD_REPLY);
  drop_peer(rig);
  char line[1100];
  memset(line, 'x', sizeof line);
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  rig_say(rig, OK "A: ");
  rig_say_bytes(rig, tg_slice(line, sizeof line));
  assert_failed(rig, TG_EBAD_REPLY);
  rig_free(rig);
}

static void test_155_a_flood_of_interim_replies(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  for (int i = 0; i < 1000; i++) rig_say(rig, "HTTP/1.1 103 Early Hints\r\n\r\n");
  assert_failed(rig, TG_EBAD_REPLY);
  assert_int_equal(rig->interims, TG_CALL_INTERIMS);
  rig_free(rig);
}

static void test_152_bodies_that_break_off(void **state) {
  (void)state;
  static const char *const replies[] = {
      OK "Content-Length: 5\r\n\r\n",
      OK "Content-Length: 5\r\n\r\nhell",
      OK "Transfer-Encoding: chunked\r\n\r\n",
      OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
      OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
      OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0",
      OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT: u\r\n",
  };
  struct rig *rig = rig_new();
  for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
    for (int reset = 0; reset < 2; reset++) {
      assert_int_equal(rig_start(rig), TG_OK);
      RIG_ACCEPT(rig);
      RIG_HEAR(rig, GET);
      rig_say(rig, replies[i]);
      RIG_UNTIL(rig, rig->heads);
      if (reset)
        rig_reset(rig);
      else
        rig_hang_up(rig);
      assert_cut(rig, TG_ECUT);
    }
  }
  /* a reset is no end of a body until close */
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  RIG_HEAR(rig, GET);
  rig_say(rig, OK "\r\nhello");
  RIG_UNTIL(rig, rig->heads);
  rig_reset(rig);
  assert_cut(rig, TG_ECUT);
  rig_free(rig);
}

static void test_150_bad_chunks(void **state) {
  (void)state;
  static const char *const replies[] = {
      OK "Transfer-Encoding: chunked\r\n\r\nhello",
      OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n",
      OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA b\r\n\r\n",
  };
  struct rig *rig = rig_new();
  for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
    assert_int_equal(rig_start(rig), TG_OK);
    RIG_ACCEPT(rig);
    rig_say(rig, replies[i]);
    assert_cut(rig, TG_EBAD_REPLY);
    drop_peer(rig);
  }
  rig_free(rig);
}

/* An error that comes while nobody reads waits for the reader. */
static void a_cut_is_told_to_a_late_reader(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  rig->lazy = true;
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  RIG_HEAR(rig, GET);
  rig_say(rig, OK "Content-Length: 5\r\n\r\nhell");
  RIG_UNTIL(rig, rig->heads);
  rig_hang_up(rig);
  for (int i = 0; i < 5; i++) rig_turn(rig);
  assert_int_equal(rig->ends, 0);
  rig_read(rig);
  assert_int_equal(tg_buffer_size(&rig->body), 4);
  assert_false(rig->body_ended);
  rig_read(rig);
  assert_cut(rig, TG_ECUT);
  rig_free(rig);
}

/* ---- links that must not be used again ---- */

static void test_153_surplus_bytes(void **state) {
  (void)state;
  static const char *const replies[] = {
      HELLO "x",
      HELLO HELLO,
      "HTTP/1.1 204 No\r\n\r\nx",
      OK "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nx",
      "HTTP/1.1 304 Not\r\nContent-Length: 5\r\n\r\nhello",
      OK "Connection: close\r\nContent-Length: 5\r\n\r\nhello",
      "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
  };
  struct rig *rig = rig_new();
  for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
    assert_int_equal(rig_start(rig), TG_OK);
    RIG_ACCEPT(rig);
    rig_say(rig, replies[i]);
    RIG_UNTIL(rig, rig->ends);
    assert_int_equal(rig->heads, 1);
    assert_int_equal(rig->body_status, TG_OK);
    assert_int_equal(rig_stats(rig).idle, 0);
    drop_peer(rig);
  }
  rig_free(rig);
}

static void an_idle_link_that_speaks_or_ends_is_closed(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  warm_up(rig);
  rig_say(rig, "HTTP/1.1 408 Too Late\r\n\r\n");
  RIG_UNTIL(rig, rig_stats(rig).idle == 0);
  drop_peer(rig);
  warm_up(rig);
  rig_hang_up(rig);
  RIG_UNTIL(rig, rig_stats(rig).idle == 0);
  warm_up(rig);
  rig_reset(rig);
  RIG_UNTIL(rig, rig_stats(rig).idle == 0);
  rig_free(rig);
}

static void idle_links_have_a_limit_and_a_time(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  struct tg_settings settings;
  tg_settings_init(&settings);
  settings.outbound_idle = 2;
  settings.outbound_idle_time = 50 * TG_MILLISECOND;
  assert_int_equal(tg_link_pool_configure(&rig->loop, &settings, 1), TG_OK);
  int peers[3];
  for (unsigned i = 0; i < 3; i++) {
    rig->request.fresh = true;
    assert_int_equal(rig_start(rig), TG_OK);
    RIG_ACCEPT(rig);
    RIG_HEAR(rig, GET);
    rig_say(rig, HELLO);
    RIG_UNTIL(rig, rig->ends);
    assert_int_equal(rig_stats(rig).idle, i < 2 ? i + 1 : 2);
    peers[i] = rig->peer;
  }
  rig->peer = peers[0];
  RIG_HEAR(rig, ""); /* the oldest has made room */
  RIG_UNTIL(rig, rig_stats(rig).idle == 0);
  for (unsigned i = 0; i < 3; i++) close(peers[i]);
  rig->peer = -1;
  settings.outbound_idle = 0;
  assert_int_equal(tg_link_pool_configure(&rig->loop, &settings, 1), TG_OK);
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  rig_say(rig, HELLO);
  RIG_UNTIL(rig, rig->ends);
  assert_int_equal(rig_stats(rig).idle, 0);
  rig_free(rig);
}

/* ---- stale links ---- */

/* The peer's end is closed, but the loop has not seen it when the next call takes the link. */
static void go_stale(struct rig *rig, bool reset) {
  warm_up(rig);
  if (reset)
    rig_reset(rig);
  else
    rig_hang_up(rig);
}

static void test_C3_a_stale_link_is_replaced_once(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  for (int reset = 0; reset < 2; reset++) {
    go_stale(rig, reset);
    assert_int_equal(rig_start(rig), TG_OK);
    assert_true(rig->call->reused);
    RIG_ACCEPT(rig);
    RIG_HEAR(rig, GET);
    rig_say(rig, HELLO);
    RIG_UNTIL(rig, rig->ends);
    assert_int_equal(rig->status, 200);
    assert_true(rig->retried);
    assert_false(rig->reused);
    tg_link_pool_clear(tg_link_pool_of(&rig->loop), NULL);
    drop_peer(rig);
  }
  /* a second failure is told */
  go_stale(rig, false);
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  RIG_HEAR(rig, GET);
  rig_hang_up(rig);
  assert_failed(rig, TG_ECLOSED);
  assert_true(rig->retried);
  rig_free(rig);
}

static void test_C3_what_must_not_be_sent_twice_is_not(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  rig->request.method = TG_SLICE("POST");
  rig->request.bytes = TG_SLICE("pay");
  rig->request.idempotent = false;
  go_stale(rig, false);
  assert_int_equal(rig_start(rig), TG_OK);
  assert_failed(rig, TG_ECLOSED);
  assert_false(rig->retried);
  /* a byte of the reply has come */
  rig->request.idempotent = true;
  warm_up(rig);
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_HEAR(rig, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\npay");
  rig_say(rig, "H");
  RIG_UNTIL(rig, rig->call->heard);
  rig_hang_up(rig);
  assert_failed(rig, TG_ECLOSED);
  /* its source has given bytes */
  rig->request.bytes.len = 0;
  rig_upload(rig, TG_LENGTH_CHUNKED);
  warm_up(rig);
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_UNTIL(rig, rig->up_done);
  rig_up_say(rig, TG_OK, TG_SLICE("abc"));
  rig_turn(rig);
  rig_hang_up(rig);
  RIG_UNTIL(rig, rig->ends);
  assert_int_equal(rig->failures, 1);
  assert_false(rig->retried);
  /* it has not yet: it can be asked again */
  warm_up(rig);
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_UNTIL(rig, rig->up_done);
  rig_hang_up(rig);
  RIG_ACCEPT(rig);
  RIG_UNTIL(rig, rig->up_done);
  rig_up_say(rig, TG_OK, TG_SLICE("abc"));
  rig_up_say(rig, TG_OK, tg_slice(NULL, 0));
  RIG_HEAR(rig,
           "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  rig_say(rig, HELLO);
  RIG_UNTIL(rig, rig->ends);
  assert_int_equal(rig->status, 200);
  assert_true(rig->retried);
  rig_free(rig);
}

/* ---- bodies of requests that go wrong ---- */

static void a_source_that_fails_or_lies_fails_the_call(void **state) {
  (void)state;
  static const struct row {
    uint64_t length;
    tg_status status;
    struct tg_slice bytes;
    tg_status expected;
  } rows[] = {
      {TG_LENGTH_CHUNKED, TG_EDISCONNECT, {NULL, 0}, TG_EDISCONNECT},
      {10, TG_ETIMEOUT, {NULL, 0}, TG_ETIMEOUT},
      {10, TG_OK, {NULL, 0}, TG_EINVALID},
      {2, TG_OK, {"abc", 3}, TG_EINVALID},
  };
  struct rig *rig = rig_new();
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    rig_upload(rig, rows[i].length);
    assert_int_equal(rig_start(rig), TG_OK);
    RIG_ACCEPT(rig);
    RIG_UNTIL(rig, rig->up_done);
    rig_up_say(rig, rows[i].status, rows[i].bytes);
    assert_failed(rig, rows[i].expected);
    drop_peer(rig);
  }
  rig_free(rig);
}

static void test_105_a_backend_that_closes_while_it_is_sent_to(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  char *bytes = calloc(1, 65536);
  assert_non_null(bytes);
  rig_upload(rig, TG_LENGTH_CHUNKED);
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  RIG_UNTIL(rig, rig->up_done);
  rig_reset(rig);
  for (unsigned i = 0; !rig->ends && i < 10000; i++) {
    if (rig->up_done) rig_up_say(rig, TG_OK, tg_slice(bytes, 65536));
    rig_turn(rig);
  }
  assert_int_equal(rig->failures, 1);
  assert_int_equal(rig->failure, UV_ECONNRESET);
  free(bytes);
  rig_free(rig);
}

/* ---- time ---- */

static void assert_timed_out(struct rig *rig, const char *detail) {
  assert_failed(rig, TG_ETIMEOUT);
  assert_non_null(strstr(rig->detail, detail));
  rig->limits = (struct tg_call_limits){0};
  drop_peer(rig);
}

static void test_C4_each_wait_has_its_own_limit(void **state) {
  (void)state;
  const uint64_t soon = 60 * TG_MILLISECOND;
  struct rig *rig = rig_new();
  /* first byte; a head that comes in drops is no excuse */
  rig->limits.first_byte = soon;
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  assert_timed_out(rig, "first-byte");
  rig->limits.first_byte = soon;
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  rig_say(rig, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 20");
  assert_timed_out(rig, "first-byte");
  /* total */
  rig->limits.total = soon;
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  assert_timed_out(rig, "total");
  /* idle, in the body */
  rig->limits.idle = soon;
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  rig_say(rig, OK "Content-Length: 5\r\n\r\nhell");
  assert_cut(rig, TG_ETIMEOUT);
  assert_non_null(strstr(rig->detail, "idle"));
  drop_peer(rig);
  /* total, in the body */
  rig->limits = (struct tg_call_limits){.total = soon};
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  rig_say(rig, OK "Content-Length: 5\r\n\r\nhell");
  assert_cut(rig, TG_ETIMEOUT);
  rig_free(rig);
}

/* The loop's clock stands still while its user computes. */
static void test_C4_what_was_computed_before_is_not_counted(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  warm_up(rig);
  uint64_t begun = tg_loop_woken(&rig->loop);
  while (tg_clock_now() < begun + 20 * TG_MILLISECOND) continue;
  rig->limits.first_byte = 60 * TG_SECOND;
  assert_int_equal(rig_start(rig), TG_OK);
  assert_true(rig->call->started >= begun + 20 * TG_MILLISECOND);
  assert_true(rig->call->heard_at >= rig->call->started);
  RIG_HEAR(rig, GET);
  rig_say(rig, HELLO);
  RIG_UNTIL(rig, rig->ends);
  assert_int_equal(rig->heads, 1);
  rig_free(rig);
}

static void test_C4_a_backend_that_takes_nothing(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  size_t len = 64 << 20;
  char *bytes = calloc(1, len);
  assert_non_null(bytes);
  rig->request.method = TG_SLICE("PUT");
  rig->request.bytes = tg_slice(bytes, len);
  rig->limits.idle = 60 * TG_MILLISECOND;
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  assert_timed_out(rig, "not taken");
  free(bytes);
  rig_free(rig);
}

/* A queue of connections that is full answers nobody. */
static void test_C4_no_connection(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int full[16];
  assert_int_equal(listen(rig->listener, 0), 0);
  at.sin_port = htons(rig->origin.port);
  for (size_t i = 0; i < 16; i++) {
    full[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)!connect(full[i], (void *)&at, sizeof at);
  }
  rig->limits.connect = 60 * TG_MILLISECOND;
  assert_int_equal(rig_start(rig), TG_OK);
  assert_failed(rig, TG_ETIMEOUT);
  assert_non_null(strstr(rig->detail, "connect"));
  for (size_t i = 0; i < 16; i++) close(full[i]);
  rig_free(rig);
}

/* A reader who does not ask is not held against the backend. */
static void a_slow_reader_is_no_idle_backend(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  rig->lazy = true;
  rig->limits.idle = 50 * TG_MILLISECOND;
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  rig_say(rig, HELLO);
  RIG_UNTIL(rig, rig->heads);
  uint64_t until = tg_clock_now() + 200 * TG_MILLISECOND;
  while (tg_clock_now() < until) {
    rig_turn(rig);
    poll(NULL, 0, 5);
  }
  assert_int_equal(rig->call->body_status, TG_OK);
  rig->lazy = false;
  rig_read(rig);
  RIG_UNTIL(rig, rig->ends);
  assert_int_equal(rig->body_status, TG_OK);
  assert_int_equal(tg_buffer_size(&rig->body), 5);
  rig_free(rig);
}

/* ---- given up ---- */

static void assert_silence(struct rig *rig) {
  for (int i = 0; i < 10; i++) rig_turn(rig);
  assert_null(rig->call);
  assert_int_equal(rig->ends, 0);
}

static void cancelled_in_every_event(void **state) {
  (void)state;
  static const struct row {
    unsigned at;
    const char *reply;
  } rows[] = {
      {AT_INTERIM, "HTTP/1.1 103 Early Hints\r\n\r\n" HELLO},
      {AT_HEAD, HELLO},
      {AT_HEAD, "HTTP/1.1 204 No Content\r\n\r\n"},
      {AT_BODY, HELLO},
      {AT_BODY, OK "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n"},
      {AT_END, HELLO},
      {AT_END, OK "Transfer-Encoding: chunked\r\n\r\n0\r\nT: u\r\n\r\n"},
      {AT_FAILED, "what?"},
      {AT_END, OK "Transfer-Encoding: chunked\r\n\r\nwhat?"},
  };
  struct rig *rig = rig_new();
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    rig->cancel_at = rows[i].at;
    rig->request.fresh = true;
    assert_int_equal(rig_start(rig), TG_OK);
    RIG_ACCEPT(rig);
    rig_say(rig, rows[i].reply);
    RIG_UNTIL(rig, !rig->call);
    assert_silence(rig);
    assert_int_equal(rig_stats(rig).busy, 0);
    drop_peer(rig);
  }
  rig_free(rig);
}

static void cancelled_at_every_stage(void **state) {
  (void)state;
  struct rig *rig = rig_new();
  /* at once, before any turn */
  assert_int_equal(rig_start(rig), TG_OK);
  rig_cancel(rig);
  assert_silence(rig);
  RIG_ACCEPT(rig);
  RIG_HEAR(rig, "");
  drop_peer(rig);
  /* while a name is looked up: of a server that does not answer */
  struct tg_settings settings;
  tg_settings_init(&settings);
  snprintf(settings.dns_servers, sizeof settings.dns_servers, "127.0.0.1:%u", rig->origin.port);
  assert_int_equal(tg_link_pool_configure(&rig->loop, &settings, 1), TG_OK);
  struct tg_slice host = rig->origin.host;
  rig->origin.host = TG_SLICE("no.such.example");
  assert_int_equal(rig_start(rig), TG_OK);
  rig_turn(rig);
  if (rig->call) rig_cancel(rig); /* that port may have been refused already */
  rig->origin.host = host;
  /* connected, and in the middle of the head */
  for (int part = 0; part < 3; part++) {
    rig->request.fresh = true;
    assert_int_equal(rig_start(rig), TG_OK);
    RIG_ACCEPT(rig);
    if (part) RIG_HEAR(rig, GET);
    if (part == 2) {
      rig_say(rig, "HTTP/1.1 20");
      RIG_UNTIL(rig, rig->call->heard);
    }
    rig_cancel(rig);
    assert_silence(rig);
    assert_int_equal(rig_stats(rig).idle + rig_stats(rig).busy, 0);
    drop_peer(rig);
  }
  /* with a source that is asked */
  rig_upload(rig, TG_LENGTH_CHUNKED);
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  RIG_UNTIL(rig, rig->up_done);
  unsigned before = rig->up_cancels;
  rig_cancel(rig);
  assert_int_equal(rig->up_cancels, before + 1);
  assert_silence(rig);
  rig_free(rig);
}

static void test_C2_a_short_rest_is_drained(void **state) {
  (void)state;
  static const struct row {
    const char *first, *then;
    unsigned idle; /* links after that */
  } rows[] = {
      {OK "Content-Length: 5\r\n\r\nhello", "", 1},
      {OK "Content-Length: 5\r\n\r\nhe", "llo", 1},
      {OK "Content-Length: 5\r\n\r\nhe", "llo!", 0},
      {OK "Content-Length: 65541\r\n\r\nhello", "", 0 /* it would be waited for */},
      {OK "Content-Length: 65542\r\n\r\nhello", "", 0},
      {OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "", 1},
      {OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "", 0},
      {OK "\r\nhello", "", 0},
      {OK "Content-Length: 5\r\n\r\nhello!", "", 0},
  };
  struct rig *rig = rig_new();
  rig->lazy = true;
  rig->request.fresh = true;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    assert_int_equal(rig_start(rig), TG_OK);
    RIG_ACCEPT(rig);
    rig_say(rig, rows[i].first);
    RIG_UNTIL(rig, rig->heads);
    rig_cancel(rig);
    if (rows[i].then[0]) rig_say(rig, rows[i].then);
    RIG_UNTIL(rig, rig_stats(rig).busy == 0 || i == 3);
    assert_int_equal(rig_stats(rig).idle, rows[i].idle);
    drop_peer(rig);
    RIG_UNTIL(rig, rig_stats(rig).idle + rig_stats(rig).busy == 0);
  }
  rig_free(rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(requests_unfit_for_the_wire_are_refused_at_once),
      cmocka_unit_test(test_149_nobody_listens),
      cmocka_unit_test(test_159_names_that_are_none),
      cmocka_unit_test(test_149_ends_at_each_byte_of_the_head),
      cmocka_unit_test(test_150_malformed_heads),
      cmocka_unit_test(test_151_heads_without_an_end),
      cmocka_unit_test(test_155_a_flood_of_interim_replies),
      cmocka_unit_test(test_152_bodies_that_break_off),
      cmocka_unit_test(test_150_bad_chunks),
      cmocka_unit_test(a_cut_is_told_to_a_late_reader),
      cmocka_unit_test(test_153_surplus_bytes),
      cmocka_unit_test(an_idle_link_that_speaks_or_ends_is_closed),
      cmocka_unit_test(idle_links_have_a_limit_and_a_time),
      cmocka_unit_test(test_C3_a_stale_link_is_replaced_once),
      cmocka_unit_test(test_C3_what_must_not_be_sent_twice_is_not),
      cmocka_unit_test(a_source_that_fails_or_lies_fails_the_call),
      cmocka_unit_test(test_105_a_backend_that_closes_while_it_is_sent_to),
      cmocka_unit_test(test_C4_each_wait_has_its_own_limit),
      cmocka_unit_test(test_C4_what_was_computed_before_is_not_counted),
      cmocka_unit_test(test_C4_a_backend_that_takes_nothing),
      cmocka_unit_test(test_C4_no_connection),
      cmocka_unit_test(a_slow_reader_is_no_idle_backend),
      cmocka_unit_test(cancelled_in_every_event),
      cmocka_unit_test(cancelled_at_every_stage),
      cmocka_unit_test(test_C2_a_short_rest_is_drained),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
