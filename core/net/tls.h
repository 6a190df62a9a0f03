/* One TLS connection, without its socket: encrypted bytes in, plain bytes out, and the other way.
 *
 * Made for a context by tg_tls_client_new or tg_tls_server_new and given to a stream
 * (tg_stream_secure) or a duplex (tg_duplex_secure), which owns it from then on and does all the
 * rest; others may ask what it has agreed on (tls_facts.h) and why it has failed. The lower half of
 * this file is theirs. */
#ifndef TG_NET_TLS_H
#define TG_NET_TLS_H

#include <openssl/types.h>
#include <stdbool.h>

#include "base/buffer.h"
#include "base/slice.h"
#include "base/status.h"
#include "loop/loop.h"
#include "net/tls_context.h"

struct tg_tls {
  SSL *ssl;
  struct tg_tls_context *context; /* held */
  struct tg_tls_host *host;       /* of a server, once the client has said its name */
  void *owner;                    /* the stream or duplex that has it */
  struct tg_loop *loop;           /* the owner's */
  struct tg_slice fresh;          /* encrypted bytes that have just come (borrowed) */
  struct tg_buffer in;            /* encrypted bytes that had to wait; before `fresh` */
  struct tg_buffer out;           /* encrypted bytes that must be sent */
  struct tg_buffer held;          /* of a duplex: plain bytes that could not be encrypted yet */
  struct tg_loop_job step;        /* goes on with the handshake, or with bytes that wait */
  struct tg_buffer name;          /* whom a client talks to: checked against the certificate */
  char *why;                      /* of a failure: one line */
  tg_status cut;                  /* how the other side's bytes have ended: UV_EOF or an error */
  bool secured;                   /* the handshake is done */
  bool pulling;                   /* the stream reads encrypted bytes */
  bool bad_name;                  /* `name` cannot be one */
};

/* A client's end. `name` is the server's: sent (SNI) and checked, or checked only where it is an
 * address; empty: neither. `alpn` is what to speak, with commas between several; may be empty.
 * Resumes a session that was had with the same context and name. NULL: no memory. A name that
 * cannot be one lets the handshake fail. */
struct tg_tls *tg_tls_client_new(struct tg_tls_context *context, struct tg_slice name,
                                 struct tg_slice alpn);

/* A server's end. NULL: no memory. */
struct tg_tls *tg_tls_server_new(struct tg_tls_context *context);

/* One that nobody has taken over. */
void tg_tls_free(struct tg_tls *tls);

/* Why it has failed, in one line ("the certificate has expired"); empty where it has not. Valid
 * while the connection lives. */
const char *tg_tls_complain(const struct tg_tls *tls);

/* ---- for net/stream_secure.c and net/duplex_secure.c ---- */

/* Goes on with the handshake. TG_OK: done; TG_EAGAIN: wants more bytes; TG_ETLS, TG_ENOMEM. There
 * may be bytes to send in each case. */
TG_MUST_CHECK tg_status tg_tls_handshake(struct tg_tls *tls);

/* Decrypts up to `room` bytes. TG_OK with *len > 0; TG_EAGAIN: wants more bytes; UV_EOF: the other
 * side has ended properly; TG_ETLS, TG_ENOMEM. */
TG_MUST_CHECK tg_status tg_tls_read(struct tg_tls *tls, char *to, size_t room, size_t *len);

/* Encrypts all of the bytes into `out`. TG_EAGAIN: none of them, for a message of the other side's
 * TLS has come in part, and has to be read whole first. */
TG_MUST_CHECK tg_status tg_tls_write(struct tg_tls *tls, struct tg_slice bytes);

/* Says that our side ends (close_notify), where the handshake was done. */
void tg_tls_end(struct tg_tls *tls);

/* Keeps what was not used of `fresh`. */
TG_MUST_CHECK tg_status tg_tls_keep_fresh(struct tg_tls *tls);

/* Has all been decrypted that has come, so that another read would only say TG_EAGAIN? */
bool tg_tls_read_all(const struct tg_tls *tls);

/* Have bytes come that nobody has got yet? */
bool tg_tls_unread(const struct tg_tls *tls);

/* Remembers why it failed, where that is not known yet; NULL: what OpenSSL says. */
void tg_tls_blame(struct tg_tls *tls, const char *why);

/* For SSL_CTX_set_verify: remembers why a certificate is refused. */
int tg_tls_on_verify(int good, X509_STORE_CTX *verification);

/* A BIO_METHOD for tg_tls; NULL: no memory. */
struct bio_method_st *tg_tls_new_bio(void);

#endif
