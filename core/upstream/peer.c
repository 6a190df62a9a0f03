/* Making and freeing peers; what happens to one is group.c. */
#include "upstream/peer.h"

#include <stdio.h>
#include <stdlib.h>

#include "net/tls_context.h"
#include "upstream/group.h"

tg_status tg_peer_split(struct tg_slice address, struct tg_slice *host, uint16_t *port) {
  *port = 0;
  *host = address;
  if (memchr(address.ptr, 0, address.len)) return TG_EINVALID;
  if (tg_slice_starts(address, TG_SLICE("unix:"))) return address.len > 5 ? TG_OK : TG_EINVALID;
  size_t end = address.len;
  while (end && address.ptr[end - 1] >= '0' && address.ptr[end - 1] <= '9') end--;
  size_t digits = address.len - end;
  if (end < 2 || address.ptr[end - 1] != ':' || digits < 1 || digits > 5) return TG_EINVALID;
  unsigned long value = 0;
  for (size_t i = end; i < address.len; i++)
    value = value * 10 + (unsigned long)(address.ptr[i] - '0');
  if (value < 1 || value > 65535) return TG_EINVALID;
  *port = (uint16_t)value;
  *host = tg_slice(address.ptr, end - 1);
  if (host->ptr[0] == '[') {
    if (host->len < 4 || host->ptr[host->len - 1] != ']') return TG_EINVALID;
    *host = tg_slice(host->ptr + 1, host->len - 2);
    return TG_OK;
  }
  return memchr(host->ptr, ':', host->len) ? TG_EINVALID : TG_OK;
}

/* One block: the peer, and behind it the texts that it refers to. */
static struct tg_slice put(char **at, struct tg_slice text) {
  struct tg_slice copy = tg_slice(*at, text.len);
  memcpy(*at, text.ptr ? text.ptr : "", text.len);
  *at += text.len;
  *(*at)++ = 0;
  return copy;
}

/* The name that its certificate is to have. */
static struct tg_slice name_of(const struct tg_rules *rules, struct tg_slice authority) {
  struct tg_slice host;
  uint16_t port;
  if (rules->tls_name[0]) return tg_slice_cstr(rules->tls_name);
  if (tg_peer_split(authority, &host, &port)) host = authority;
  return host;
}

tg_status tg_peer_new(struct tg_group *group, const struct tg_rules *rules, struct tg_slice address,
                      struct tg_slice authority, struct tg_slice zone, struct tg_peer **peer) {
  struct tg_slice host, name = name_of(rules, authority);
  uint16_t port;
  *peer = NULL;
  if (tg_peer_split(address, &host, &port)) return TG_EINVALID;
  size_t texts = address.len + authority.len + zone.len + name.len + 4;
  struct tg_peer *made = calloc(1, sizeof *made + texts);
  if (!made) return TG_ENOMEM;
  char *at = (char *)(made + 1);
  made->address = put(&at, address);
  made->authority = put(&at, authority);
  made->zone = put(&at, zone);
  made->origin.tls_name = put(&at, name);
  (void)!tg_peer_split(made->address, &made->origin.host, &made->origin.port);
  made->origin.secure = rules->secure;
  if (rules->tls) made->origin.tls = tg_tls_context_hold(rules->tls);
  made->hash = tg_group_hash(address);
  snprintf(made->id, sizeof made->id, "%016llx", (unsigned long long)made->hash);
  made->seat.hash = made->hash;
  made->group = group;
  made->weight = made->listed_weight = 1;
  atomic_init(&made->refs, 1);
  *peer = made;
  return TG_OK;
}

void tg_peer_release(struct tg_peer *peer) {
  if (atomic_fetch_sub_explicit(&peer->refs, 1, memory_order_acq_rel) != 1) return;
  if (peer->origin.tls) tg_tls_context_release(peer->origin.tls);
  free(peer);
}
