/* TLS under tg_stream: two streams of one loop over a socket pair, one a client, one a server, with
 * real certificates. */
#include "net/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "certificates.h"
#include "net/stream.h"
#include "net/tls_tickets.h"

#include <openssl/ssl.h>

#define DAY 86400L

struct end {
  struct tg_stream stream;
  struct tg_buffer got;
  tg_status ended; /* what the last read said */
  tg_status broken;
  int secured, drained, closed;
};

struct rig {
  struct tg_loop loop;
  struct certificates certs;
  struct tg_tls_tickets *tickets;
  struct tg_tls_context *client, *server;
  struct end near, far; /* the client, the server */
};

static struct end *end_of(struct tg_stream *stream) {
  return TG_CONTAINER(stream, struct end, stream);
}

static void on_read(struct tg_stream *stream, tg_status status, struct tg_slice bytes) {
  struct end *end = end_of(stream);
  if (status)
    end->ended = status;
  else
    assert_int_equal(tg_buffer_append(&end->got, bytes.ptr, bytes.len), 0);
}

static void on_drained(struct tg_stream *stream) {
  end_of(stream)->drained++;
}

static void on_broken(struct tg_stream *stream, tg_status status) {
  end_of(stream)->broken = status;
}

static void on_closed(struct tg_stream *stream) {
  end_of(stream)->closed++;
}

static void on_secured(struct tg_stream *stream) {
  end_of(stream)->secured++;
}

static const struct tg_stream_events events = {.read = on_read,
                                               .drained = on_drained,
                                               .broken = on_broken,
                                               .closed = on_closed,
                                               .secured = on_secured};

static uint64_t fake_now;

static uint64_t fake_clock(void) {
  return fake_now;
}

static void make_certificates(struct certificates *certs) {
  struct wish ca_wish = {"Test CA", NULL, NULL, -DAY, DAY, true};
  struct issuer ca = certificates_make(&ca_wish, NULL);
  certificates_open(certs);
  certificates_write(certs, "ca", &ca, NULL);
  struct wish good = {"a", "DNS:a.example,IP:127.0.0.1", "serverAuth", -DAY, DAY, false};
  certificates_add(certs, "good", &good, &ca);
  struct wish wild = {"w", "DNS:*.wild.example", "serverAuth", -DAY, DAY, false};
  certificates_add(certs, "wild", &wild, &ca);
  struct wish expired = {"a", "DNS:a.example", "serverAuth", -2 * DAY, -DAY, false};
  certificates_add(certs, "expired", &expired, &ca);
  struct wish early = {"a", "DNS:a.example", "serverAuth", DAY, 2 * DAY, false};
  certificates_add(certs, "early", &early, &ca);
  certificates_add(certs, "self", &good, NULL);
  struct wish client = {"someone", "DNS:a.example", "clientAuth", -DAY, DAY, false};
  certificates_add(certs, "client", &client, &ca);
  struct wish between_wish = {"Test Between", NULL, NULL, -DAY, DAY, true};
  struct issuer between = certificates_make(&between_wish, &ca);
  certificates_add(certs, "unchained", &good, &between);
  struct issuer leaf = certificates_make(&good, &between);
  certificates_write(certs, "chained", &leaf, &between);
  certificates_free(&leaf);
  certificates_free(&between);
  certificates_free(&ca);
}

static int setup(void **state) {
  struct rig *rig = calloc(1, sizeof *rig);
  assert_non_null(rig);
  assert_int_equal(tg_loop_init(&rig->loop, 0), 0);
  make_certificates(&rig->certs);
  fake_now = TG_SECOND;
  rig->tickets = tg_tls_tickets_new(fake_clock);
  assert_non_null(rig->tickets);
  *state = rig;
  return 0;
}

