/* The TLS contexts of clients, of the whole process, by what they are made of: who asks for the
 * same gets the same one, so that connections and sessions are shared by all Lua states and the
 * system's certificates are read once.
 *
 * A context whose files have changed is made anew; connections of the old one go on. */
#ifndef TG_NET_TLS_CLIENTS_H
#define TG_NET_TLS_CLIENTS_H

#include "net/tls_context.h"

struct tg_tls_clients;

/* NULL: no memory. */
struct tg_tls_clients *tg_tls_clients_new(void);
void tg_tls_clients_free(struct tg_tls_clients *clients);

/* As tg_tls_context_new_client; the reference is the caller's. Any thread; it reads files. */
TG_MUST_CHECK tg_status tg_tls_clients_get(struct tg_tls_clients *clients,
                                           const struct tg_tls_client_options *options, char *why,
                                           size_t why_size, struct tg_tls_context **context);

/* Reads the system's certificates, unless that was done: for a thread that may wait, before a loop
 * needs them. */
void tg_tls_clients_prepare(struct tg_tls_clients *clients);

#endif
