/* See lookup.h. */
#include "loop/lookup.h"

#include <netinet/in.h>
#include <string.h>

#include "base/check.h"
#include "loop/address_order.h"
#include "loop/dns_message.h"
#include "loop/hosts.h"
#include "loop/loop.h"
#include "loop/resolv_conf.h"

/* How long addresses of one family wait for those of the other (RFC 8305 section 3): IPv4, which
 * reaches nearly everything, shortly; IPv6, which may lead nowhere, longer. */
#define DELAY_OF_IPV4 (50 * TG_MILLISECOND)
#define DELAY_OF_IPV6 (500 * TG_MILLISECOND)

#define LOCAL_TTL 3600u /* of what no server has said */

enum { V4, V6 };

/* ---- names that need no server ---- */

const char *tg_lookup_complain(struct tg_slice name) {
  struct tg_dns_address address;
  char checked[TG_DNS_NAME_LEN + 1];
  bool absolute;
  if (tg_dns_address_read(name, &address)) return NULL;
  const char *why = tg_dns_name_check(name, false, checked, &absolute);
  if (!why && tg_dns_name_is_numeric(checked)) why = "it is a number, but no address";
  return why;
}

static void add(struct tg_lookup *lookup, const struct tg_dns_address *address) {
  for (size_t i = 0; i < lookup->count; i++)
    if (lookup->addresses[i].family == address->family &&
        memcmp(lookup->addresses[i].bytes, address->bytes, tg_dns_address_size(address)) == 0)
      return;
  if (lookup->count < TG_LOOKUP_MAX) lookup->addresses[lookup->count++] = *address;
}

static void add_loopback(struct tg_lookup *lookup) {
  struct tg_dns_address v6 = {.family = AF_INET6, .bytes = {[15] = 1}, .ttl = LOCAL_TTL};
  struct tg_dns_address v4 = {.family = AF_INET, .bytes = {127, 0, 0, 1}, .ttl = LOCAL_TTL};
  if (lookup->family != AF_INET) add(lookup, &v6);
  if (lookup->family != AF_INET6) add(lookup, &v4);
}

static void add_hosts(struct tg_lookup *lookup) {
  struct tg_dns_address found[TG_LOOKUP_MAX];
  size_t count = tg_hosts_find(tg_resolver_hosts(lookup->resolver),
                               tg_loop_time(tg_resolver_loop(lookup->resolver)), lookup->name,
                               lookup->family, found, TG_LOOKUP_MAX);
  for (size_t i = 0; i < count; i++) {
    found[i].ttl = 0; /* the file may change at any time */
    add(lookup, &found[i]);
  }
}

/* ---- names that do ---- */

/* Writes the name of that attempt; false when there is none. */
static bool candidate(const struct tg_lookup *lookup, unsigned attempt,
                      char out[TG_DNS_NAME_LEN + 1]) {
  const struct tg_resolv_conf *conf = tg_resolver_conf(lookup->resolver);
  unsigned dots = 0, domains = lookup->absolute ? 0 : conf->search_count;
  for (const char *p = lookup->name; *p; p++) dots += *p == '.';
  unsigned own = dots >= conf->ndots ? 0 : domains; /* its place among the attempts */
  size_t len = strlen(lookup->name);
  if (attempt > domains) return false;
  memcpy(out, lookup->name, len + 1);
  if (attempt == own) return true;
  const char *domain = conf->search[attempt > own ? attempt - 1 : attempt];
  size_t more = strlen(domain);
  if (len + 1 + more > TG_DNS_NAME_LEN) {
    out[0] = 0;
    return true;
  }
  out[len] = '.';
  memcpy(out + len + 1, domain, more + 1);
  return true;
}

static bool is_absence(tg_status status) {
  return status == TG_ENO_NAME || status == TG_ENO_DATA;
}

/* A server that is silent now will be so for the next name, too; one that fails, or refuses, may do
 * so for this name only. */
static bool ends_search(tg_status status) {
  return status && !is_absence(status) && status != TG_EDNS_SERVFAIL && status != TG_EDNS_REFUSED;
}

/* Of two reasons the one that says more: a failure before "no data" before "no name". */
static tg_status worse(tg_status a, tg_status b) {
  if (!a || !b) return a ? a : b;
  if (!is_absence(a)) return a;
  if (!is_absence(b)) return b;
  return a == TG_ENO_DATA ? a : b;
}

static void take(struct tg_lookup *lookup, int which, const struct tg_dns_answer *answer) {
  struct tg_dns_reader reader;
  struct tg_dns_record record;
  struct tg_dns_address address = {.family = which == V4 ? AF_INET : AF_INET6};
  uint16_t type = which == V4 ? TG_DNS_A : TG_DNS_AAAA;
  size_t before = lookup->count;
  lookup->statuses[which] = answer->status;
  if (answer->status || tg_dns_reader_init(&reader, answer->message)) return;
  while (tg_dns_reader_next(&reader, &record) && record.section == TG_DNS_ANSWER) {
    if (record.type != type || record.length != tg_dns_address_size(&address)) continue;
    memcpy(address.bytes, answer->message.ptr + record.at, record.length);
    address.ttl = tg_dns_answer_ttl(answer, record.ttl);
    add(lookup, &address);
  }
  if (lookup->count == before && before < TG_LOOKUP_MAX) lookup->statuses[which] = TG_ENO_DATA;
}

