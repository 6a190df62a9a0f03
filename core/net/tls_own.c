/* See tls_own.h. */
#include "net/tls_own.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdint.h>

#define LIFE (30L * 24 * 3600)

static bool add_extension(X509 *cert, int nid, const char *value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, cert, cert, NULL, NULL, 0);
  X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
  bool added = extension && X509_add_ext(cert, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

static bool set_name(X509 *cert) {
  X509_NAME *name = X509_get_subject_name(cert);
  const unsigned char *text = (const unsigned char *)"tidegate dev";
  return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, text, -1, -1, 0) == 1 &&
         X509_set_issuer_name(cert, name) == 1;
}

static bool set_serial(X509 *cert) {
  uint64_t serial;
  return RAND_bytes((unsigned char *)&serial, sizeof serial) == 1 &&
         ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1) == 1;
}

static bool fill(X509 *cert, EVP_PKEY *key) {
  return X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) && set_name(cert) &&
         X509_gmtime_adj(X509_getm_notBefore(cert), -3600) &&
         X509_gmtime_adj(X509_getm_notAfter(cert), LIFE) && X509_set_pubkey(cert, key) == 1 &&
         add_extension(cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
         add_extension(cert, NID_key_usage, "critical,digitalSignature,keyCertSign") &&
         add_extension(cert, NID_ext_key_usage, "serverAuth") &&
         add_extension(cert, NID_subject_key_identifier, "hash") &&
         add_extension(cert, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1") &&
         X509_sign(cert, key, EVP_sha256()) > 0;
}

tg_status tg_tls_own_use(SSL_CTX *ssl) {
  EVP_PKEY *key = EVP_EC_gen("P-256");
  X509 *cert = X509_new();
  bool used = key && cert && fill(cert, key) && SSL_CTX_use_certificate(ssl, cert) == 1 &&
              SSL_CTX_use_PrivateKey(ssl, key) == 1;
  X509_free(cert);
  EVP_PKEY_free(key);
  ERR_clear_error();
  return used ? TG_OK : TG_ENOMEM;
}
