/* See tls_facts.h. What does not fit or cannot be read is left empty. */
#include "net/tls_facts.h"

#include <arpa/inet.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NAMES_MAX 64

static struct tg_slice keep(struct tg_arena *arena, struct tg_slice text) {
  struct tg_slice copy = text.len ? tg_arena_copy(arena, text) : tg_slice("", 0);
  return copy.ptr ? copy : tg_slice("", 0);
}

static struct tg_slice keep_text(struct tg_arena *arena, const char *text) {
  return text ? keep(arena, tg_slice_cstr(text)) : tg_slice("", 0);
}

/* ---- the certificate ---- */

static struct tg_slice keep_name(struct tg_arena *arena, const X509_NAME *name) {
  BIO *bio = BIO_new(BIO_s_mem());
  struct tg_slice kept = tg_slice("", 0);
  char *text;
  if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0) {
    long len = BIO_get_mem_data(bio, &text);
    if (len > 0) kept = keep(arena, tg_slice(text, (size_t)len));
  }
  BIO_free(bio);
  return kept;
}

static struct tg_slice keep_common_name(struct tg_arena *arena, const X509_NAME *name) {
  unsigned char *text = NULL;
  int place = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (place < 0) return tg_slice("", 0);
  int len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, place)));
  struct tg_slice kept = tg_slice("", 0);
  if (len > 0) kept = keep(arena, tg_slice((const char *)text, (size_t)len));
  OPENSSL_free(text);
  return kept;
}

static struct tg_slice keep_hex(struct tg_arena *arena, const unsigned char *bytes, size_t len) {
  static const char digits[] = "0123456789abcdef";
  char *text = tg_arena_alloc(arena, len * 2 + 1);
  if (!text) return tg_slice("", 0);
  for (size_t i = 0; i < len; i++) {
    text[i * 2] = digits[bytes[i] >> 4];
    text[i * 2 + 1] = digits[bytes[i] & 15];
  }
  return tg_slice(text, len * 2);
}

static struct tg_slice keep_serial(struct tg_arena *arena, const X509 *cert) {
  const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
  return keep_hex(arena, ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial));
}

static struct tg_slice keep_fingerprint(struct tg_arena *arena, const X509 *cert) {
  unsigned char hash[EVP_MAX_MD_SIZE];
  unsigned len = 0;
  if (X509_digest(cert, EVP_sha256(), hash, &len) != 1) return tg_slice("", 0);
  return keep_hex(arena, hash, len);
}

