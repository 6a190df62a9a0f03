#include "upstream/origin.h"

#include <stdlib.h>

#include "base/number.h"

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

static bool is_unix(const struct tg_origin *origin) {
  return tg_slice_starts(origin->host, TG_SLICE("unix:"));
}

/* An IPv6 address stands in brackets, and its zone means something on this machine only. */
static size_t write_host(struct tg_slice host, char *out) {
  size_t most = TG_ORIGIN_AUTHORITY - 2 - 1 - TG_NUMBER_LEN;
  bool six = memchr(host.ptr, ':', host.len) != NULL;
  const char *zone = six ? memchr(host.ptr, '%', host.len) : NULL;
  if (zone) host.len = (size_t)(zone - host.ptr);
  if (host.len > most) host.len = most;
  char *at = out;
  if (six) *at++ = '[';
  memcpy(at, host.ptr, host.len);
  at += host.len;
  if (six) *at++ = ']';
  return (size_t)(at - out);
}

static size_t write_port(uint16_t port, char *out) {
  *out = ':';
  return 1 + tg_number_write_u64(port, out + 1);
}

size_t tg_origin_authority(const struct tg_origin *origin, char out[TG_ORIGIN_AUTHORITY]) {
  uint16_t usual = origin->secure ? 443 : 80;
  if (is_unix(origin)) return write_host(TG_SLICE("localhost"), out);
  size_t len = write_host(origin->host, out);
  if (origin->port && origin->port != usual) len += write_port(origin->port, out + len);
  return len;
}

size_t tg_origin_target(const struct tg_origin *origin, char out[TG_ORIGIN_AUTHORITY]) {
  size_t len = write_host(origin->host, out);
  return len + write_port(origin->port, out + len);
}