static void close_ends(struct rig *rig) {
  struct end *ends[] = {&rig->near, &rig->far};
  for (int i = 0; i < 2; i++)
    if (ends[i]->stream.loop && !ends[i]->closed) tg_stream_close(&ends[i]->stream);
  uv_run(&rig->loop.uv, UV_RUN_NOWAIT);
  for (int i = 0; i < 2; i++) {
    tg_buffer_deinit(&ends[i]->got);
    *ends[i] = (struct end){0};
  }
}

static int teardown(void **state) {
  struct rig *rig = *state;
  close_ends(rig);
  tg_tls_context_release(rig->client);
  tg_tls_context_release(rig->server);
  tg_tls_tickets_release(rig->tickets);
  tg_loop_deinit(&rig->loop);
  certificates_remove(&rig->certs);
  free(rig);
  return 0;
}

/* ---- contexts ---- */

static struct tg_tls_certificate certificate(struct rig *rig, const char *name) {
  char pem[32], key[32];
  snprintf(pem, sizeof pem, "%s.pem", name);
  snprintf(key, sizeof key, "%s.key", name);
  return (struct tg_tls_certificate){.cert_file = certificates_path(&rig->certs, pem),
                                     .key_file = certificates_path(&rig->certs, key)};
}

static void serve(struct rig *rig, const struct tg_tls_certificate *certs, size_t count) {
  char why[TG_TLS_WHY] = "";
  struct tg_tls_server_options options = {
      .certificates = certs, .count = count, .tickets = rig->tickets};
  tg_tls_context_release(rig->server);
  rig->server = NULL;
  tg_status status = tg_tls_context_new_server(&options, why, sizeof why, &rig->server);
  if (status) fail_msg("%s", why);
}

static void serve_one(struct rig *rig, const char *name) {
  struct tg_tls_certificate one = certificate(rig, name);
  serve(rig, &one, 1);
}

static void trust(struct rig *rig, struct tg_tls_client_options options) {
  char why[TG_TLS_WHY] = "";
  tg_tls_context_release(rig->client);
  rig->client = NULL;
  if (!options.ca_file) options.ca_file = certificates_path(&rig->certs, "ca.pem");
  tg_status status = tg_tls_context_new_client(&options, why, sizeof why, &rig->client);
  if (status) fail_msg("%s", why);
}

/* ---- connections ---- */

static void turn(struct rig *rig) {
  uv_run(&rig->loop.uv, UV_RUN_NOWAIT);
}

#define UNTIL(condition) \
  while (!(condition)) uv_run(&rig->loop.uv, UV_RUN_NOWAIT)

static void open_streams(struct rig *rig) {
  int pair[2];
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
  assert_int_equal(tg_stream_open(&rig->near.stream, &rig->loop, pair[0], true, &events), 0);
  assert_int_equal(tg_stream_open(&rig->far.stream, &rig->loop, pair[1], true, &events), 0);
}

static void connect_to(struct rig *rig, struct tg_slice name) {
  if (rig->near.stream.loop) close_ends(rig);
  open_streams(rig);
  struct tg_tls *client = tg_tls_client_new(rig->client, name, TG_SLICE("http/1.1"));
  struct tg_tls *server = tg_tls_server_new(rig->server);
  assert_non_null(client);
  assert_non_null(server);
  assert_int_equal(tg_stream_secure(&rig->near.stream, client), 0);
  assert_int_equal(tg_stream_secure(&rig->far.stream, server), 0);
  tg_stream_read_start(&rig->near.stream);
  tg_stream_read_start(&rig->far.stream);
}

static void connect_well(struct rig *rig, const char *name) {
  connect_to(rig, tg_slice_cstr(name));
  UNTIL((rig->near.secured && rig->far.secured) || rig->near.ended || rig->far.ended);
  if (rig->near.ended) fail_msg("%s", tg_tls_complain(rig->near.stream.tls));
  assert_int_equal(rig->near.secured, 1);
}

/* The client refuses; what it says. */
static const char *refused(struct rig *rig, struct tg_slice name) {
  connect_to(rig, name);
  UNTIL(rig->near.ended || rig->near.secured);
  assert_int_equal(rig->near.ended, TG_ETLS);
  assert_int_equal(rig->near.secured, 0);
  return tg_tls_complain(rig->near.stream.tls);
}

