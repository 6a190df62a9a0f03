/* See tls_hosts.h. */
#include "net/tls_hosts.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "net/tls.h"
#include "net/tls_own.h"
#include "net/tls_rules.h"

#define NAME_MAX_LEN 255

/* ---- names ---- */

static int compare(const char *a, size_t a_len, const char *b, size_t b_len) {
  int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
  return order ? order : (a_len > b_len) - (a_len < b_len);
}

static int compare_names(const void *a, const void *b) {
  const struct tg_tls_host_name *x = a, *y = b;
  int order = compare(x->text, x->len, y->text, y->len);
  return order ? order : (x->host > y->host) - (x->host < y->host);
}

static size_t lower(struct tg_slice name, char out[NAME_MAX_LEN]) {
  if (name.len > NAME_MAX_LEN) return 0;
  for (size_t i = 0; i < name.len; i++) {
    char c = name.ptr[i];
    out[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
  }
  return name.len;
}

/* Of equal names the first is that of the first host, which bsearch need not find. */
static const struct tg_tls_host_name *find_name(const struct tg_tls_hosts *hosts, const char *text,
                                                size_t len) {
  size_t low = 0, high = hosts->name_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    const struct tg_tls_host_name *name = &hosts->names[middle];
    if (compare(name->text, name->len, text, len) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  const struct tg_tls_host_name *name = &hosts->names[low];
  bool same = low < hosts->name_count && compare(name->text, name->len, text, len) == 0;
  return same ? name : NULL;
}

/* NULL: none fits. */
static struct tg_tls_host *match(const struct tg_tls_hosts *hosts, struct tg_slice name) {
  char text[NAME_MAX_LEN];
  size_t len = lower(name, text);
  const struct tg_tls_host_name *found = len ? find_name(hosts, text, len) : NULL;
  const char *dot = len ? memchr(text, '.', len) : NULL;
  if (!found && dot && dot > text) found = find_name(hosts, dot, len - (size_t)(dot - text));
  return found ? &hosts->all[found->host] : NULL;
}

struct tg_tls_host *tg_tls_hosts_find(const struct tg_tls_hosts *hosts, struct tg_slice name) {
  struct tg_tls_host *host = match(hosts, name);
  return host ? host : &hosts->all[0];
}

static bool same_rules(const struct tg_tls_host *a, const struct tg_tls_host *b) {
  return memcmp(a->client_ca, b->client_ca, sizeof a->client_ca) == 0;
}

/* Without its port, and without the dot that ends a full name. */
static struct tg_slice name_of(struct tg_slice authority) {
  const char *colon = authority.len ? memchr(authority.ptr, ':', authority.len) : NULL;
  if (colon) authority.len = (size_t)(colon - authority.ptr);
  if (authority.len && authority.ptr[authority.len - 1] == '.') authority.len--;
  return authority;
}

bool tg_tls_hosts_admit(const struct tg_tls *tls, struct tg_slice authority) {
  static const struct tg_tls_host asks_nothing;
  const struct tg_tls_hosts *hosts = tls->context->hosts;
  if (TG_LIKELY(!hosts->uneven)) return true;
  const struct tg_tls_host *asked = match(hosts, name_of(authority));
  if (asked) return same_rules(asked, tls->host);
  return same_rules(&hosts->all[0], &asks_nothing) || same_rules(&hosts->all[0], tls->host);
}

/* "*.example.com" is kept as ".example.com"; a star elsewhere stands for nothing. */
static tg_status add_name(struct tg_tls_hosts *hosts, struct tg_slice name, unsigned host) {
  char text[NAME_MAX_LEN];
  if (name.len > 2 && name.ptr[0] == '*' && name.ptr[1] == '.') name = tg_slice_skip(name, 1);
  size_t len = lower(name, text);
  if (!len || memchr(text, 0, len) || memchr(text, '*', len)) return TG_OK;
  if (hosts->name_count == hosts->name_room) {
    size_t room = hosts->name_room ? hosts->name_room * 2 : 8;
    struct tg_tls_host_name *names = realloc(hosts->names, room * sizeof *names);
    if (!names) return TG_ENOMEM;
    hosts->names = names;
    hosts->name_room = room;
  }
  char *copy = malloc(len);
  if (!copy) return TG_ENOMEM;
  memcpy(copy, text, len);
  hosts->names[hosts->name_count++] = (struct tg_tls_host_name){copy, len, host};
  return TG_OK;
}

static struct tg_slice slice_of(const ASN1_STRING *text) {
  return tg_slice((const char *)ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text));
}

/* The common name counts where there is no other (RFC 6125 section 6.4.4). */
static tg_status add_common_name(struct tg_tls_hosts *hosts, X509 *leaf, unsigned host) {
  const X509_NAME *subject = X509_get_subject_name(leaf);
  int place = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (place < 0) return TG_OK;
  const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, place);
  return add_name(hosts, slice_of(X509_NAME_ENTRY_get_data(entry)), host);
}

