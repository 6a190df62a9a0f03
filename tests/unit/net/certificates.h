/* Real certificates for tests: made with libcrypto, written as PEM files into a folder that goes
 * again with certificates_remove. All keys are P-256. */
#ifndef TESTS_UNIT_NET_CERTIFICATES_H
#define TESTS_UNIT_NET_CERTIFICATES_H

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct issuer {
  X509 *cert;
  EVP_PKEY *key;
};

struct wish {
  const char *name;  /* common name */
  const char *alt;   /* "DNS:a.example,IP:127.0.0.1", or NULL */
  const char *usage; /* "serverAuth", or NULL */
  long from, until;  /* seconds from now */
  bool is_ca;
};

struct certificates {
  char dir[64];
  char path[8][96]; /* returned by certificates_path, in turn */
  unsigned turn;
};

static const char *certificates_path(struct certificates *certs, const char *name) {
  char *path = certs->path[certs->turn++ % 8];
  size_t len = strlen(certs->dir);
  memcpy(path, certs->dir, len);
  path[len] = '/';
  strcpy(path + len + 1, name);
  return path;
}

static void certificates_extend(X509 *cert, X509 *issuer, int nid, const char *value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
  X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
  if (!extension || X509_add_ext(cert, extension, -1) != 1) abort();
  X509_EXTENSION_free(extension);
}

/* Signed by `by`, or by itself. */
static struct issuer certificates_make(const struct wish *wish, const struct issuer *by) {
  static long serial = 1;
  struct issuer made = {X509_new(), EVP_EC_gen("P-256")};
  struct issuer signer = by ? *by : made;
  X509_NAME *name = X509_get_subject_name(made.cert);
  X509_set_version(made.cert, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(made.cert), serial++);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)wish->name, -1, -1,
                             0);
  X509_set_issuer_name(made.cert, X509_get_subject_name(signer.cert));
  X509_gmtime_adj(X509_getm_notBefore(made.cert), wish->from);
  X509_gmtime_adj(X509_getm_notAfter(made.cert), wish->until);
  X509_set_pubkey(made.cert, made.key);
  certificates_extend(made.cert, signer.cert, NID_basic_constraints,
                      wish->is_ca ? "critical,CA:TRUE" : "CA:FALSE");
  if (wish->alt) certificates_extend(made.cert, signer.cert, NID_subject_alt_name, wish->alt);
  if (wish->usage) certificates_extend(made.cert, signer.cert, NID_ext_key_usage, wish->usage);
  if (!X509_sign(made.cert, signer.key, EVP_sha256())) abort();
  return made;
}

static void certificates_free(struct issuer *issuer) {
  X509_free(issuer->cert);
  EVP_PKEY_free(issuer->key);
}

/* name.pem, with `chain` after it where it is given, and name.key. */
static void certificates_write(struct certificates *certs, const char *name,
                               const struct issuer *made, const struct issuer *chain) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s.pem", certs->dir, name);
  FILE *file = fopen(path, "w");
  if (!file || !PEM_write_X509(file, made->cert)) abort();
  if (chain && !PEM_write_X509(file, chain->cert)) abort();
  fclose(file);
  snprintf(path, sizeof path, "%s/%s.key", certs->dir, name);
  file = fopen(path, "w");
  if (!file || !PEM_write_PrivateKey(file, made->key, NULL, NULL, 0, NULL, NULL)) abort();
  fclose(file);
}

static void certificates_add(struct certificates *certs, const char *name, const struct wish *wish,
                             const struct issuer *by) {
  struct issuer made = certificates_make(wish, by);
  certificates_write(certs, name, &made, NULL);
  certificates_free(&made);
}

static void certificates_open(struct certificates *certs) {
  strcpy(certs->dir, "/tmp/tidegate-tls-XXXXXX");
  if (!mkdtemp(certs->dir)) abort();
}

static void certificates_remove(struct certificates *certs) {
  char command[128];
  snprintf(command, sizeof command, "rm -r %s", certs->dir);
  if (system(command)) abort();
}

#endif