static void say(struct end *end, const char *text) {
  assert_int_equal(tg_buffer_append(tg_stream_out(&end->stream), text, strlen(text)), 0);
  tg_stream_flush_soon(&end->stream);
}

static void hears(struct rig *rig, struct end *end, const char *text) {
  UNTIL(tg_buffer_size(&end->got) >= strlen(text) || end->ended);
  assert_true(tg_slice_eq(tg_buffer_slice(&end->got), tg_slice_cstr(text)));
  tg_buffer_clear(&end->got);
}

/* ---- both directions ---- */

static void test_both_directions(void **state) {
  struct rig *rig = *state;
  serve_one(rig, "good");
  trust(rig, (struct tg_tls_client_options){.verify = true});
  connect_well(rig, "a.example");
  say(&rig->near, "ping");
  hears(rig, &rig->far, "ping");
  say(&rig->far, "pong");
  hears(rig, &rig->near, "pong");
  assert_string_equal(tg_tls_complain(rig->near.stream.tls), "");
  assert_int_equal(tg_stream_queued(&rig->near.stream), 0);
}

static void test_written_before_the_handshake(void **state) {
  struct rig *rig = *state;
  serve_one(rig, "good");
  trust(rig, (struct tg_tls_client_options){.verify = true});
  connect_to(rig, TG_SLICE("a.example"));
  say(&rig->near, "early");
  hears(rig, &rig->far, "early");
  assert_int_equal(rig->near.secured, 1);
}

static void test_an_address_as_the_name(void **state) {
  struct rig *rig = *state;
  serve_one(rig, "good");
  trust(rig, (struct tg_tls_client_options){.verify = true});
  connect_well(rig, "127.0.0.1");
  assert_null(SSL_get_servername(rig->far.stream.tls->ssl, TLSEXT_NAMETYPE_host_name));
  assert_string_equal(refused(rig, TG_SLICE("127.0.0.2")),
                      "the certificate is for a.example, 127.0.0.1, not 127.0.0.2");
}

static void test_much_with_back_pressure(void **state) {
  struct rig *rig = *state;
  enum { LEN = 4 << 20 };
  serve_one(rig, "good");
  trust(rig, (struct tg_tls_client_options){.verify = true});
  connect_well(rig, "a.example");
  char *bytes = malloc(LEN);
  assert_non_null(bytes);
  for (size_t i = 0; i < LEN; i++) bytes[i] = (char)(i * 2654435761u >> 13);
  tg_stream_read_stop(&rig->near.stream);
  assert_int_equal(tg_buffer_append(tg_stream_out(&rig->far.stream), bytes, LEN), 0);
  assert_true(tg_stream_full(&rig->far.stream));
  tg_stream_flush(&rig->far.stream);
  for (int i = 0; i < 20; i++) turn(rig);
  assert_int_equal(tg_buffer_size(&rig->near.got), 0);
  assert_true(tg_stream_queued(&rig->far.stream) > LEN / 2);
  assert_true(tg_buffer_size(&rig->near.stream.tls->in) < 256 * 1024);
  rig->far.drained = 0;
  tg_stream_read_start(&rig->near.stream);
  UNTIL(tg_buffer_size(&rig->near.got) == LEN);
  assert_memory_equal(tg_buffer_slice(&rig->near.got).ptr, bytes, LEN);
  UNTIL(rig->far.drained);
  assert_int_equal(tg_stream_queued(&rig->far.stream), 0);
  free(bytes);
}