static tg_status add_names(struct tg_tls_hosts *hosts, unsigned host) {
  X509 *leaf = SSL_CTX_get0_certificate(hosts->all[host].ssl);
  GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
  size_t before = hosts->name_count;
  tg_status status = TG_OK;
  for (int i = 0; status == TG_OK && i < sk_GENERAL_NAME_num(names); i++) {
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
    if (name->type == GEN_DNS) status = add_name(hosts, slice_of(name->d.dNSName), host);
  }
  GENERAL_NAMES_free(names);
  ERR_clear_error();
  if (status == TG_OK && hosts->name_count == before) status = add_common_name(hosts, leaf, host);
  return status;
}

/* ---- the hello ---- */

/* The first name of the extension server_name (RFC 6066 section 3). What is malformed is OpenSSL's
 * to refuse. */
static struct tg_slice asked_name(SSL *ssl) {
  const unsigned char *bytes;
  size_t len;
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &bytes, &len) != 1 || len < 5)
    return tg_slice(NULL, 0);
  size_t name_len = (size_t)bytes[3] << 8 | bytes[4];
  if (bytes[2] != TLSEXT_NAMETYPE_host_name || name_len > len - 5) return tg_slice(NULL, 0);
  return tg_slice((const char *)bytes + 5, name_len);
}

static int on_hello(SSL *ssl, int *alert, void *arg) {
  struct tg_tls_hosts *hosts = ((struct tg_tls_context *)arg)->hosts;
  struct tg_tls_host *host = tg_tls_hosts_find(hosts, asked_name(ssl));
  struct tg_tls *tls = SSL_get_app_data(ssl);
  tls->host = host;
  SSL_set_SSL_CTX(ssl, host->ssl);
  /* These do not come with the context. */
  SSL_set_verify(ssl, SSL_CTX_get_verify_mode(host->ssl), tg_tls_on_verify);
  if (SSL_set_session_id_context(ssl, host->identity, sizeof host->identity) == 1)
    return SSL_CLIENT_HELLO_SUCCESS;
  *alert = SSL_AD_INTERNAL_ERROR;
  return SSL_CLIENT_HELLO_ERROR;
}

/* Only with it does OpenSSL keep the name of the hello. The type is OpenSSL's.
 * NOLINTNEXTLINE(readability-non-const-parameter) */
static int on_server_name(SSL *ssl, int *alert, void *arg) {
  (void)ssl;
  (void)alert;
  (void)arg;
  return SSL_TLSEXT_ERR_OK;
}

static int on_status(SSL *ssl, void *arg) {
  struct tg_slice answer = tg_buffer_slice(&((struct tg_tls_host *)arg)->ocsp);
  unsigned char *copy = OPENSSL_memdup(answer.ptr, answer.len);
  if (!copy) return SSL_TLSEXT_ERR_NOACK;
  SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)answer.len);
  return SSL_TLSEXT_ERR_OK;
}

/* ---- making them ---- */

static tg_status ask_client(struct tg_tls_host *host, const struct tg_tls_certificate *certificate,
                            const struct tg_tls_complaint *complaint) {
  const char *file = certificate->client_ca_file;
  struct tg_buffer bytes = {0};
  if (!file) return TG_OK;
  tg_status status = tg_tls_file_use_issuers(host->ssl, "client_ca", file, complaint);
  if (status == TG_OK) status = tg_tls_file_read("client_ca", file, &bytes, complaint);
  if (status == TG_OK) {
    struct tg_slice all = tg_buffer_slice(&bytes);
    unsigned char optional = certificate->client_optional;
    EVP_Digest(all.ptr, all.len, host->client_ca, NULL, EVP_sha256(), NULL);
    host->client_ca[0] ^= optional;
    /* What clients may choose among; NULL, which says nothing, is no error. */
    SSL_CTX_set_client_CA_list(host->ssl, SSL_load_client_CA_file(file));
    SSL_CTX_set_verify(host->ssl,
                       SSL_VERIFY_PEER | (optional ? 0 : SSL_VERIFY_FAIL_IF_NO_PEER_CERT),
                       tg_tls_on_verify);
  }
  ERR_clear_error();
  tg_buffer_deinit(&bytes);
  return status;
}

