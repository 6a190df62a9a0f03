/* Who is at the other end of a link: all that two requests must share to share a connection
 * (RFC 9110 section 7.6, RFC 9112 section 9.3).
 *
 * An address is only one part of it: what was verified under one name, or with one client
 * certificate, or reached through one proxy, serves no request of another. */
#ifndef TG_UPSTREAM_ORIGIN_H
#define TG_UPSTREAM_ORIGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/slice.h"

struct tg_tls_context;

struct tg_origin {
  bool secure;
  struct tg_slice host; /* a name, an address (IPv6 without brackets), or "unix:/path" */
  uint16_t port;
  struct tg_slice tls_name;   /* for SNI and the check of the certificate; len 0: the host */
  struct tg_tls_context *tls; /* of a secure one: client certificate, CA and rules */
  /* A forward proxy that opens a tunnel (RFC 9110 section 9.3.6); len 0: none. */
  struct tg_slice proxy_host;
  uint16_t proxy_port;
  struct tg_slice proxy_auth; /* value of Proxy-Authorization; len 0: none */
};

uint64_t tg_origin_hash(const struct tg_hash_seed *seed, const struct tg_origin *origin);
bool tg_origin_equal(const struct tg_origin *a, const struct tg_origin *b);

/* A copy on the heap in one block, which is freed with `free`; it borrows `tls`. NULL: no memory.
 */
struct tg_origin *tg_origin_copy(const struct tg_origin *origin);

/* Writes the value of Host, "name", "name:8080" or "[::1]:8080" ("localhost" for a unix socket),
 * without a NUL; returns its length. */
#define TG_ORIGIN_AUTHORITY 300
size_t tg_origin_authority(const struct tg_origin *origin, char out[TG_ORIGIN_AUTHORITY]);

/* The same for a CONNECT: always with the port. */
size_t tg_origin_target(const struct tg_origin *origin, char out[TG_ORIGIN_AUTHORITY]);

#endif
