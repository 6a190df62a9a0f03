/* What the TLS connections of one kind share: certificates, keys, who is trusted, versions and
 * ciphers, and the sessions that can be resumed.
 *
 * A context is immutable, counted, and shared by all threads; the files that it is made of are read
 * when it is made, on the caller's thread. A connection holds the context that it began with, so
 * that a newer one never touches it. TLS 1.2 with forward secrecy and authenticated encryption, or
 * TLS 1.3; no compression, no renegotiation, no early data.
 *
 * A context for clients verifies the other side's chain and name, unless it is told not to. One for
 * servers has certificates, of which the client's server name (SNI) chooses: an exact name before a
 * wildcard, and the first certificate where nothing fits. */
#ifndef TG_NET_TLS_CONTEXT_H
#define TG_NET_TLS_CONTEXT_H

#include <openssl/types.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct bio_method_st; /* BIO_METHOD */
struct tg_tls_hosts;
struct tg_tls_sessions;
struct tg_tls_tickets;

/* Room for `why`. */
#define TG_TLS_WHY 512

enum tg_tls_version { TG_TLS_1_2, TG_TLS_1_3 };

struct tg_tls_client_options {
  const char *ca_file;   /* who is trusted, PEM; NULL: the system's store */
  const char *cert_file; /* our own certificate with its chain, PEM; NULL: none */
  const char *key_file;
  bool verify; /* the other side's chain and name */
  enum tg_tls_version min;
};

struct tg_tls_certificate {
  const char *cert_file;      /* with its chain, PEM */
  const char *key_file;       /* PEM, without a pass phrase */
  const char *ocsp_file;      /* an answer of the issuer to be stapled, DER; NULL: none */
  const char *client_ca_file; /* clients must have a certificate of these; NULL: need none */
  bool client_optional;       /* clients may also have none */
};

struct tg_tls_server_options {
  const struct tg_tls_certificate *certificates;
  size_t count; /* 0: one that is made on the spot, of nobody, for `localhost` */
  enum tg_tls_version min;
  const char *keylog_file;        /* the secrets of every connection, for debugging; NULL: none */
  struct tg_tls_tickets *tickets; /* held while the context lives; NULL: no resumption */
};

struct tg_tls_context {
  atomic_uint refs;
  bool server;
  bool verify;
  int keylog;                       /* descriptor, or -1 */
  SSL_CTX *ssl;                     /* of clients, or of a server's first certificate */
  struct bio_method_st *bio;        /* how connections get and give their bytes (tls.c) */
  struct tg_tls_sessions *sessions; /* of clients */
  struct tg_tls_tickets *tickets;   /* of servers */
  struct tg_tls_hosts *hosts;       /* of servers */
};

/* Both: TG_EINVALID with one line in `why` ("ca: tls/ca.pem: No such file or directory"), which
 * names the key of the settings and the file, and begins with "[2]." where it is about the second
 * of several certificates; TG_ENOMEM. The caller has the one reference. */
TG_MUST_CHECK tg_status tg_tls_context_new_client(const struct tg_tls_client_options *options,
                                                  char *why, size_t why_size,
                                                  struct tg_tls_context **context);
TG_MUST_CHECK tg_status tg_tls_context_new_server(const struct tg_tls_server_options *options,
                                                  char *why, size_t why_size,
                                                  struct tg_tls_context **context);

struct tg_tls_context *tg_tls_context_hold(struct tg_tls_context *context);
void tg_tls_context_release(struct tg_tls_context *context);

#endif
