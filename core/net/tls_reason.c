/* See tls_reason.h. The usual ones have words of their own; the rest are OpenSSL's. */
#include "net/tls_reason.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define NAMES_MAX 256

/* What comes from outside goes into logs: printable ASCII only. */
static void add_text(char *out, size_t size, const char *bytes, size_t len) {
  size_t at = strlen(out);
  for (size_t i = 0; i < len && at + 1 < size; i++)
    out[at++] = bytes[i] > ' ' && bytes[i] < 127 ? bytes[i] : '?';
  out[at] = 0;
}

static void add_address(char *out, size_t size, const ASN1_OCTET_STRING *address) {
  const unsigned char *b = ASN1_STRING_get0_data(address);
  size_t at = strlen(out);
  if (ASN1_STRING_length(address) == 4)
    snprintf(out + at, size - at, "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
  else
    snprintf(out + at, size - at, "an address of IPv6");
}

static void add_name(char *out, size_t size, const GENERAL_NAME *name) {
  if (name->type != GEN_DNS && name->type != GEN_IPADD) return;
  if (out[0]) snprintf(out + strlen(out), size - strlen(out), ", ");
  if (name->type == GEN_IPADD)
    add_address(out, size, name->d.iPAddress);
  else
    add_text(out, size, (const char *)ASN1_STRING_get0_data(name->d.dNSName),
             (size_t)ASN1_STRING_length(name->d.dNSName));
}

/* The names that it is for, as far as there is room. */
static void names_of(X509 *cert, char *out, size_t size) {
  GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
  out[0] = 0;
  for (int i = 0; i < sk_GENERAL_NAME_num(names) && strlen(out) + 32 < size; i++)
    add_name(out, size, sk_GENERAL_NAME_value(names, i));
  GENERAL_NAMES_free(names);
  if (!out[0]) snprintf(out, size, "nobody (it has no subjectAltName)");
}

static void date_of(const ASN1_TIME *time, char *out, size_t size) {
  struct tm tm;
  if (ASN1_TIME_to_tm(time, &tm) != 1 || !strftime(out, size, "%Y-%m-%d", &tm))
    snprintf(out, size, "?");
}

static void write_issuer(X509 *cert, char *out, size_t size) {
  char issuer[NAMES_MAX] = "", plain[NAMES_MAX] = "";
  if (X509_NAME_get_text_by_NID(X509_get_issuer_name(cert), NID_commonName, issuer, sizeof issuer) >
      0)
    for (size_t i = 0; issuer[i]; i++)
      plain[i] = issuer[i] >= ' ' && issuer[i] < 127 ? issuer[i] : '?';
  snprintf(
      out, size,
      "the certificate's issuer%s%s%s is not trusted, or certificates between them are missing",
      plain[0] ? " \"" : "", plain, plain[0] ? "\"" : "");
}

static void write_verdict(int verdict, X509 *cert, struct tg_slice name, char *out, size_t size) {
  char text[NAMES_MAX];
  switch (verdict) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      date_of(X509_get0_notAfter(cert), text, sizeof text);
      snprintf(out, size, "the certificate has expired on %s", text);
      break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      date_of(X509_get0_notBefore(cert), text, sizeof text);
      snprintf(out, size, "the certificate is not valid before %s", text);
      break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      names_of(cert, text, sizeof text);
      snprintf(out, size, "the certificate is for %s, not %.*s", text, (int)name.len, name.ptr);
      break;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      snprintf(out, size, "the certificate is self-signed, and not trusted");
      break;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE: write_issuer(cert, out, size); break;
    case X509_V_ERR_INVALID_PURPOSE:
      snprintf(out, size, "the certificate is not for this purpose (a server's, or a client's)");
      break;
    default:
      snprintf(out, size, "the certificate is refused: %s", X509_verify_cert_error_string(verdict));
  }
}

void tg_tls_reason_of_certificate(X509_STORE_CTX *verification, struct tg_slice name, char *out,
                                  size_t size) {
  X509 *cert = X509_STORE_CTX_get_current_cert(verification);
  int verdict = X509_STORE_CTX_get_error(verification);
  if (!cert) cert = X509_STORE_CTX_get0_cert(verification);
  write_verdict(verdict, cert, name, out, size);
}

/* "tlsv1 alert unknown ca" -> "unknown ca" */
static const char *alert_of(unsigned long error) {
  const char *text = ERR_reason_error_string(error);
  const char *word = text ? strstr(text, "alert ") : NULL;
  return word ? word + 6 : text ? text : "unknown";
}

static void write_error(unsigned long error, char *out, size_t size) {
  int reason = ERR_GET_REASON(error);
  bool of_tls = ERR_GET_LIB(error) == ERR_LIB_SSL;
  const char *text = ERR_reason_error_string(error);
  if (of_tls && reason > SSL_AD_REASON_OFFSET)
    snprintf(out, size, "the other side refused: %s", alert_of(error));
  else if (of_tls && (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST ||
                      reason == SSL_R_PACKET_LENGTH_TOO_LONG))
    snprintf(out, size, "the other side does not speak TLS");
  else if (of_tls && reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
    snprintf(out, size, "the client has no certificate");
  else
    snprintf(out, size, "%s", text ? text : "broken off");
}

void tg_tls_reason_of_error(char *out, size_t size) {
  write_error(ERR_peek_error(), out, size);
  ERR_clear_error();
}
