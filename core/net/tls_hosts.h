/* The certificates of a server, and which one a client gets: that of the name that it asks for.
 *
 * Each certificate has a context of OpenSSL of its own, so that what it asks of clients, its
 * stapled answer and the identity of its sessions go with it: a session of one certificate is never
 * resumed with another one. The choice is made before anything else of a client's hello is looked
 * at, also before a session is resumed (CVE-2025-23419). */
#ifndef TG_NET_TLS_HOSTS_H
#define TG_NET_TLS_HOSTS_H

#include "base/slice.h"
#include "net/tls_context.h"
#include "net/tls_file.h"

struct tg_tls;

struct tg_tls_host {
  SSL_CTX *ssl;
  struct tg_tls_context *context;
  struct tg_buffer ocsp;       /* what is stapled; may be empty */
  unsigned char identity[32];  /* of its sessions */
  unsigned char client_ca[32]; /* hash of what it asks of clients; zeros: nothing */
};

/* A name of a certificate. */
struct tg_tls_host_name {
  char *text; /* in lower case; of a wildcard from the first dot on */
  size_t len;
  unsigned host;
};

struct tg_tls_hosts {
  struct tg_tls_host *all;
  unsigned count;
  struct tg_tls_host_name *names; /* sorted; of equal ones that of the first host stays */
  size_t name_count, name_room;
  bool uneven; /* what they ask of clients is not the same for all of them */
};

/* Makes those of the options, and sets the context's `ssl` and `hosts`. What was made
 * when an error came is freed with the context. */
TG_MUST_CHECK tg_status tg_tls_hosts_make(struct tg_tls_context *context,
                                          const struct tg_tls_server_options *options,
                                          const struct tg_tls_complaint *complaint);

void tg_tls_hosts_free(struct tg_tls_hosts *hosts);

/* The one for a name, in whatever case; the first where none fits. */
struct tg_tls_host *tg_tls_hosts_find(const struct tg_tls_hosts *hosts, struct tg_slice name);

/* May a server's connection be used for requests of that host ("a.example:8443")? Not where the
 * name is one of a certificate that asks something else of clients than the one that the connection
 * was made with, and where it is none, but the first certificate asks for theirs: what was checked
 * for one host says nothing for the other (RFC 9110 sections 7.4 and 15.5.20). */
bool tg_tls_hosts_admit(const struct tg_tls *tls, struct tg_slice authority);

#endif
