/* Certificates, keys and trusted issuers, from PEM files into a context of OpenSSL. Each complaint
 * is one line that names the key of the settings, the file and what is wrong with it. */
#ifndef TG_NET_TLS_FILE_H
#define TG_NET_TLS_FILE_H

#include <openssl/types.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/status.h"

struct tg_tls_complaint {
  char *text; /* NUL-terminated, cut where it is too long */
  size_t size;
};

/* A certificate with its chain, and its key. */
TG_MUST_CHECK tg_status tg_tls_file_use_certificate(SSL_CTX *ssl, const char *cert_file,
                                                    const char *key_file,
                                                    const struct tg_tls_complaint *complaint);

/* Who is trusted; `key` is that of the settings. NULL as the file: the system's store. */
TG_MUST_CHECK tg_status tg_tls_file_use_issuers(SSL_CTX *ssl, const char *key, const char *file,
                                                const struct tg_tls_complaint *complaint);

/* The whole file, at most 1 MiB. */
TG_MUST_CHECK tg_status tg_tls_file_read(const char *key, const char *file, struct tg_buffer *bytes,
                                         const struct tg_tls_complaint *complaint);

#endif
