/* A throw-away certificate for `tidegate dev --tls`: made on the spot, signed by itself, for
 * localhost, 127.0.0.1 and ::1, valid for 30 days. */
#ifndef TG_NET_TLS_OWN_H
#define TG_NET_TLS_OWN_H

#include <openssl/types.h>

#include "base/status.h"

/* Makes one and its key (P-256), and gives both to the context. */
TG_MUST_CHECK tg_status tg_tls_own_use(SSL_CTX *ssl);

#endif
