/* Calls over TLS and through the tunnels of forward proxies: what is agreed on before the request
 * goes out, and what may go wrong until then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../net/certificates.h"
#include "call_rig.h"
#include "net/stream.h"

#define DAY    86400L
#define GET    "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK     "HTTP/1.1 200 OK\r\n"
#define HELLO  OK "Content-Length: 5\r\n\r\nhello"
#define TUNNEL "HTTP/1.1 200 Connection established\r\n\r\n"

/* The backend's end of a TLS connection, in the same loop. */
struct far {
  struct tg_stream stream;
  struct tg_buffer got;
  bool open, secured;
};

struct secure_rig {
  struct rig *rig;
  struct certificates certs;
  struct tg_tls_context *client, *server;
  struct far far;
};

static struct far *far_of(struct tg_stream *stream) {
  return TG_CONTAINER(stream, struct far, stream);
}

static void on_read(struct tg_stream *stream, tg_status status, struct tg_slice bytes) {
  if (status == TG_OK)
    TG_CHECK(tg_buffer_append(&far_of(stream)->got, bytes.ptr, bytes.len) == TG_OK);
  else
    tg_stream_close(stream);
}

static void on_drained(struct tg_stream *stream) {
  (void)stream;
}

static void on_broken(struct tg_stream *stream, tg_status status) {
  (void)status;
  tg_stream_close(stream);
}

static void on_closed(struct tg_stream *stream) {
  far_of(stream)->open = false;
}

static void on_secured(struct tg_stream *stream) {
  far_of(stream)->secured = true;
}

static const struct tg_stream_events far_events = {.read = on_read,
                                                   .drained = on_drained,
                                                   .broken = on_broken,
                                                   .closed = on_closed,
                                                   .secured = on_secured};

static int setup(void **state) {
  struct secure_rig *secure = calloc(1, sizeof *secure);
  assert_non_null(secure);
  struct rig *rig = secure->rig = rig_new();
  struct wish ca_wish = {"Test CA", NULL, NULL, -DAY, DAY, true};
  struct wish good = {"a", "DNS:a.example", "serverAuth", -DAY, DAY, false};
  struct issuer ca = certificates_make(&ca_wish, NULL);
  char why[TG_TLS_WHY];
  certificates_open(&secure->certs);
  certificates_write(&secure->certs, "ca", &ca, NULL);
  certificates_add(&secure->certs, "good", &good, &ca);
  certificates_free(&ca);
  struct tg_tls_client_options client = {.ca_file = certificates_path(&secure->certs, "ca.pem"),
                                         .verify = true};
  assert_int_equal(tg_tls_context_new_client(&client, why, sizeof why, &secure->client), 0);
  struct tg_tls_certificate certificate = {
      .cert_file = certificates_path(&secure->certs, "good.pem"),
      .key_file = certificates_path(&secure->certs, "good.key")};
  struct tg_tls_server_options server = {.certificates = &certificate, .count = 1};
  assert_int_equal(tg_tls_context_new_server(&server, why, sizeof why, &secure->server), 0);
  rig->origin.secure = true;
  rig->origin.tls = secure->client;
  rig->origin.tls_name = TG_SLICE("a.example");
  *state = secure;
  return 0;
}

static int teardown(void **state) {
  struct secure_rig *secure = *state;
  if (secure->far.open) tg_stream_close(&secure->far.stream);
  rig_free(secure->rig);
  tg_buffer_deinit(&secure->far.got);
  tg_tls_context_release(secure->client);
  tg_tls_context_release(secure->server);
  certificates_remove(&secure->certs);
  free(secure);
  return 0;
}

/* The backend's side becomes TLS. */
static void secure_peer(struct secure_rig *secure) {
  struct far *far = &secure->far;
  int fd = secure->rig->peer;
  secure->rig->peer = -1;
  far->secured = false;
  tg_buffer_clear(&far->got);
  assert_int_equal(tg_stream_open(&far->stream, &secure->rig->loop, fd, false, &far_events), 0);
  far->open = true;
  assert_int_equal(tg_stream_secure(&far->stream, tg_tls_server_new(secure->server)), 0);
  tg_stream_read_start(&far->stream);
}

