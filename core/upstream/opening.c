#include "upstream/opening.h"

#include <stdlib.h>

#include "base/check.h"

static void fail(struct tg_opening *opening, tg_status status, const char *detail) {
  opening->status = status;
  opening->detail = detail;
  tg_loop_post(opening->loop, &opening->later);
}

static void on_later(struct tg_loop_job *job) {
  struct tg_opening *opening = TG_CONTAINER(job, struct tg_opening, later);
  struct tg_link *link = opening->link;
  opening->link = NULL;
  opening->done(opening, opening->status, link);
}

/* ---- connecting ---- */

static void on_connected(struct tg_connector *connector, tg_status status, int fd) {
  struct tg_opening *opening = TG_CONTAINER(connector, struct tg_opening, connector);
  if (status) {
    /* EAGAIN: the queue of a unix socket is full */
    opening->done(opening, status == UV_EAGAIN ? UV_ECONNREFUSED : status, NULL);
    return;
  }
  struct tg_link *link = tg_link_open(opening->pool, opening->origin, fd, NULL, NULL);
  opening->done(opening, link ? TG_OK : TG_ENOMEM, link);
}

static void connect_to(struct tg_opening *opening) {
  opening->stage = TG_OPENING_CONNECT;
  tg_connector_start(&opening->connector, opening->loop, opening->addresses, opening->count,
                     on_connected);
}

/* ---- the name ---- */

static uint16_t port_of(const struct tg_origin *origin) {
  return origin->proxy_host.len ? origin->proxy_port : origin->port;
}

static void add(struct tg_opening *opening, const struct tg_dns_address *found) {
  char text[TG_DNS_ADDRESS_TEXT];
  struct tg_address *address = &opening->addresses[opening->count];
  size_t len = tg_dns_address_write(found, text);
  if (tg_address_literal(address, tg_slice(text, len), port_of(opening->origin)) == TG_OK)
    opening->count++;
}

/* IPv6 and IPv4 by turns, beginning with the family of the first (RFC 8305 section 4). */
static void take_addresses(struct tg_opening *opening) {
  const struct tg_lookup *lookup = &opening->lookup;
  int first = lookup->addresses[0].family;
  size_t a = 0, b = 0;
  while (opening->count < TG_OPENING_ADDRESSES && (a < lookup->count || b < lookup->count)) {
    while (a < lookup->count && lookup->addresses[a].family != first) a++;
    if (a < lookup->count) add(opening, &lookup->addresses[a++]);
    while (b < lookup->count && lookup->addresses[b].family == first) b++;
    if (b < lookup->count && opening->count < TG_OPENING_ADDRESSES)
      add(opening, &lookup->addresses[b++]);
  }
}

static void on_looked_up(struct tg_lookup *lookup, tg_status status) {
  struct tg_opening *opening = TG_CONTAINER(lookup, struct tg_opening, lookup);
  if (status) {
    opening->done(opening, status, NULL);
    return;
  }
  take_addresses(opening);
  connect_to(opening);
  opening->moved(opening);
}

static void look_up(struct tg_opening *opening, struct tg_slice host) {
  struct tg_resolver *resolver = opening->loop->resolver;
  if (!resolver) {
    struct tg_settings settings;
    tg_settings_init(&settings);
    resolver = tg_resolver_of(opening->loop, &settings, 0);
  }
  tg_status status =
      resolver ? tg_lookup_start(&opening->lookup, resolver, host, 0, on_looked_up) : TG_ENOMEM;
  if (status == TG_EAGAIN) return;
  if (status) {
    fail(opening, status, status == TG_EINVALID ? tg_lookup_complain(host) : NULL);
    return;
  }
  take_addresses(opening);
  connect_to(opening);
}

/* ---- life ---- */

struct tg_opening *tg_opening_new(struct tg_link_pool *pool, struct tg_loop *loop,
                                  const struct tg_origin *origin,
                                  void (*done)(struct tg_opening *opening, tg_status status,
                                               struct tg_link *link),
                                  void (*moved)(struct tg_opening *opening), void *user) {
  struct tg_slice host = origin->proxy_host.len ? origin->proxy_host : origin->host;
  struct tg_opening *opening = malloc(sizeof *opening);
  if (!opening) return NULL;
  opening->stage = TG_OPENING_RESOLVE;
  opening->detail = NULL;
  opening->user = user;
  opening->done = done;
  opening->moved = moved;
  opening->loop = loop;
  opening->pool = pool;
  opening->origin = origin;
  opening->lookup.resolver = NULL;
  opening->status = TG_OK;
  opening->link = NULL;
  opening->tunnel = NULL;
  opening->count = 0;
  tg_loop_job_init(&opening->later, on_later);
  if (tg_address_literal(&opening->addresses[0], host, port_of(origin)) == TG_OK) {
    opening->count = 1;
    connect_to(opening);
  } else if (tg_slice_starts(host, TG_SLICE("unix:"))) {
    fail(opening, TG_EINVALID, "the path of a unix socket has 1 to 107 bytes");
  } else {
    look_up(opening, host);
  }
  return opening;
}

void tg_opening_free(struct tg_opening *opening) {
  tg_loop_job_remove(&opening->later);
  if (opening->stage == TG_OPENING_RESOLVE) tg_lookup_cancel(&opening->lookup);
  if (opening->stage == TG_OPENING_CONNECT) tg_connector_cancel(&opening->connector);
  if (opening->link) tg_link_close(opening->link);
  free(opening);
}