static void stop(struct tg_lookup *lookup) {
  tg_dns_query_cancel(&lookup->queries[V4]);
  tg_dns_query_cancel(&lookup->queries[V6]);
  tg_timer_stop(&tg_resolver_loop(lookup->resolver)->timers, &lookup->delay);
}

static void on_a(struct tg_dns_query *query, const struct tg_dns_answer *answer);
static void on_aaaa(struct tg_dns_query *query, const struct tg_dns_answer *answer);

static void query_one(struct tg_lookup *lookup, int which, const char *name) {
  struct tg_dns_query *query = &lookup->queries[which];
  struct tg_dns_answer answer = {0};
  query->done = which == V4 ? on_a : on_aaaa;
  tg_status status = tg_resolver_query(lookup->resolver, query, name,
                                       which == V4 ? TG_DNS_A : TG_DNS_AAAA, &answer);
  lookup->statuses[which] = status;
  if (status == TG_OK) take(lookup, which, &answer);
}

static bool waits(const struct tg_lookup *lookup) {
  return lookup->statuses[V4] == TG_EAGAIN || lookup->statuses[V6] == TG_EAGAIN;
}

static void on_delay(struct tg_timer *timer);

/* Addresses of one family are there. */
static void wait_for_other(struct tg_lookup *lookup) {
  struct tg_loop *loop = tg_resolver_loop(lookup->resolver);
  uint64_t delay = lookup->statuses[V6] == TG_EAGAIN ? DELAY_OF_IPV4 : DELAY_OF_IPV6;
  if (tg_timer_active(&lookup->delay)) return;
  if (tg_timer_start(&loop->timers, &lookup->delay, tg_loop_time(loop) + delay, on_delay)) return;
}

/* Goes from name to name until one has addresses, or something is under way. */
static tg_status advance(struct tg_lookup *lookup) {
  char name[TG_DNS_NAME_LEN + 1];
  for (;;) {
    if (waits(lookup)) {
      if (lookup->count) wait_for_other(lookup);
      return TG_EAGAIN;
    }
    if (lookup->count) {
      tg_address_order(lookup->addresses, lookup->count);
      return TG_OK;
    }
    tg_status here = worse(lookup->statuses[V4], lookup->statuses[V6]);
    lookup->worst = worse(lookup->worst, here);
    if (ends_search(here)) return here;
    if (!candidate(lookup, lookup->attempt++, name)) return lookup->worst;
    lookup->statuses[V4] = lookup->statuses[V6] = TG_ENO_NAME;
    if (!name[0]) continue;
    if (lookup->family != AF_INET6) query_one(lookup, V4, name);
    if (lookup->family != AF_INET) query_one(lookup, V6, name);
    if (lookup->family == AF_INET6) lookup->statuses[V4] = TG_OK;
    if (lookup->family == AF_INET) lookup->statuses[V6] = TG_OK;
  }
}

static void finish(struct tg_lookup *lookup, tg_status status) {
  stop(lookup);
  lookup->done(lookup, status);
}

static void proceed(struct tg_lookup *lookup, int which, const struct tg_dns_answer *answer) {
  take(lookup, which, answer);
  tg_status status = advance(lookup);
  if (status != TG_EAGAIN) finish(lookup, status);
}

static void on_a(struct tg_dns_query *query, const struct tg_dns_answer *answer) {
  proceed(TG_CONTAINER(query, struct tg_lookup, queries[V4]), V4, answer);
}

static void on_aaaa(struct tg_dns_query *query, const struct tg_dns_answer *answer) {
  proceed(TG_CONTAINER(query, struct tg_lookup, queries[V6]), V6, answer);
}

static void on_delay(struct tg_timer *timer) {
  struct tg_lookup *lookup = TG_CONTAINER(timer, struct tg_lookup, delay);
  tg_address_order(lookup->addresses, lookup->count);
  finish(lookup, TG_OK);
}

tg_status tg_lookup_start(struct tg_lookup *lookup, struct tg_resolver *resolver,
                          struct tg_slice name, int family,
                          void (*done)(struct tg_lookup *lookup, tg_status status)) {
  struct tg_dns_address address = {.ttl = LOCAL_TTL};
  *lookup = (struct tg_lookup){.resolver = resolver, .done = done, .family = family};
  if (tg_dns_address_read(name, &address)) {
    if (family && family != address.family) return TG_ENO_DATA;
    add(lookup, &address);
    return TG_OK;
  }
  if (tg_lookup_complain(name) || tg_dns_name_check(name, false, lookup->name, &lookup->absolute))
    return TG_EINVALID;
  if (tg_dns_name_is_local(lookup->name))
    add_loopback(lookup);
  else
    add_hosts(lookup);
  return advance(lookup);
}

void tg_lookup_cancel(struct tg_lookup *lookup) {
  if (lookup->resolver) stop(lookup);
}