/* What has come before reading was stopped is given on when it goes on, also from its own call. */
static void test_stop_and_go(void **state) {
  struct rig *rig = *state;
  serve_one(rig, "good");
  trust(rig, (struct tg_tls_client_options){.verify = true});
  connect_well(rig, "a.example");
  tg_stream_read_stop(&rig->far.stream);
  say(&rig->near, "one");
  turn(rig);
  say(&rig->near, "two");
  for (int i = 0; i < 5; i++) turn(rig);
  assert_int_equal(tg_buffer_size(&rig->far.got), 0);
  tg_stream_read_start(&rig->far.stream);
  hears(rig, &rig->far, "onetwo");
}

static void test_files_are_refused(void **state) {
  struct rig *rig = *state;
  serve_one(rig, "good");
  trust(rig, (struct tg_tls_client_options){.verify = true});
  connect_well(rig, "a.example");
  assert_int_equal(tg_stream_append_file(&rig->near.stream, NULL, 0, 1), TG_EUNSUPPORTED);
}

static void test_an_idle_connection_holds_no_buffers(void **state) {
  struct rig *rig = *state;
  serve_one(rig, "good");
  trust(rig, (struct tg_tls_client_options){.verify = true});
  connect_well(rig, "a.example");
  say(&rig->near, "ping");
  hears(rig, &rig->far, "ping");
  turn(rig);
  assert_null(rig->near.stream.out.data);
  assert_null(rig->near.stream.tls->out.data);
  assert_int_equal(tg_buffer_size(&rig->far.stream.tls->in), 0);
}

/* ---- ends ---- */

static void test_a_proper_end(void **state) {
  struct rig *rig = *state;
  serve_one(rig, "good");
  trust(rig, (struct tg_tls_client_options){.verify = true});
  connect_well(rig, "a.example");
  say(&rig->near, "last");
  UNTIL(tg_buffer_size(&rig->far.got));
  tg_stream_shut(&rig->near.stream);
  UNTIL(rig->far.ended);
  assert_int_equal(rig->far.ended, UV_EOF);
  say(&rig->far, "answer");
  hears(rig, &rig->near, "answer");
}

static void test_an_end_without_tls_is_a_cut(void **state) {
  struct rig *rig = *state;
  serve_one(rig, "good");
  trust(rig, (struct tg_tls_client_options){.verify = true});
  connect_well(rig, "a.example");
  say(&rig->near, "part");
  UNTIL(tg_buffer_size(&rig->far.got));
  tg_stream_close(&rig->near.stream);
  UNTIL(rig->far.ended);
  assert_int_equal(rig->far.ended, TG_ETLS_CUT);
}

/* It is told after the bytes that came before it. */
static void test_a_cut_behind_bytes_that_wait(void **state) {
  struct rig *rig = *state;
  serve_one(rig, "good");
  trust(rig, (struct tg_tls_client_options){.verify = true});
  connect_well(rig, "a.example");
  tg_stream_read_stop(&rig->far.stream);
  say(&rig->near, "part");
  turn(rig);
  tg_stream_close(&rig->near.stream);
  for (int i = 0; i < 5; i++) turn(rig);
  assert_int_equal(rig->far.ended, 0);
  tg_stream_read_start(&rig->far.stream);
  UNTIL(rig->far.ended);
  assert_int_equal(tg_buffer_size(&rig->far.got), 4);
  assert_int_equal(rig->far.ended, TG_ETLS_CUT);
}

static void test_close_in_the_handshake(void **state) {
  struct rig *rig = *state;
  serve_one(rig, "good");
  trust(rig, (struct tg_tls_client_options){.verify = true});
  connect_to(rig, TG_SLICE("a.example"));
  tg_stream_close(&rig->near.stream);
  UNTIL(rig->far.ended);
  assert_int_equal(rig->far.ended, TG_ETLS);
  assert_string_equal(tg_tls_complain(rig->far.stream.tls),
                      "the other side ended the connection during the handshake");
}

/* ---- what a client refuses (129) ---- */

