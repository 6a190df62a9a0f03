/* See tls_context.h. */
#include "net/tls_context.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/tls.h"
#include "net/tls_file.h"
#include "net/tls_hosts.h"
#include "net/tls_rules.h"
#include "net/tls_sessions.h"
#include "net/tls_tickets.h"

static struct tg_tls_context *new_context(bool server) {
  struct tg_tls_context *context = calloc(1, sizeof *context);
  if (!context) return NULL;
  atomic_init(&context->refs, 1);
  context->server = server;
  context->keylog = -1;
  context->bio = tg_tls_new_bio();
  if (context->bio) return context;
  free(context);
  return NULL;
}

struct tg_tls_context *tg_tls_context_hold(struct tg_tls_context *context) {
  atomic_fetch_add(&context->refs, 1);
  return context;
}

void tg_tls_context_release(struct tg_tls_context *context) {
  if (!context || atomic_fetch_sub(&context->refs, 1) != 1) return;
  if (context->server)
    tg_tls_hosts_free(context->hosts);
  else
    SSL_CTX_free(context->ssl);
  tg_tls_sessions_free(context->sessions);
  tg_tls_tickets_release(context->tickets);
  BIO_meth_free(context->bio);
  if (context->keylog >= 0) close(context->keylog);
  free(context);
}

static tg_status fill_client(struct tg_tls_context *context,
                             const struct tg_tls_client_options *options,
                             const struct tg_tls_complaint *complaint) {
  context->verify = options->verify;
  context->sessions = tg_tls_sessions_new();
  context->ssl = tg_tls_rules_new_client(context, options->min);
  if (!context->sessions || !context->ssl) return TG_ENOMEM;
  tg_status status = TG_OK;
  if (options->verify)
    status = tg_tls_file_use_issuers(context->ssl, "ca", options->ca_file, complaint);
  if (status || !options->cert_file) return status;
  return tg_tls_file_use_certificate(context->ssl, options->cert_file,
                                     options->key_file ? options->key_file : options->cert_file,
                                     complaint);
}

/* For whom they are read by is none of the others' business. */
static tg_status open_keylog(struct tg_tls_context *context, const char *file,
                             const struct tg_tls_complaint *complaint) {
  if (!file) return TG_OK;
  context->keylog = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (context->keylog >= 0) return TG_OK;
  snprintf(complaint->text, complaint->size, "keylog: %s: %s", file, strerror(errno));
  return TG_EINVALID;
}

static tg_status fill_server(struct tg_tls_context *context,
                             const struct tg_tls_server_options *options,
                             const struct tg_tls_complaint *complaint) {
  if (options->tickets) context->tickets = tg_tls_tickets_hold(options->tickets);
  tg_status status = open_keylog(context, options->keylog_file, complaint);
  return status ? status : tg_tls_hosts_make(context, options, complaint);
}

static tg_status finish(struct tg_tls_context *made, tg_status status,
                        const struct tg_tls_complaint *complaint, struct tg_tls_context **context) {
  if (status == TG_ENOMEM) snprintf(complaint->text, complaint->size, "out of memory");
  if (status) {
    tg_tls_context_release(made);
    return status;
  }
  *context = made;
  return TG_OK;
}

tg_status tg_tls_context_new_client(const struct tg_tls_client_options *options, char *why,
                                    size_t why_size, struct tg_tls_context **context) {
  struct tg_tls_complaint complaint = {why, why_size};
  why[0] = 0;
  struct tg_tls_context *made = new_context(false);
  tg_status status = made ? fill_client(made, options, &complaint) : TG_ENOMEM;
  return finish(made, status, &complaint, context);
}

tg_status tg_tls_context_new_server(const struct tg_tls_server_options *options, char *why,
                                    size_t why_size, struct tg_tls_context **context) {
  struct tg_tls_complaint complaint = {why, why_size};
  why[0] = 0;
  struct tg_tls_context *made = new_context(true);
  tg_status status = made ? fill_server(made, options, &complaint) : TG_ENOMEM;
  return finish(made, status, &complaint, context);
}
