/* See tls_file.h. Files are opened by hand first: the system says better than OpenSSL why one
 * cannot be read. */
#include "net/tls_file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)1024 * 1024)

static tg_status complain(const struct tg_tls_complaint *complaint, const char *key,
                          const char *file, const char *why) {
  ERR_clear_error();
  snprintf(complaint->text, complaint->size, "%s: %s: %s", key, file, why);
  return TG_EINVALID;
}

static tg_status read_all(int fd, struct tg_buffer *bytes) {
  for (;;) {
    if (tg_buffer_size(bytes) > FILE_MAX) return -EFBIG;
    if (tg_buffer_reserve(bytes, 16384)) return TG_ENOMEM;
    ssize_t n = read(fd, tg_buffer_tail(bytes), 16384);
    if (n == 0) return TG_OK;
    if (n > 0)
      tg_buffer_wrote(bytes, (size_t)n);
    else if (errno != EINTR)
      return -errno;
  }
}

tg_status tg_tls_file_read(const char *key, const char *file, struct tg_buffer *bytes,
                           const struct tg_tls_complaint *complaint) {
  int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return complain(complaint, key, file, strerror(errno));
  tg_status status = read_all(fd, bytes);
  close(fd);
  if (status == TG_OK || status == TG_ENOMEM) return status;
  return complain(complaint, key, file, strerror(-status));
}

static BIO *open_file(const char *key, const char *file, struct tg_buffer *bytes,
                      const struct tg_tls_complaint *complaint, tg_status *status) {
  *status = tg_tls_file_read(key, file, bytes, complaint);
  if (*status) return NULL;
  struct tg_slice all = tg_buffer_slice(bytes);
  BIO *bio = BIO_new_mem_buf(all.ptr ? all.ptr : "", (int)all.len);
  if (!bio) *status = TG_ENOMEM;
  return bio;
}

/* A pass phrase would be asked for at the terminal. */
static int on_pass_phrase(char *to, int size, int writing, void *asked) {
  if (size > 0) to[0] = 0;
  (void)writing;
  *(bool *)asked = true;
  return -1;
}

static bool use_chain(SSL_CTX *ssl, BIO *bio) {
  X509 *leaf = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL), *issuer;
  bool used = leaf && SSL_CTX_use_certificate(ssl, leaf) == 1;
  X509_free(leaf);
  if (used) SSL_CTX_clear_chain_certs(ssl);
  while (used && (issuer = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
    used = SSL_CTX_add0_chain_cert(ssl, issuer) == 1;
    if (!used) X509_free(issuer);
  }
  /* What ends the loop is the end of the file, or something that is no certificate. */
  unsigned long last = ERR_peek_last_error();
  return used && ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
}

static const char *about_certificate(void) {
  unsigned long last = ERR_peek_error();
  if (ERR_GET_LIB(last) == ERR_LIB_SSL && ERR_GET_REASON(last) == SSL_R_EE_KEY_TOO_SMALL)
    return "its key is too short to be safe (RSA needs 2048 bits)";
  if (ERR_GET_LIB(last) == ERR_LIB_SSL && ERR_GET_REASON(last) == SSL_R_CA_MD_TOO_WEAK)
    return "its signature is too weak to be safe";
  return "no certificate in PEM form, or a broken one";
}

static tg_status use_certificate(SSL_CTX *ssl, const char *file,
                                 const struct tg_tls_complaint *complaint) {
  struct tg_buffer bytes = {0};
  tg_status status;
  BIO *bio = open_file("cert", file, &bytes, complaint, &status);
  ERR_clear_error();
  if (bio && !use_chain(ssl, bio)) status = complain(complaint, "cert", file, about_certificate());
  ERR_clear_error();
  BIO_free(bio);
  tg_buffer_deinit(&bytes);
  return status;
}

static tg_status use_key(SSL_CTX *ssl, const char *file, const char *cert_file,
                         const struct tg_tls_complaint *complaint) {
  struct tg_buffer bytes = {0};
  bool asked = false;
  tg_status status;
  BIO *bio = open_file("key", file, &bytes, complaint, &status);
  EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, on_pass_phrase, &asked) : NULL;
  if (bio && asked) {
    status = complain(complaint, "key", file, "has a pass phrase; keys must have none");
  } else if (bio && !key) {
    status = complain(complaint, "key", file, "no private key in PEM form, or a broken one");
  } else if (bio && SSL_CTX_use_PrivateKey(ssl, key) != 1) {
    char text[512];
    snprintf(text, sizeof text, "does not belong to the certificate %s", cert_file);
    status = complain(complaint, "key", file, text);
  }
  EVP_PKEY_free(key);
  BIO_free(bio);
  if (bytes.data) OPENSSL_cleanse(bytes.data, bytes.cap);
  tg_buffer_deinit(&bytes);
  return status;
}

tg_status tg_tls_file_use_certificate(SSL_CTX *ssl, const char *cert_file, const char *key_file,
                                      const struct tg_tls_complaint *complaint) {
  tg_status status = use_certificate(ssl, cert_file, complaint);
  return status ? status : use_key(ssl, key_file, cert_file, complaint);
}

static int add_issuers(X509_STORE *store, BIO *bio) {
  int count = 0;
  X509 *issuer;
  while ((issuer = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL))) {
    count += X509_STORE_add_cert(store, issuer) == 1;
    X509_free(issuer);
  }
  ERR_clear_error();
  return count;
}

tg_status tg_tls_file_use_issuers(SSL_CTX *ssl, const char *key, const char *file,
                                  const struct tg_tls_complaint *complaint) {
  if (!file) {
    int found = SSL_CTX_set_default_verify_paths(ssl);
    ERR_clear_error();
    return found == 1 ? TG_OK : TG_ENOMEM;
  }
  struct tg_buffer bytes = {0};
  tg_status status;
  BIO *bio = open_file(key, file, &bytes, complaint, &status);
  if (bio && !add_issuers(SSL_CTX_get_cert_store(ssl), bio))
    status = complain(complaint, key, file, "no certificate in PEM form");
  BIO_free(bio);
  tg_buffer_deinit(&bytes);
  return status;
}