static tg_status staple(struct tg_tls_host *host, const struct tg_tls_certificate *certificate,
                        const struct tg_tls_complaint *complaint) {
  if (!certificate->ocsp_file) return TG_OK;
  tg_status status = tg_tls_file_read("ocsp", certificate->ocsp_file, &host->ocsp, complaint);
  if (status) return status;
  if (!tg_tls_rules_is_ocsp(tg_buffer_slice(&host->ocsp))) {
    snprintf(complaint->text, complaint->size, "ocsp: %s: no OCSP answer in DER form",
             certificate->ocsp_file);
    return TG_EINVALID;
  }
  SSL_CTX_set_tlsext_status_cb(host->ssl, on_status);
  SSL_CTX_set_tlsext_status_arg(host->ssl, host);
  return TG_OK;
}

/* Not of the certificate itself, so that sessions go on when it is renewed. */
static void identify(struct tg_tls_host *host, unsigned index, const char *cert_file) {
  unsigned char text[sizeof host->client_ca + sizeof index + 4096];
  size_t len = strlen(cert_file);
  if (len > 4096) len = 4096;
  memcpy(text, host->client_ca, sizeof host->client_ca);
  memcpy(text + sizeof host->client_ca, &index, sizeof index);
  memcpy(text + sizeof host->client_ca + sizeof index, cert_file, len);
  EVP_Digest(text, sizeof host->client_ca + sizeof index + len, host->identity, NULL, EVP_sha256(),
             NULL);
  SSL_CTX_set_session_id_context(host->ssl, host->identity, sizeof host->identity);
}

static tg_status make_host(struct tg_tls_context *context, unsigned index,
                           const struct tg_tls_server_options *options,
                           const struct tg_tls_complaint *complaint) {
  struct tg_tls_host *host = &context->hosts->all[index];
  const struct tg_tls_certificate *certificate =
      options->count ? &options->certificates[index] : NULL;
  host->context = context;
  host->ssl = tg_tls_rules_new_server(context, options->min);
  if (!host->ssl) return TG_ENOMEM;
  tg_status status = certificate ? tg_tls_file_use_certificate(host->ssl, certificate->cert_file,
                                                               certificate->key_file, complaint)
                                 : tg_tls_own_use(host->ssl);
  if (status == TG_OK && certificate) status = ask_client(host, certificate, complaint);
  if (status == TG_OK && certificate) status = staple(host, certificate, complaint);
  if (status == TG_OK) status = add_names(context->hosts, index);
  if (status == TG_OK) identify(host, index, certificate ? certificate->cert_file : "");
  return status;
}

/* Says which of several it is. */
static void number(const struct tg_tls_complaint *complaint, unsigned index) {
  char text[TG_TLS_WHY];
  snprintf(text, sizeof text, "[%u].%s", index + 1, complaint->text);
  snprintf(complaint->text, complaint->size, "%s", text);
}

tg_status tg_tls_hosts_make(struct tg_tls_context *context,
                            const struct tg_tls_server_options *options,
                            const struct tg_tls_complaint *complaint) {
  struct tg_tls_hosts *hosts = context->hosts = calloc(1, sizeof *hosts);
  unsigned count = options->count ? (unsigned)options->count : 1;
  if (hosts) hosts->all = calloc(count, sizeof *hosts->all);
  if (!hosts || !hosts->all) return TG_ENOMEM;
  hosts->count = count;
  for (unsigned i = 0; i < count; i++) {
    tg_status status = make_host(context, i, options, complaint);
    if (status == TG_EINVALID && count > 1) number(complaint, i);
    if (status) return status;
    if (!same_rules(&hosts->all[i], &hosts->all[0])) hosts->uneven = true;
  }
  if (hosts->name_count)
    qsort(hosts->names, hosts->name_count, sizeof *hosts->names, compare_names);
  context->ssl = hosts->all[0].ssl;
  SSL_CTX_set_client_hello_cb(context->ssl, on_hello, context);
  for (unsigned i = 0; i < count; i++)
    SSL_CTX_set_tlsext_servername_callback(hosts->all[i].ssl, on_server_name);
  return TG_OK;
}

void tg_tls_hosts_free(struct tg_tls_hosts *hosts) {
  if (!hosts) return;
  for (unsigned i = 0; i < hosts->count; i++) {
    SSL_CTX_free(hosts->all[i].ssl);
    tg_buffer_deinit(&hosts->all[i].ocsp);
  }
  for (size_t i = 0; i < hosts->name_count; i++) free(hosts->names[i].text);
  free(hosts->names);
  free(hosts->all);
  free(hosts);
}
