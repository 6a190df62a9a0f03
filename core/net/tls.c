/* See tls.h. OpenSSL asks for bytes and gives bytes by a BIO of ours, which moves them between its
 * records and the buffers of tg_tls: it neither knows of sockets nor waits. */
#include "net/tls.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/check.h"
#include "net/tls_reason.h"
#include "net/tls_sessions.h"

#define NAME_MAX_LEN 253
#define ALPN_MAX     255

/* ---- the BIO ---- */

static int on_bio_read(BIO *bio, char *to, size_t room, size_t *len) {
  struct tg_tls *tls = BIO_get_data(bio);
  bool waited = tg_buffer_size(&tls->in) != 0;
  struct tg_slice from = waited ? tg_buffer_slice(&tls->in) : tls->fresh;
  BIO_clear_retry_flags(bio);
  *len = from.len < room ? from.len : room;
  if (!*len) {
    BIO_set_retry_read(bio);
    return 0;
  }
  memcpy(to, from.ptr, *len);
  if (waited)
    tg_buffer_consume(&tls->in, *len);
  else
    tls->fresh = tg_slice_skip(tls->fresh, *len);
  return 1;
}

static int on_bio_write(BIO *bio, const char *from, size_t len, size_t *written) {
  struct tg_tls *tls = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  if (tls->loop) tg_loop_lend_buffer(tls->loop, &tls->out);
  *written = tg_buffer_append(&tls->out, from, len) ? 0 : len;
  return *written == len;
}

static long on_bio_control(BIO *bio, int what, long number, void *ptr) {
  (void)bio;
  (void)number;
  (void)ptr;
  return what == BIO_CTRL_FLUSH;
}

BIO_METHOD *tg_tls_new_bio(void) {
  BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | 127, "tidegate");
  if (!method) return NULL;
  if (BIO_meth_set_read_ex(method, on_bio_read) && BIO_meth_set_write_ex(method, on_bio_write) &&
      BIO_meth_set_ctrl(method, on_bio_control))
    return method;
  BIO_meth_free(method);
  return NULL;
}

/* ---- life ---- */

void tg_tls_free(struct tg_tls *tls) {
  if (!tls) return;
  /* A session may be resumed also when its connection was just closed, as most are. */
  if (tls->secured && !tls->why)
    SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(tls->ssl);
  tg_tls_context_release(tls->context);
  tg_buffer_deinit(&tls->in);
  tg_buffer_deinit(&tls->out);
  tg_buffer_deinit(&tls->held);
  tg_buffer_deinit(&tls->name);
  free(tls->why);
  free(tls);
}

static struct tg_tls *new_tls(struct tg_tls_context *context) {
  struct tg_tls *tls = calloc(1, sizeof *tls);
  if (!tls) return NULL;
  tls->context = tg_tls_context_hold(context);
  tls->ssl = SSL_new(context->ssl);
  BIO *bio = BIO_new(context->bio);
  if (!tls->ssl || !bio) {
    BIO_free(bio);
    tg_tls_free(tls);
    ERR_clear_error();
    return NULL;
  }
  BIO_set_data(bio, tls);
  BIO_set_init(bio, 1);
  SSL_set_bio(tls->ssl, bio, bio);
  SSL_set_app_data(tls->ssl, tls);
  return tls;
}

struct tg_tls *tg_tls_server_new(struct tg_tls_context *context) {
  struct tg_tls *tls = new_tls(context);
  if (tls) SSL_set_accept_state(tls->ssl);
  return tls;
}

