/* Sessions that a client may resume, by the name of the server; one a name. Shared by threads. */
#ifndef TG_NET_TLS_SESSIONS_H
#define TG_NET_TLS_SESSIONS_H

#include "base/slice.h"

struct ssl_session_st; /* SSL_SESSION */
struct tg_tls_sessions;

/* NULL: no memory. */
struct tg_tls_sessions *tg_tls_sessions_new(void);
void tg_tls_sessions_free(struct tg_tls_sessions *sessions);

/* Keeps the session (the reference goes over) in place of an older one; the oldest of too many is
 * dropped. */
void tg_tls_sessions_put(struct tg_tls_sessions *sessions, struct tg_slice name,
                         struct ssl_session_st *session);

/* A reference to the session with `name`, or NULL. One of TLS 1.3 is used once (RFC 8446 appendix
 * C.4). */
struct ssl_session_st *tg_tls_sessions_take(struct tg_tls_sessions *sessions, struct tg_slice name);

#endif
