#include "upstream/origin.h"

#include <stdio.h>
#include <stdlib.h>

/* The others of one host and port are few. */
uint64_t tg_origin_hash(const struct tg_hash_seed *seed, const struct tg_origin *origin) {
  return tg_hash(seed, origin->host) + origin->port;
}

bool tg_origin_equal(const struct tg_origin *a, const struct tg_origin *b) {
  return a->port == b->port && a->secure == b->secure && tg_slice_eq(a->host, b->host) &&
         a->tls == b->tls && tg_slice_eq(a->tls_name, b->tls_name) &&
         a->proxy_port == b->proxy_port && tg_slice_eq(a->proxy_host, b->proxy_host) &&
         tg_slice_eq(a->proxy_auth, b->proxy_auth);
}

static struct tg_slice move(char **to, struct tg_slice from) {
  char *at = *to;
  if (from.len) memcpy(at, from.ptr, from.len);
  *to += from.len;
  return tg_slice(at, from.len);
}

struct tg_origin *tg_origin_copy(const struct tg_origin *origin) {
  struct tg_origin *copy = malloc(sizeof *copy + origin->host.len + origin->tls_name.len +
                                  origin->proxy_host.len + origin->proxy_auth.len);
  if (!copy) return NULL;
  char *to = (char *)(copy + 1);
  *copy = *origin;
  copy->host = move(&to, origin->host);
  copy->tls_name = move(&to, origin->tls_name);
  copy->proxy_host = move(&to, origin->proxy_host);
  copy->proxy_auth = move(&to, origin->proxy_auth);
  return copy;
}

size_t tg_origin_authority(const struct tg_origin *origin, char out[TG_ORIGIN_AUTHORITY]) {
  struct tg_slice host = origin->host;
  if (tg_slice_starts(host, TG_SLICE("unix:"))) host = TG_SLICE("localhost");
  int most = TG_ORIGIN_AUTHORITY - 16;
  int len = host.len < (size_t)most ? (int)host.len : most;
  bool six = memchr(host.ptr, ':', host.len) != NULL;
  int n = snprintf(out, TG_ORIGIN_AUTHORITY, six ? "[%.*s]" : "%.*s", len, host.ptr);
  uint16_t usual = origin->secure ? 443 : 80;
  if (origin->port && origin->port != usual && !tg_slice_starts(origin->host, TG_SLICE("unix:")))
    n += snprintf(out + n, TG_ORIGIN_AUTHORITY - (size_t)n, ":%u", origin->port);
  return (size_t)n;
}
