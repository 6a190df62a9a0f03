/* From a host's name to its addresses, in the order in which they are to be tried.
 *
 * For everything that connects: Lua's sockets, upstreams. An address stands for itself;
 * "localhost" is always the loopback (RFC 6761); then comes the hosts file; then the DNS, A and
 * AAAA at the same time, with the search domains and ndots of resolv.conf. Addresses come in the
 * order of RFC 6724. A lookup is embedded in whoever waits, and cancelled by him. */
#ifndef TG_LOOP_LOOKUP_H
#define TG_LOOP_LOOKUP_H

#include "loop/dns_name.h"
#include "loop/resolver.h"
#include "loop/timer.h"

#define TG_LOOKUP_MAX 64

struct tg_lookup {
  struct tg_resolver *resolver;
  void (*done)(struct tg_lookup *lookup, tg_status status);
  /* The result, where the status is TG_OK: at least one; further ones than fit are left out. */
  struct tg_dns_address addresses[TG_LOOKUP_MAX];
  size_t count;
  /* the lookup's own */
  struct tg_dns_query queries[2]; /* A, AAAA */
  tg_status statuses[2];          /* TG_EAGAIN while it waits */
  tg_status worst;                /* of the names that were tried before this one */
  struct tg_timer delay;
  unsigned attempt; /* number of the name that is tried */
  int family;       /* AF_INET, AF_INET6 or 0 */
  bool absolute;
  char name[TG_DNS_NAME_LEN + 1];
};

/* Looks up a name. `family` is AF_INET, AF_INET6, or 0 for both. TG_OK: the addresses are there.
 * TG_EAGAIN: `done` is called once, from the loop, with TG_OK or what is below, unless the lookup
 * is cancelled; it may free the lookup. TG_EINVALID: that is no name; tg_lookup_complain says why.
 * TG_ENO_NAME, TG_ENO_DATA, TG_ETIMEOUT, TG_EDNS_*, TG_ENOMEM. Nothing needs to be given back. */
TG_MUST_CHECK tg_status tg_lookup_start(struct tg_lookup *lookup, struct tg_resolver *resolver,
                                        struct tg_slice name, int family,
                                        void (*done)(struct tg_lookup *lookup, tg_status status));

/* `done` will not be called. Harmless for one that has ended. */
void tg_lookup_cancel(struct tg_lookup *lookup);

/* Why tg_lookup_start refuses a name, as "it is empty"; NULL for one that may be asked. Static
 * storage. */
const char *tg_lookup_complain(struct tg_slice name);

#endif