static bool is_address(const char *name) {
  unsigned char address[16];
  return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

/* What the certificate must be for. */
static bool expect(SSL *ssl, const char *name, bool verify) {
  X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
  if (is_address(name)) return !verify || X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
  X509_VERIFY_PARAM_set_hostflags(
      param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  if (SSL_set_tlsext_host_name(ssl, name) != 1) return false;
  return !verify || X509_VERIFY_PARAM_set1_host(param, name, 0) == 1;
}

/* A name with a NUL would be checked up to there. */
static tg_status set_name(struct tg_tls *tls, struct tg_slice name) {
  tg_status status = tg_buffer_append(&tls->name, name.ptr, name.len);
  if (status || !name.len) return status;
  char text[NAME_MAX_LEN + 1];
  tls->bad_name = name.len > NAME_MAX_LEN || memchr(name.ptr, 0, name.len) != NULL;
  if (tls->bad_name) return TG_OK;
  memcpy(text, name.ptr, name.len);
  text[name.len] = 0;
  tls->bad_name = !expect(tls->ssl, text, tls->context->verify);
  return TG_OK;
}

/* "h2,http/1.1", in the form of the protocol: each with its length before it. */
static void set_alpn(SSL *ssl, struct tg_slice names) {
  unsigned char wire[ALPN_MAX + 1];
  size_t last = 0;
  if (!names.len || names.len > ALPN_MAX) return;
  for (size_t i = 0; i <= names.len; i++) {
    bool ends = i == names.len || names.ptr[i] == ',';
    if (!ends) {
      wire[i + 1] = (unsigned char)names.ptr[i];
      continue;
    }
    wire[last] = (unsigned char)(i - last);
    last = i + 1;
  }
  (void)SSL_set_alpn_protos(ssl, wire, (unsigned)names.len + 1);
}

static void resume(struct tg_tls *tls) {
  struct tg_slice name = tg_buffer_slice(&tls->name);
  SSL_SESSION *session = tg_tls_sessions_take(tls->context->sessions, name);
  if (!session) return;
  (void)SSL_set_session(tls->ssl, session);
  SSL_SESSION_free(session);
}

struct tg_tls *tg_tls_client_new(struct tg_tls_context *context, struct tg_slice name,
                                 struct tg_slice alpn) {
  struct tg_tls *tls = new_tls(context);
  if (!tls) return NULL;
  SSL_set_connect_state(tls->ssl);
  if (set_name(tls, name)) {
    tg_tls_free(tls);
    return NULL;
  }
  set_alpn(tls->ssl, alpn);
  if (!tls->bad_name) resume(tls);
  ERR_clear_error();
  return tls;
}

/* ---- failures ---- */

void tg_tls_blame(struct tg_tls *tls, const char *why) {
  char text[TG_TLS_WHY];
  if (tls->why) return;
  if (!why) tg_tls_reason_of_error(text, sizeof text);
  tls->why = strdup(why ? why : text);
}

/* The certificate is known here only. */
int tg_tls_on_verify(int good, X509_STORE_CTX *verification) {
  char text[TG_TLS_WHY];
  SSL *ssl = X509_STORE_CTX_get_ex_data(verification, SSL_get_ex_data_X509_STORE_CTX_idx());
  struct tg_tls *tls = SSL_get_app_data(ssl);
  if (good || SSL_get_verify_mode(ssl) == SSL_VERIFY_NONE) return good;
  tg_tls_reason_of_certificate(verification, tg_buffer_slice(&tls->name), text, sizeof text);
  tg_tls_blame(tls, text);
  return good;
}

const char *tg_tls_complain(const struct tg_tls *tls) {
  return tls->why ? tls->why : "";
}

/* After a call that did not succeed. */
static tg_status failure(struct tg_tls *tls, int result) {
  switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ: return TG_EAGAIN;
    case SSL_ERROR_ZERO_RETURN: return UV_EOF;
    default: tg_tls_blame(tls, NULL); return TG_ETLS;
  }
}

/* ---- work ---- */

tg_status tg_tls_handshake(struct tg_tls *tls) {
  if (tls->bad_name) {
    tg_tls_blame(tls, "the name of the server is no name of a host");
    return TG_ETLS;
  }
  ERR_clear_error();
  int result = SSL_do_handshake(tls->ssl);
  if (result == 1) {
    tls->secured = true;
    return TG_OK;
  }
  tg_status status = failure(tls, result);
  if (status != UV_EOF) return status;
  tg_tls_blame(tls, "the other side ended the connection during the handshake");
  return TG_ETLS;
}

tg_status tg_tls_read(struct tg_tls *tls, char *to, size_t room, size_t *len) {
  ERR_clear_error();
  int result = SSL_read_ex(tls->ssl, to, room, len);
  return result == 1 ? TG_OK : failure(tls, result);
}

tg_status tg_tls_write(struct tg_tls *tls, struct tg_slice bytes) {
  size_t written;
  ERR_clear_error();
  if (SSL_write_ex(tls->ssl, bytes.ptr, bytes.len, &written) == 1) return TG_OK;
  if (SSL_get_error(tls->ssl, 0) == SSL_ERROR_WANT_READ) return TG_EAGAIN;
  tg_tls_blame(tls, NULL);
  return TG_ETLS;
}

void tg_tls_end(struct tg_tls *tls) {
  if (!tls->secured || tls->why) return;
  ERR_clear_error();
  (void)SSL_shutdown(tls->ssl);
  ERR_clear_error();
}

tg_status tg_tls_keep_fresh(struct tg_tls *tls) {
  tg_status status = tg_buffer_append(&tls->in, tls->fresh.ptr, tls->fresh.len);
  tls->fresh = tg_slice(NULL, 0);
  return status;
}

bool tg_tls_read_all(const struct tg_tls *tls) {
  return !tls->fresh.len && !tg_buffer_size(&tls->in) && !SSL_pending(tls->ssl);
}

bool tg_tls_unread(const struct tg_tls *tls) {
  return tg_buffer_size(&tls->in) || tls->fresh.len || SSL_has_pending(tls->ssl);
}
