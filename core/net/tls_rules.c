/* See tls_rules.h. What OpenSSL finds in a configuration file of the system can only forbid more:
 * all that matters is set here. */
#include "net/tls_rules.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/ssl.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "net/tls.h"
#include "net/tls_sessions.h"
#include "net/tls_tickets.h"

/* Of TLS 1.2; those of 1.3 are all good. Servers have forward secrecy and authenticated encryption
 * only; towards servers that know no better, the older form of blocks is still taken. */
#define SERVER_CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"
#define CLIENT_CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:ECDHE+AES:!SHA1:!PSK"
/* Of TLS 1.3, the quickest first. */
#define SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS "X25519:P-256:P-384"
/* Of a session, in seconds: no longer than its ticket can be read. */
#define SESSION_LIFE 7200L
/* Certificates between the other side's and one that is trusted. */
#define CHAIN_MAX 8

static SSL_CTX *new_context(const SSL_METHOD *method, struct tg_tls_context *context,
                            enum tg_tls_version min, const char *ciphers) {
  SSL_CTX *ssl = SSL_CTX_new(method);
  if (!ssl) return NULL;
  SSL_CTX_set_app_data(ssl, context);
  SSL_CTX_set_security_level(ssl, 2);
  SSL_CTX_set_verify_depth(ssl, CHAIN_MAX);
  SSL_CTX_clear_options(ssl, SSL_OP_LEGACY_SERVER_CONNECT |
                                 SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION |
                                 SSL_OP_ALLOW_CLIENT_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_options(ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
  bool set =
      SSL_CTX_set_min_proto_version(ssl, min == TG_TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION) ==
          1 &&
      SSL_CTX_set_max_proto_version(ssl, 0) == 1 && SSL_CTX_set_ciphersuites(ssl, SUITES) == 1 &&
      SSL_CTX_set_cipher_list(ssl, ciphers) == 1 && SSL_CTX_set1_groups_list(ssl, GROUPS) == 1;
  ERR_clear_error();
  if (set) return ssl;
  SSL_CTX_free(ssl);
  return NULL;
}

/* ---- servers ---- */

/* Who offers names, but not ours, is told so (RFC 7301 section 3.2). */
static int on_alpn(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_len,
                   const unsigned char *offered, unsigned offered_len, void *arg) {
  static const struct tg_slice ours = {"http/1.1", 8};
  (void)ssl;
  (void)arg;
  for (unsigned i = 0; i < offered_len; i += 1u + offered[i]) {
    struct tg_slice name = tg_slice((const char *)offered + i + 1, offered[i]);
    if (i + 1 + name.len > offered_len || !tg_slice_eq(name, ours)) continue;
    *chosen = offered + i + 1;
    *chosen_len = offered[i];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* A client of TLS 1.3 uses a ticket once, and needs a new one each time. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int encrypt) {
  const struct tg_tls *tls = SSL_get_app_data(ssl);
  int answer = tg_tls_tickets_use(tls->context->tickets, name, iv, cipher, mac, encrypt);
  return answer == 1 && !encrypt && SSL_version(ssl) >= TLS1_3_VERSION ? 2 : answer;
}

/* One write a line, so that those of several threads do not mix. */
static void on_secret(const SSL *ssl, const char *line) {
  const struct tg_tls *tls = SSL_get_app_data(ssl);
  char text[512];
  size_t len = strlen(line);
  if (len > sizeof text - 1) return;
  memcpy(text, line, len);
  text[len] = '\n';
  ssize_t written = write(tls->context->keylog, text, len + 1);
  (void)written; /* a full disk costs a help for debugging, no more */
}

SSL_CTX *tg_tls_rules_new_server(struct tg_tls_context *context, enum tg_tls_version min) {
  SSL_CTX *ssl = new_context(TLS_server_method(), context, min, SERVER_CIPHERS);
  if (!ssl) return NULL;
  SSL_CTX_set_options(ssl, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_timeout(ssl, SESSION_LIFE);
  /* What the file of the certificate holds is what is sent: nothing is looked for at each hello. */
  SSL_CTX_set_mode(ssl, SSL_MODE_NO_AUTO_CHAIN);
  /* Each costs a tenth of a handshake. Every connection brings one, also one that is resumed. */
  SSL_CTX_set_num_tickets(ssl, 1);
  if (context->tickets)
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, on_ticket);
  else
    SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
  SSL_CTX_set_alpn_select_cb(ssl, on_alpn, NULL);
  if (context->keylog >= 0) SSL_CTX_set_keylog_callback(ssl, on_secret);
  return ssl;
}

/* ---- clients ---- */

static int on_session(SSL *ssl, SSL_SESSION *session) {
  const struct tg_tls *tls = SSL_get_app_data(ssl);
  tg_tls_sessions_put(tls->context->sessions, tg_buffer_slice(&tls->name), session);
  return 1; /* the reference is ours now */
}

SSL_CTX *tg_tls_rules_new_client(struct tg_tls_context *context, enum tg_tls_version min) {
  SSL_CTX *ssl = new_context(TLS_client_method(), context, min, CLIENT_CIPHERS);
  if (!ssl) return NULL;
  SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(ssl, on_session);
  SSL_CTX_set_verify(ssl, context->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, tg_tls_on_verify);
  return ssl;
}

bool tg_tls_rules_is_ocsp(struct tg_slice bytes) {
  const unsigned char *at = (const unsigned char *)bytes.ptr;
  OCSP_RESPONSE *answer = at ? d2i_OCSP_RESPONSE(NULL, &at, (long)bytes.len) : NULL;
  bool good = answer && OCSP_response_status(answer) == OCSP_RESPONSE_STATUS_SUCCESSFUL;
  OCSP_RESPONSE_free(answer);
  ERR_clear_error();
  return good;
}
