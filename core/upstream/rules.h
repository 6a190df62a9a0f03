/* What tidegate.lua says of one upstream, besides its peers: plain values.
 *
 * Immutable once they are in use, and counted: a request holds the rules that it began with, while
 * a reload gives its group new ones. Times are nanoseconds. */
#ifndef TG_UPSTREAM_RULES_H
#define TG_UPSTREAM_RULES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

struct tg_tls_context;

enum tg_balance {
  TG_BALANCE_ROUND_ROBIN,
  TG_BALANCE_LEAST_REQUESTS,
  TG_BALANCE_EWMA,
  TG_BALANCE_RANDOM,
  TG_BALANCE_HASH,
};

/* What of a request the hash is made of. */
enum tg_hash_by {
  TG_HASH_BY_NOTHING,
  TG_HASH_BY_HEADER,
  TG_HASH_BY_COOKIE,
  TG_HASH_BY_QUERY,
  TG_HASH_BY_PATH,
  TG_HASH_BY_IP,
};

struct tg_rules {
  atomic_uint refs;
  bool secure;                /* https */
  struct tg_tls_context *tls; /* held; NULL: no https */
  char tls_name[256];         /* "": the name of the peer */
  char zone[64];              /* our own; "": none */
  enum tg_balance balance;
  enum tg_hash_by hash_by;
  char hash_name[128];     /* of the header, cookie or query parameter */
  char sticky_cookie[128]; /* "": no cookie binds a client to its peer */
  uint64_t slow_start;     /* 0: none */
  struct tg_rules_timeouts {
    uint64_t connect, first_byte, idle, total; /* 0: none */
  } timeouts;
  unsigned retries;      /* further tries of one request */
  double retry_budget;   /* of all requests, the share that may be tried again */
  uint64_t hedge;        /* a second peer is asked after so long; 0: never */
  unsigned max_requests; /* at once; 0: no limit */
  unsigned queue;        /* further ones that may wait */
  uint64_t queue_wait;
  struct tg_rules_outlier {
    unsigned failures; /* one after another; 0: no peer is ejected */
    uint64_t eject, most;
  } outlier;
  struct tg_rules_breaker {
    double errors; /* share; 0: there is no breaker */
    unsigned min;
    uint64_t window, open;
    unsigned probes;
  } breaker;
  struct tg_rules_adaptive {
    unsigned least, most; /* 0: the limit is not adapted */
  } adaptive;
  struct tg_rules_health {
    uint64_t interval; /* 0: peers are not asked */
    uint64_t timeout;
    unsigned rise, fall;
    bool tcp; /* a connection is enough */
    char path[512];
    char host[256]; /* "": the peer's */
    unsigned status_least, status_most;
  } health;
  struct tg_rules_dns {
    uint64_t least, most; /* bounds of the time between two lookups */
    int family;           /* AF_INET, AF_INET6 or 0 */
  } dns;
};

/* Rules with every default, held once. NULL: no memory. */
struct tg_rules *tg_rules_new(void);

static inline void tg_rules_hold(struct tg_rules *rules) {
  atomic_fetch_add_explicit(&rules->refs, 1, memory_order_relaxed);
}
void tg_rules_release(struct tg_rules *rules);

/* As tidegate.lua lists a peer. */
struct tg_peer_spec {
  struct tg_slice address; /* "10.0.0.1:80", "[::1]:80", "api:80", "unix:/x", "srv:_a._tcp.b" */
  uint32_t weight;         /* 1 to 65535; 0: 1, or as an SRV record says */
  uint32_t priority;       /* the lowest is taken while it has a usable peer */
  bool has_priority;       /* said, so that an SRV record does not */
  uint32_t max_requests;   /* at once; 0: no limit */
  struct tg_slice zone;
};

struct tg_group_spec {
  struct tg_slice name;
  struct tg_peer_spec *peers;
  size_t peer_count;
  struct tg_rules *rules;
};

#endif
