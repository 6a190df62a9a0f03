/* Why a handshake or a record failed, in one line for people. */
#ifndef TG_NET_TLS_REASON_H
#define TG_NET_TLS_REASON_H

#include <openssl/types.h>
#include <stddef.h>

#include "base/slice.h"

/* Of a certificate that is refused right now. `name` is the one that was asked for. */
void tg_tls_reason_of_certificate(X509_STORE_CTX *verification, struct tg_slice name, char *out,
                                  size_t size);

/* Of what OpenSSL has in its queue of errors, which is emptied. */
void tg_tls_reason_of_error(char *out, size_t size);

#endif
