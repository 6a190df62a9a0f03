/* The names of the outside world: questions to the DNS, and what came of them kept for a while.
 *
 * One to a loop, made at first use (tg_resolver_of) and closed with the loop. Never libuv's pool,
 * so that slow name servers delay no file. An answer is kept for its TTL, within the bounds of the
 * settings; the absence of a name for as long as its zone says. For one name and type one question
 * is under way: who comes later joins it. When the servers do not answer in time, an expired answer
 * stands in and is refreshed in the background (RFC 8767). The cache is bounded by bytes; what was
 * not used for longest goes first.
 *
 * Whoever wants addresses takes lookup.h, which adds the hosts file, search domains and order. */
#ifndef TG_LOOP_RESOLVER_H
#define TG_LOOP_RESOLVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/settings.h"
#include "base/slice.h"
#include "base/status.h"
#include "loop/dns_name.h"

struct tg_hosts;
struct tg_loop;
struct tg_resolv_conf;
struct tg_resolver;

/* Valid until the next call of the resolver, or during the callback that brings it. */
struct tg_dns_answer {
  /* TG_OK; TG_ENO_NAME, TG_ENO_DATA; TG_ETIMEOUT, TG_EDNS_UNREACHABLE, TG_EDNS_SERVFAIL,
   * TG_EDNS_REFUSED; TG_ENOMEM */
  tg_status status;
  struct tg_slice message; /* where status is TG_OK: what the server said (dns_message.h) */
  uint32_t age;            /* seconds since it came */
  uint32_t ttl_min, ttl_max;
  bool stale; /* it has expired; no server has given a newer one */
};

/* A question that waits; embedded in whoever asks. */
struct tg_dns_query {
  struct tg_list link;
  struct tg_resolver *resolver;
  struct tg_dns_entry *entry; /* what it waits for; NULL: nothing */
  /* Exactly once, from the loop, unless the query is cancelled. */
  void (*done)(struct tg_dns_query *query, const struct tg_dns_answer *answer);
};

/* The loop's resolver. `settings` (their dns part) hold from the first call on; a caller with a
 * higher `version` and other settings changes them. NULL when memory is gone. */
struct tg_resolver *tg_resolver_of(struct tg_loop *loop, const struct tg_settings *settings,
                                   uint64_t version);

/* For tg_loop_deinit; NULL is allowed. No query may wait. */
void tg_resolver_close(struct tg_resolver *resolver);

/* Asks for the records of `type` of a name (as tg_dns_name_check has written it: lower case, no
 * last dot; no search domains, no hosts file). TG_OK: *answer has it already, be it good or bad.
 * TG_EAGAIN: query->done, which the caller has set, will be called. TG_ENOMEM. */
TG_MUST_CHECK tg_status tg_resolver_query(struct tg_resolver *resolver, struct tg_dns_query *query,
                                          const char *name, uint16_t type,
                                          struct tg_dns_answer *answer);

/* `done` will not be called any more. Harmless for one that does not wait. The question itself goes
 * on, and its answer is kept. */
void tg_dns_query_cancel(struct tg_dns_query *query);

/* Seconds that a record with this TTL still holds. */
uint32_t tg_dns_answer_ttl(const struct tg_dns_answer *answer, uint32_t ttl);

/* Forgets every answer. Questions that are under way go on. */
void tg_resolver_flush(struct tg_resolver *resolver);

/* The files of the system as they are now; borrowed, valid until the next call. */
struct tg_hosts *tg_resolver_hosts(struct tg_resolver *resolver);
const struct tg_resolv_conf *tg_resolver_conf(struct tg_resolver *resolver);

struct tg_loop *tg_resolver_loop(struct tg_resolver *resolver);

struct tg_resolver_stats {
  uint64_t questions; /* sent to servers */
  uint64_t entries;   /* names and types known or asked for */
  uint64_t bytes;     /* that they take */
};

void tg_resolver_stats(const struct tg_resolver *resolver, struct tg_resolver_stats *stats);

#endif
