/* What a connection has agreed on, and who the other side is: plain values that outlive it. */
#ifndef TG_NET_TLS_FACTS_H
#define TG_NET_TLS_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"
#include "net/tls.h"

/* The other side's certificate, which was verified. Names as RFC 2253 writes them, numbers in
 * hexadecimal, times in seconds since 1970. */
struct tg_tls_peer {
  struct tg_slice subject, issuer, common_name, serial;
  struct tg_slice fingerprint; /* SHA-256 of the whole */
  int64_t not_before, not_after;
  struct tg_slice *san; /* "DNS:a.example", "IP:192.0.2.1", "URI:spiffe://a", "email:a@b.example" */
  size_t san_count;
};

struct tg_tls_facts {
  struct tg_slice version;  /* "TLSv1.3" */
  struct tg_slice cipher;   /* "TLS_AES_128_GCM_SHA256" */
  struct tg_slice sni;      /* the name that the client asked for; empty: none */
  struct tg_slice alpn;     /* empty: none */
  struct tg_tls_peer *peer; /* NULL: it has shown no certificate */
  bool resumed;
};

/* Of a connection whose handshake is done; all in the arena. NULL: no memory. */
struct tg_tls_facts *tg_tls_facts_read(const struct tg_tls *tls, struct tg_arena *arena);

/* The same in another arena. NULL: no memory. */
struct tg_tls_facts *tg_tls_facts_copy(const struct tg_tls_facts *facts, struct tg_arena *arena);

#endif
