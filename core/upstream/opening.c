#include "upstream/opening.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "upstream/call.h"

/* For what fails at once. */
static void fail(struct tg_opening *opening, tg_status status, const char *detail) {
  opening->status = status;
  opening->detail = detail;
  tg_loop_post(opening->loop, &opening->later);
}

static void on_later(struct tg_loop_job *job) {
  struct tg_opening *opening = TG_CONTAINER(job, struct tg_opening, later);
  opening->done(opening, opening->status, NULL);
}

/* The result, where it comes from an event: all may be gone after. */
static void finish(struct tg_opening *opening, tg_status status, const char *detail) {
  struct tg_link *link = opening->link;
  opening->detail = detail;
  if (status) {
    opening->done(opening, status, NULL);
    return;
  }
  opening->link = NULL;
  opening->done(opening, TG_OK, link);
}

static struct tg_opening *opening_of(struct tg_link *link) {
  return link->user;
}

static void on_broken(struct tg_link *link, tg_status status) {
  finish(opening_of(link), status, NULL);
}

static void on_drained(struct tg_link *link) {
  (void)link;
}

/* ---- TLS ---- */

/* Nothing else is read before the handshake is done: 128. */
static void on_secure_read(struct tg_link *link, tg_status status, struct tg_slice bytes) {
  (void)bytes;
  struct tg_tls *tls = link->stream.tls;
  finish(opening_of(link), status ? status : TG_ETLS, tls ? tg_tls_complain(tls) : NULL);
}

static void on_secured(struct tg_link *link) {
  finish(opening_of(link), TG_OK, NULL);
}

static const struct tg_link_events secure_events = {
    .read = on_secure_read, .drained = on_drained, .broken = on_broken, .secured = on_secured};

static struct tg_slice tls_name_of(const struct tg_origin *origin) {
  if (origin->tls_name.len) return origin->tls_name;
  if (tg_slice_starts(origin->host, TG_SLICE("unix:"))) return TG_SLICE("localhost");
  return origin->host;
}

static void secure(struct tg_opening *opening) {
  const struct tg_origin *origin = opening->origin;
  struct tg_link *link = opening->link;
  struct tg_tls *tls =
      origin->tls ? tg_tls_client_new(origin->tls, tls_name_of(origin), TG_SLICE("http/1.1"))
                  : NULL;
  if (!tls) {
    finish(opening, origin->tls ? TG_ENOMEM : TG_ETLS, origin->tls ? NULL : "no TLS is set up");
    return;
  }
  link->events = &secure_events;
  tg_status status = tg_stream_secure(&link->stream, tls);
  if (status) finish(opening, status, NULL);
}

/* ---- a tunnel through a proxy (RFC 9110 section 9.3.6) ---- */

struct tg_tunnel {
  struct tg_arena arena;
  struct tg_h1_reply h1;
  char detail[96];
};

static void go_on(struct tg_opening *opening) {
  if (opening->origin->secure)
    secure(opening);
  else
    finish(opening, TG_OK, NULL);
}

static void refuse_tunnel(struct tg_opening *opening, const struct tg_reply *reply) {
  struct tg_tunnel *tunnel = opening->tunnel;
  int len = reply->reason.len < 60 ? (int)reply->reason.len : 60;
  snprintf(tunnel->detail, sizeof tunnel->detail, "the proxy answers %d %.*s", reply->status, len,
           reply->reason.ptr);
  finish(opening, TG_EPROXY, tunnel->detail);
}

static void on_tunnel_read(struct tg_link *link, tg_status status, struct tg_slice bytes) {
  struct tg_opening *opening = opening_of(link);
  struct tg_h1_reply *h1 = &opening->tunnel->h1;
  size_t total = 0;
  if (status) {
    finish(opening, TG_EPROXY, "the proxy ended the connection before there was a tunnel");
    return;
  }
  while (total < bytes.len) {
    size_t used = 0;
    enum tg_h1_event event = tg_h1_reply_feed(h1, tg_slice_skip(bytes, total), &used);
    total += used;
    if (event == TG_H1_ERROR) {
      finish(opening, TG_EPROXY, h1->message.error_text);
      return;
    }
    if (event != TG_H1_HEAD || h1->reply.status < 200) continue;
    if (h1->reply.status > 299) {
      refuse_tunnel(opening, &h1->reply);
    } else if (total < bytes.len) {
      finish(opening, TG_EPROXY, "bytes came before the tunnel was agreed on");
    } else {
      tg_stream_read_stop(&link->stream);
      go_on(opening);
    }
    return;
  }
}

static const struct tg_link_events tunnel_events = {
    .read = on_tunnel_read, .drained = on_drained, .broken = on_broken};

static tg_status write_connect(struct tg_opening *opening) {
  struct tg_origin target = {.host = opening->origin->host, .port = opening->origin->port};
  struct tg_response_field field = {TG_SLICE("Proxy-Authorization"), opening->origin->proxy_auth};
  char authority[TG_ORIGIN_AUTHORITY];
  /* Always with its port: it is what is connected to. */
  struct tg_slice name = tg_slice(authority, tg_origin_target(&target, authority));
  struct tg_request_head head = {.method = TG_SLICE("CONNECT"),
                                 .target = name,
                                 .authority = name,
                                 .length = TG_LENGTH_NONE,
                                 .fields = &field,
                                 .field_count = field.value.len ? 1 : 0};
  tg_status status = tg_request_head_write(tg_stream_out(&opening->link->stream), &head);
  if (status == TG_OK) tg_stream_flush_soon(&opening->link->stream);
  return status;
}

static void dig(struct tg_opening *opening) {
  struct tg_tunnel *tunnel = calloc(1, sizeof *tunnel);
  opening->tunnel = tunnel;
  if (!tunnel) {
    finish(opening, TG_ENOMEM, NULL);
    return;
  }
  tg_arena_init(&tunnel->arena, NULL, 0);
  tg_h1_reply_init(&tunnel->h1, &tunnel->arena, TG_REPLY_TO_CONNECT, TG_CALL_HEAD_BYTES,
                   TG_CALL_HEAD_FIELDS);
  opening->link->events = &tunnel_events;
  tg_stream_read_start(&opening->link->stream);
  tg_status status = write_connect(opening);
  if (status) finish(opening, status, "the name cannot be asked of a proxy");
}

/* ---- connecting ---- */

static const struct tg_link_events open_events = {.drained = on_drained, .broken = on_broken};

static void on_connected(struct tg_connector *connector, tg_status status, int fd) {
  struct tg_opening *opening = TG_CONTAINER(connector, struct tg_opening, connector);
  if (status) {
    /* EAGAIN: the queue of a unix socket is full */
    finish(opening, status == UV_EAGAIN ? UV_ECONNREFUSED : status, NULL);
    return;
  }
  opening->stage = TG_OPENING_SECURE;
  opening->moved(opening);
  opening->link = tg_link_open(opening->pool, opening->origin, fd, &open_events, opening);
  if (!opening->link)
    finish(opening, TG_ENOMEM, NULL);
  else if (opening->origin->proxy_host.len)
    dig(opening);
  else
    go_on(opening);
}

static void connect_to(struct tg_opening *opening) {
  opening->stage = TG_OPENING_CONNECT;
  tg_connector_start(&opening->connector, opening->loop, opening->addresses, opening->count, NULL,
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
    finish(opening, status, NULL);
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
  if (opening->tunnel) tg_arena_reset(&opening->tunnel->arena);
  free(opening->tunnel);
  free(opening);
}