static void test_129_wrong_name(void **state) {
  struct rig *rig = *state;
  serve_one(rig, "good");
  trust(rig, (struct tg_tls_client_options){.verify = true});
  assert_string_equal(refused(rig, TG_SLICE("b.example")),
                      "the certificate is for a.example, 127.0.0.1, not b.example");
  UNTIL(rig->far.ended);
  assert_int_equal(rig->far.ended, TG_ETLS);
  assert_string_equal(tg_tls_complain(rig->far.stream.tls),
                      "the other side refused: bad certificate");
}

static void test_129_nul_in_the_name(void **state) {
  struct rig *rig = *state;
  serve_one(rig, "good");
  trust(rig, (struct tg_tls_client_options){.verify = true});
  assert_string_equal(refused(rig, TG_SLICE("a.example\0.evil")),
                      "the name of the server is no name of a host");
}

static void test_129_expired_early_self_signed(void **state) {
  struct rig *rig = *state;
  trust(rig, (struct tg_tls_client_options){.verify = true});
  serve_one(rig, "expired");
  assert_non_null(strstr(refused(rig, TG_SLICE("a.example")), "the certificate has expired on 20"));
  serve_one(rig, "early");
  assert_non_null(
      strstr(refused(rig, TG_SLICE("a.example")), "the certificate is not valid before 20"));
  serve_one(rig, "self");
  assert_string_equal(refused(rig, TG_SLICE("a.example")),
                      "the certificate is self-signed, and not trusted");
}

static void test_129_wrong_purpose(void **state) {
  struct rig *rig = *state;
  trust(rig, (struct tg_tls_client_options){.verify = true});
  serve_one(rig, "client");
  assert_string_equal(refused(rig, TG_SLICE("a.example")),
                      "the certificate is not for this purpose (a server's, or a client's)");
}

static void test_129_missing_chain(void **state) {
  struct rig *rig = *state;
  trust(rig, (struct tg_tls_client_options){.verify = true});
  serve_one(rig, "unchained");
  assert_string_equal(refused(rig, TG_SLICE("a.example")),
                      "the certificate's issuer \"Test Between\" is not trusted, or certificates "
                      "between them are missing");
  serve_one(rig, "chained");
  connect_well(rig, "a.example");
}

static void test_not_verified_where_it_is_said(void **state) {
  struct rig *rig = *state;
  trust(rig, (struct tg_tls_client_options){.verify = false});
  serve_one(rig, "self");
  connect_well(rig, "b.example");
}

static void test_the_systems_store_does_not_trust_us(void **state) {
  struct rig *rig = *state;
  char why[TG_TLS_WHY] = "";
  struct tg_tls_client_options options = {.verify = true};
  assert_int_equal(tg_tls_context_new_client(&options, why, sizeof why, &rig->client), 0);
  serve_one(rig, "good");
  assert_non_null(strstr(refused(rig, TG_SLICE("a.example")), "\"Test CA\" is not trusted"));
}

static void test_the_other_side_speaks_plainly(void **state) {
  struct rig *rig = *state;
  trust(rig, (struct tg_tls_client_options){.verify = true});
  open_streams(rig);
  struct tg_tls *client = tg_tls_client_new(rig->client, TG_SLICE("a.example"), TG_SLICE(""));
  assert_int_equal(tg_stream_secure(&rig->near.stream, client), 0);
  say(&rig->far, "HTTP/1.1 400 Bad Request\r\n\r\n");
  UNTIL(rig->near.ended);
  assert_int_equal(rig->near.ended, TG_ETLS);
  assert_string_equal(tg_tls_complain(rig->near.stream.tls), "the other side does not speak TLS");
}

/* ---- servers ---- */

static const char *subject(struct end *end, char out[64]) {
  X509 *cert = SSL_get1_peer_certificate(end->stream.tls->ssl);
  out[0] = 0;
  if (cert) X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, out, 64);
  X509_free(cert);
  return out;
}