static void far_says(struct secure_rig *secure, const char *text) {
  struct tg_stream *stream = &secure->far.stream;
  assert_int_equal(tg_buffer_append(tg_stream_out(stream), text, strlen(text)), 0);
  tg_stream_flush(stream);
}

static bool far_heard(struct secure_rig *secure, const char *text) {
  if (!tg_slice_eq(tg_buffer_slice(&secure->far.got), tg_slice_cstr(text))) return false;
  tg_buffer_clear(&secure->far.got);
  return true;
}

static void far_closes(struct secure_rig *secure) {
  tg_stream_close(&secure->far.stream);
  RIG_UNTIL(secure->rig, !secure->far.open);
}

static void assert_hello(struct rig *rig) {
  RIG_UNTIL(rig, rig->ends);
  assert_int_equal(rig->failures, 0);
  assert_int_equal(rig->status, 200);
  assert_int_equal(rig->body_status, TG_OK);
  assert_int_equal(tg_buffer_size(&rig->body), 5);
}

static void assert_failed(struct rig *rig, tg_status status, const char *detail) {
  RIG_UNTIL(rig, rig->ends);
  assert_int_equal(rig->failures, 1);
  assert_int_equal(rig->failure, status);
  if (!strstr(rig->detail, detail)) fail_msg("'%s' instead of '%s'", rig->detail, detail);
  assert_int_equal(rig_stats(rig).idle + rig_stats(rig).busy, 0);
  if (rig->peer >= 0) rig_hang_up(rig);
}

static void test_C1_tls_links_are_used_again(void **state) {
  struct secure_rig *secure = *state;
  struct rig *rig = secure->rig;
  for (int i = 0; i < 3; i++) {
    assert_int_equal(rig_start(rig), TG_OK);
    if (i == 0) {
      RIG_ACCEPT(rig);
      secure_peer(secure);
    }
    RIG_UNTIL(rig, far_heard(secure, GET));
    far_says(secure, HELLO);
    assert_hello(rig);
    assert_int_equal(rig->reused, i > 0);
  }
  assert_int_equal(rig_stats(rig).opened, 1);
}

static void test_129_another_name_is_refused(void **state) {
  struct secure_rig *secure = *state;
  struct rig *rig = secure->rig;
  rig->origin.tls_name = TG_SLICE("b.example");
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  secure_peer(secure);
  assert_failed(rig, TG_ETLS, "b.example");
  assert_int_equal(tg_buffer_size(&secure->far.got), 0);
  rig->origin.tls = NULL;
  assert_int_equal(rig_start(rig), TG_OK);
  assert_failed(rig, TG_ETLS, "no TLS");
}

static void test_128_a_backend_that_speaks_no_tls(void **state) {
  struct secure_rig *secure = *state;
  struct rig *rig = secure->rig;
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  rig_say(rig, HELLO);
  assert_failed(rig, TG_ETLS, "");
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  rig_hang_up(rig);
  assert_failed(rig, TG_ETLS, "");
  rig->limits.connect = 60 * TG_MILLISECOND;
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  assert_failed(rig, TG_ETIMEOUT, "connect timeout");
  rig->limits.connect = 0;
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  for (int i = 0; i < 5; i++) rig_turn(rig);
  rig_cancel(rig);
  assert_int_equal(rig_stats(rig).busy, 0);
}

static void test_152_a_body_until_close_ends_with_tls(void **state) {
  struct secure_rig *secure = *state;
  struct rig *rig = secure->rig;
  for (int proper = 0; proper < 2; proper++) {
    assert_int_equal(rig_start(rig), TG_OK);
    RIG_ACCEPT(rig);
    secure_peer(secure);
    RIG_UNTIL(rig, far_heard(secure, GET));
    far_says(secure, OK "\r\nhello");
    RIG_UNTIL(rig, tg_buffer_size(&rig->body) == 5);
    if (proper) tg_stream_shut(&secure->far.stream);
    far_closes(secure);
    RIG_UNTIL(rig, rig->ends);
    assert_int_equal(rig->body_status, proper ? TG_OK : TG_ECUT);
  }
}