static int64_t seconds_of(const ASN1_TIME *time) {
  struct tm tm;
  return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static struct tg_slice keep_joined(struct tg_arena *arena, const char *kind, const char *bytes,
                                   size_t len) {
  size_t before = strlen(kind);
  char *text = tg_arena_alloc(arena, before + len + 1);
  if (!text) return tg_slice("", 0);
  memcpy(text, kind, before);
  memcpy(text + before, bytes, len);
  return tg_slice(text, before + len);
}

static struct tg_slice keep_address(struct tg_arena *arena, const ASN1_OCTET_STRING *address) {
  char text[INET6_ADDRSTRLEN] = "";
  int family = ASN1_STRING_length(address) == 4 ? AF_INET : AF_INET6;
  if (family == AF_INET6 && ASN1_STRING_length(address) != 16) return tg_slice("", 0);
  inet_ntop(family, ASN1_STRING_get0_data(address), text, sizeof text);
  return keep_joined(arena, "IP:", text, strlen(text));
}

/* A name with a NUL in it could be taken for another one. */
static struct tg_slice keep_alternative(struct tg_arena *arena, const GENERAL_NAME *name) {
  const char *kind = name->type == GEN_DNS     ? "DNS:"
                     : name->type == GEN_URI   ? "URI:"
                     : name->type == GEN_EMAIL ? "email:"
                                               : NULL;
  if (name->type == GEN_IPADD) return keep_address(arena, name->d.iPAddress);
  if (!kind) return tg_slice("", 0);
  const char *bytes = (const char *)ASN1_STRING_get0_data(name->d.ia5);
  size_t len = (size_t)ASN1_STRING_length(name->d.ia5);
  return memchr(bytes, 0, len) ? tg_slice("", 0) : keep_joined(arena, kind, bytes, len);
}

static void keep_alternatives(struct tg_arena *arena, const X509 *cert, struct tg_tls_peer *peer) {
  GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
  int count = sk_GENERAL_NAME_num(names);
  if (count > NAMES_MAX) count = NAMES_MAX;
  if (count > 0) peer->san = tg_arena_alloc(arena, (size_t)count * sizeof *peer->san);
  for (int i = 0; peer->san && i < count; i++) {
    struct tg_slice kept = keep_alternative(arena, sk_GENERAL_NAME_value(names, i));
    if (kept.len) peer->san[peer->san_count++] = kept;
  }
  GENERAL_NAMES_free(names);
}

static struct tg_tls_peer *read_peer(const X509 *cert, struct tg_arena *arena) {
  struct tg_tls_peer *peer = tg_arena_alloc(arena, sizeof *peer);
  if (!peer) return NULL;
  *peer = (struct tg_tls_peer){
      .subject = keep_name(arena, X509_get_subject_name(cert)),
      .issuer = keep_name(arena, X509_get_issuer_name(cert)),
      .common_name = keep_common_name(arena, X509_get_subject_name(cert)),
      .serial = keep_serial(arena, cert),
      .fingerprint = keep_fingerprint(arena, cert),
      .not_before = seconds_of(X509_get0_notBefore(cert)),
      .not_after = seconds_of(X509_get0_notAfter(cert)),
  };
  keep_alternatives(arena, cert, peer);
  return peer;
}

/* ---- the connection ---- */

struct tg_tls_facts *tg_tls_facts_read(const struct tg_tls *tls, struct tg_arena *arena) {
  const unsigned char *alpn = NULL;
  unsigned alpn_len = 0;
  struct tg_tls_facts *facts = tg_arena_alloc(arena, sizeof *facts);
  if (!facts) return NULL;
  SSL_get0_alpn_selected(tls->ssl, &alpn, &alpn_len);
  *facts = (struct tg_tls_facts){
      .version = keep_text(arena, SSL_get_version(tls->ssl)),
      .cipher = keep_text(arena, SSL_get_cipher_name(tls->ssl)),
      .sni = keep_text(arena, SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name)),
      .alpn = keep(arena, tg_slice((const char *)alpn, alpn_len)),
      .resumed = SSL_session_reused(tls->ssl) == 1,
  };
  X509 *cert = SSL_get1_peer_certificate(tls->ssl);
  if (cert) facts->peer = read_peer(cert, arena);
  bool lost = cert && !facts->peer;
  X509_free(cert);
  ERR_clear_error();
  return lost ? NULL : facts;
}

static struct tg_tls_peer *copy_peer(const struct tg_tls_peer *peer, struct tg_arena *arena) {
  struct tg_tls_peer *copy = tg_arena_alloc(arena, sizeof *copy);
  struct tg_slice *san = tg_arena_alloc(arena, (peer->san_count + 1) * sizeof *san);
  if (!copy || !san) return NULL;
  *copy = *peer;
  copy->subject = keep(arena, peer->subject);
  copy->issuer = keep(arena, peer->issuer);
  copy->common_name = keep(arena, peer->common_name);
  copy->serial = keep(arena, peer->serial);
  copy->fingerprint = keep(arena, peer->fingerprint);
  for (size_t i = 0; i < peer->san_count; i++) san[i] = keep(arena, peer->san[i]);
  copy->san = san;
  return copy;
}

struct tg_tls_facts *tg_tls_facts_copy(const struct tg_tls_facts *facts, struct tg_arena *arena) {
  struct tg_tls_facts *copy = tg_arena_alloc(arena, sizeof *copy);
  if (!copy) return NULL;
  *copy = *facts;
  copy->version = keep(arena, facts->version);
  copy->cipher = keep(arena, facts->cipher);
  copy->sni = keep(arena, facts->sni);
  copy->alpn = keep(arena, facts->alpn);
  if (facts->peer) copy->peer = copy_peer(facts->peer, arena);
  return facts->peer && !copy->peer ? NULL : copy;
}