static void test_certificates_by_name(void **state) {
  struct rig *rig = *state;
  char name[64];
  struct tg_tls_certificate both[] = {certificate(rig, "good"), certificate(rig, "wild")};
  serve(rig, both, 2);
  trust(rig, (struct tg_tls_client_options){.verify = true});
  connect_well(rig, "a.example");
  assert_string_equal(subject(&rig->near, name), "a");
  connect_well(rig, "X.Wild.example");
  assert_string_equal(subject(&rig->near, name), "w");
  trust(rig, (struct tg_tls_client_options){.verify = false});
  connect_well(rig, "x.y.wild.example"); /* a star is one label */
  assert_string_equal(subject(&rig->near, name), "a");
  connect_well(rig, "wild.example");
  assert_string_equal(subject(&rig->near, name), "a");
  connect_well(rig, "unknown.example");
  assert_string_equal(subject(&rig->near, name), "a");
}

static void test_mutual(void **state) {
  struct rig *rig = *state;
  char name[64];
  struct tg_tls_certificate one = certificate(rig, "good");
  one.client_ca_file = certificates_path(&rig->certs, "ca.pem");
  serve(rig, &one, 1);
  trust(rig,
        (struct tg_tls_client_options){.verify = true,
                                       .cert_file = certificates_path(&rig->certs, "client.pem"),
                                       .key_file = certificates_path(&rig->certs, "client.key")});
  connect_well(rig, "a.example");
  assert_string_equal(subject(&rig->far, name), "someone");
  trust(rig, (struct tg_tls_client_options){.verify = true});
  connect_to(rig, TG_SLICE("a.example"));
  UNTIL(rig->far.ended);
  assert_string_equal(tg_tls_complain(rig->far.stream.tls), "the client has no certificate");
  UNTIL(rig->near.ended);
  assert_string_equal(tg_tls_complain(rig->near.stream.tls),
                      "the other side refused: certificate required");
}

/* ---- sessions ---- */

static bool resumed(struct rig *rig, const char *name) {
  connect_well(rig, name);
  say(&rig->far, "ticket"); /* behind it */
  hears(rig, &rig->near, "ticket");
  bool near = SSL_session_reused(rig->near.stream.tls->ssl);
  assert_int_equal(near, SSL_session_reused(rig->far.stream.tls->ssl));
  return near;
}

static void test_resumption(void **state) {
  struct rig *rig = *state;
  serve_one(rig, "good");
  trust(rig, (struct tg_tls_client_options){.verify = true});
  assert_false(resumed(rig, "a.example"));
  assert_true(resumed(rig, "a.example"));
  assert_false(resumed(rig, "127.0.0.1"));
  assert_true(resumed(rig, "a.example"));
  serve_one(rig, "good"); /* the files were read anew */
  assert_true(resumed(rig, "a.example"));
  fake_now += TG_TLS_TICKET_TURN;
  assert_true(resumed(rig, "a.example"));
  fake_now += 3 * TG_TLS_TICKET_TURN;
  assert_false(resumed(rig, "a.example"));
  assert_true(resumed(rig, "a.example"));
}

/* A client that offers the session of one host under the name of another (CVE-2025-23419). */
static void test_127_no_resumption_across_hosts(void **state) {
  struct rig *rig = *state;
  struct tg_tls_certificate both[] = {certificate(rig, "good"), certificate(rig, "wild")};
  both[1].client_ca_file = certificates_path(&rig->certs, "ca.pem");
  both[1].client_optional = true;
  serve(rig, both, 2);
  trust(rig, (struct tg_tls_client_options){.verify = false});
  assert_false(resumed(rig, "a.example"));
  SSL_SESSION *session = SSL_get1_session(rig->near.stream.tls->ssl);
  connect_to(rig, TG_SLICE("a.example"));
  SSL_set_session(rig->near.stream.tls->ssl, session);
  UNTIL(rig->near.secured && rig->far.secured);
  assert_true(SSL_session_reused(rig->far.stream.tls->ssl));
  connect_to(rig, TG_SLICE("b.wild.example"));
  SSL_set_session(rig->near.stream.tls->ssl, session);
  UNTIL(rig->near.secured && rig->far.secured);
  assert_false(SSL_session_reused(rig->far.stream.tls->ssl));
  SSL_SESSION_free(session);
}