static void test_C3_a_stale_tls_link(void **state) {
  struct secure_rig *secure = *state;
  struct rig *rig = secure->rig;
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  secure_peer(secure);
  RIG_UNTIL(rig, far_heard(secure, GET));
  far_says(secure, HELLO);
  assert_hello(rig);
  assert_int_equal(rig_start(rig), TG_OK);
  assert_true(rig->call->reused);
  far_closes(secure);
  RIG_ACCEPT(rig);
  secure_peer(secure);
  RIG_UNTIL(rig, far_heard(secure, GET));
  far_says(secure, HELLO);
  assert_hello(rig);
  assert_true(rig->retried);
}

/* ---- tunnels ---- */

static void use_proxy(struct rig *rig, bool secure) {
  rig->origin.proxy_host = rig->origin.host;
  rig->origin.proxy_port = rig->origin.port;
  rig->origin.host = TG_SLICE("a.example");
  rig->origin.port = secure ? 443 : 80;
  rig->origin.secure = secure;
}

static void a_tunnel_is_used_again(void **state) {
  struct secure_rig *secure = *state;
  struct rig *rig = secure->rig;
  use_proxy(rig, false);
  rig->origin.proxy_auth = TG_SLICE("Basic YTpi");
  for (int i = 0; i < 2; i++) {
    assert_int_equal(rig_start(rig), TG_OK);
    if (i == 0) {
      RIG_ACCEPT(rig);
      RIG_HEAR(rig,
               "CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:80\r\n"
               "Proxy-Authorization: Basic YTpi\r\n\r\n");
      rig_say(rig, TUNNEL);
    }
    RIG_HEAR(rig, GET);
    rig_say(rig, HELLO);
    assert_hello(rig);
  }
  assert_int_equal(rig_stats(rig).opened, 1);
}

static void tls_in_a_tunnel(void **state) {
  struct secure_rig *secure = *state;
  struct rig *rig = secure->rig;
  use_proxy(rig, true);
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  RIG_HEAR(rig, "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n");
  rig_say(rig, "HTTP/1.1 200");
  for (int i = 0; i < 3; i++) rig_turn(rig);
  rig_say(rig, " OK\r\nContent-Length: 7\r\n\r\n"); /* means nothing here */
  secure_peer(secure);
  RIG_UNTIL(rig, far_heard(secure, GET));
  far_says(secure, HELLO);
  assert_hello(rig);
  assert_int_equal(rig_stats(rig).idle, 1);
}

static void test_109_tunnels_that_are_none(void **state) {
  struct secure_rig *secure = *state;
  struct rig *rig = secure->rig;
  static const struct row {
    const char *reply, *detail;
  } rows[] = {
      {"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n", "407 Who are you"},
      {"HTTP/1.1 502 Bad Gateway\r\n\r\n", "502"},
      {TUNNEL "early", "before the tunnel"},
      {TUNNEL HELLO, "before the tunnel"},
      {"HTTP/1.1 100 Continue\r\n\r\n" TUNNEL "x", "before the tunnel"},
      {"hello", "status line"},
      {"HTTP/1.1 20", "ended the connection"},
      {"", "ended the connection"},
  };
  use_proxy(rig, false);
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    assert_int_equal(rig_start(rig), TG_OK);
    RIG_ACCEPT(rig);
    RIG_HEAR(rig, "CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:80\r\n\r\n");
    rig_say(rig, rows[i].reply);
    if (strstr(rows[i].detail, "ended")) rig_hang_up(rig);
    assert_failed(rig, TG_EPROXY, rows[i].detail);
  }
  rig->limits.connect = 60 * TG_MILLISECOND;
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  assert_failed(rig, TG_ETIMEOUT, "tunnel");
  rig->limits.connect = 0;
  rig->origin.host = TG_SLICE("a b");
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  assert_failed(rig, TG_EINVALID, "proxy");
  rig->origin.host = TG_SLICE("a.example");
  assert_int_equal(rig_start(rig), TG_OK);
  RIG_ACCEPT(rig);
  rig_cancel(rig);
  assert_int_equal(rig_stats(rig).busy, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_C1_tls_links_are_used_again),
      TEST(test_129_another_name_is_refused),
      TEST(test_128_a_backend_that_speaks_no_tls),
      TEST(test_152_a_body_until_close_ends_with_tls),
      TEST(test_C3_a_stale_tls_link),
      TEST(a_tunnel_is_used_again),
      TEST(tls_in_a_tunnel),
      TEST(test_109_tunnels_that_are_none),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
