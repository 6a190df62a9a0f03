/* Versions, ciphers, curves and options: what both kinds of contexts begin with. */
#ifndef TG_NET_TLS_RULES_H
#define TG_NET_TLS_RULES_H

#include "base/slice.h"
#include "net/tls_context.h"

/* NULL: no memory. Both keep `context` as their application data. */
SSL_CTX *tg_tls_rules_new_client(struct tg_tls_context *context, enum tg_tls_version min);
SSL_CTX *tg_tls_rules_new_server(struct tg_tls_context *context, enum tg_tls_version min);

/* Is it an OCSP answer (RFC 6960)? */
bool tg_tls_rules_is_ocsp(struct tg_slice bytes);

#endif