/* ---- files ---- */

static void complains(struct rig *rig, struct tg_tls_certificate one, const char *format,
                      const char *file) {
  char why[TG_TLS_WHY] = "", expected[TG_TLS_WHY];
  struct tg_tls_server_options options = {.certificates = &one, .count = 1};
  struct tg_tls_context *context = NULL;
  assert_int_equal(tg_tls_context_new_server(&options, why, sizeof why, &context), TG_EINVALID);
  snprintf(expected, sizeof expected, format, certificates_path(&rig->certs, file));
  assert_string_equal(why, expected);
}

static void test_broken_files(void **state) {
  struct rig *rig = *state;
  struct tg_tls_certificate one = certificate(rig, "good");
  one.cert_file = certificates_path(&rig->certs, "none.pem");
  complains(rig, one, "cert: %s: No such file or directory", "none.pem");
  one.cert_file = certificates_path(&rig->certs, "good.key");
  complains(rig, one, "cert: %s: no certificate in PEM form, or a broken one", "good.key");
  one = certificate(rig, "good");
  one.key_file = certificates_path(&rig->certs, "good.pem");
  complains(rig, one, "key: %s: no private key in PEM form, or a broken one", "good.pem");
  one = certificate(rig, "good");
  one.key_file = certificates_path(&rig->certs, ".");
  complains(rig, one, "key: %s: Is a directory", ".");
  one = certificate(rig, "good");
  one.ocsp_file = certificates_path(&rig->certs, "ca.pem");
  complains(rig, one, "ocsp: %s: no OCSP answer in DER form", "ca.pem");
  one = certificate(rig, "good");
  one.client_ca_file = certificates_path(&rig->certs, "ca.key");
  complains(rig, one, "client_ca: %s: no certificate in PEM form", "ca.key");
}

static void test_a_key_of_another_certificate(void **state) {
  struct rig *rig = *state;
  char why[TG_TLS_WHY] = "";
  struct tg_tls_certificate one = certificate(rig, "good");
  one.key_file = certificates_path(&rig->certs, "wild.key");
  struct tg_tls_server_options options = {.certificates = &one, .count = 1};
  struct tg_tls_context *context = NULL;
  assert_int_equal(tg_tls_context_new_server(&options, why, sizeof why, &context), TG_EINVALID);
  assert_non_null(strstr(why, "wild.key: does not belong to the certificate"));
}

static void test_a_throw_away_certificate(void **state) {
  struct rig *rig = *state;
  char name[64];
  serve(rig, NULL, 0);
  trust(rig, (struct tg_tls_client_options){.verify = false});
  connect_well(rig, "localhost");
  assert_string_equal(subject(&rig->near, name), "tidegate dev");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_both_directions),
      TEST(test_written_before_the_handshake),
      TEST(test_an_address_as_the_name),
      TEST(test_much_with_back_pressure),
      TEST(test_stop_and_go),
      TEST(test_files_are_refused),
      TEST(test_an_idle_connection_holds_no_buffers),
      TEST(test_a_proper_end),
      TEST(test_an_end_without_tls_is_a_cut),
      TEST(test_a_cut_behind_bytes_that_wait),
      TEST(test_close_in_the_handshake),
      TEST(test_129_wrong_name),
      TEST(test_129_nul_in_the_name),
      TEST(test_129_expired_early_self_signed),
      TEST(test_129_wrong_purpose),
      TEST(test_129_missing_chain),
      TEST(test_not_verified_where_it_is_said),
      TEST(test_the_systems_store_does_not_trust_us),
      TEST(test_the_other_side_speaks_plainly),
      TEST(test_certificates_by_name),
      TEST(test_mutual),
      TEST(test_resumption),
      TEST(test_127_no_resumption_across_hosts),
      TEST(test_broken_files),
      TEST(test_a_key_of_another_certificate),
      TEST(test_a_throw_away_certificate),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
