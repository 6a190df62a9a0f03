/* From a request and a rule to what a backend is asked, and from its failure to an answer. Used by
 * routes with `proxy` (forward.h) and by tg.proxy (await/). */
#ifndef TG_UPSTREAM_FORWARD_ORDER_H
#define TG_UPSTREAM_FORWARD_ORDER_H

#include "base/log.h"
#include "http/forward_fields.h"
#include "upstream/mirror.h"

/* What all forwards of the process share. */
struct tg_forwarder {
  struct tg_log *log; /* may be NULL */
  struct tg_groups *groups;
  char name[32]; /* of this process in Via */
};

void tg_forwarder_init(struct tg_forwarder *forwarder, struct tg_log *log,
                       struct tg_groups *groups);

/* A piece of the path that a backend gets. */
struct tg_forward_piece {
  struct tg_slice text;
  int param; /* index of the route's parameter whose value stands here; -1: the text does */
};

enum tg_forward_host { TG_FORWARD_HOST_KEEP, TG_FORWARD_HOST_UPSTREAM, TG_FORWARD_HOST_FIXED };

/* The key `proxy` of a route. Immutable, and shared by the loops, once its generation serves. */
struct tg_forward_rule {
  const struct tg_forwarder *forwarder;
  struct tg_slice to;      /* name of the group */
  struct tg_slice trusted; /* proxies that are believed (net/network.h) */
  struct tg_group *group;
  const struct tg_forward_piece *path;
  size_t path_count; /* 0: the path of the request */
  struct tg_forward_rules request, reply;
  struct tg_mirror_rule mirror;
  enum tg_forward_host host_from;
  struct tg_slice host;
  uint64_t timeout; /* until the head of the answer; 0: the route's */
  struct tg_rules_timeouts timeouts;
  int retries; /* -1: as the upstream says */
  bool buffer; /* request and reply are collected before they go on */
};

/* What is forwarded, and for whom. */
struct tg_forward_from {
  const struct tg_request *request;
  const struct tg_slice *params; /* values of the route's parameters, still encoded */
  struct tg_slice client;        /* its address */
  bool secure;                   /* it came by TLS */
  uint64_t deadline;             /* of the head of the answer, where the rule has none; 0: none */
  uint64_t started;              /* of the request, on the loop's clock */
};

/* Why a request is not forwarded. */
struct tg_forward_fault {
  int status;       /* 204: it is to go no further, and to be answered as by who it was for */
  const char *text; /* static storage */
};

/* Fills an order; its slices lie in `arena`, in the request and in the rule. Without a body: who
 * has one sets bytes, or source and length. False: *fault says why. */
bool tg_forward_order(const struct tg_forward_from *from, const struct tg_forward_rule *rule,
                      struct tg_arena *arena, struct tg_delivery_order *order,
                      struct tg_forward_fault *fault);

/* The body of the request goes on as it comes, with its trailers. */
void tg_forward_stream(const struct tg_request *request, struct tg_source *body,
                       const struct tg_forward_rules *rules, struct tg_call_request *call);

/* Does the client ask for another protocol that may be tunnelled? */
bool tg_forward_wants_upgrade(const struct tg_request *request);

/* May the method be sent twice (RFC 9110 section 9.2.2)? */
bool tg_forward_idempotent(enum tg_method method);

/* The status and the word for a client to whom a delivery gave no reply. */
struct tg_forward_fault tg_forward_fault_of(const struct tg_delivery *delivery, tg_status status);

/* Says in the log how a delivery failed, with upstream, peer and stage. `route` and `id` are of the
 * request, which may be nobody's: empty. */
void tg_forward_log(const struct tg_forwarder *forwarder, const struct tg_delivery *delivery,
                    tg_status status, struct tg_slice route, struct tg_slice id);

#endif
