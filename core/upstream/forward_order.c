/* See forward_order.h. */
#include "upstream/forward_order.h"

#include <stdio.h>
#include <unistd.h>

#include "base/log_record.h"
#include "http/forward_path.h"
#include "net/network.h"

/* Two processes, on whatever hosts, must not have the same name. */
void tg_forwarder_init(struct tg_forwarder *forwarder, struct tg_log *log,
                       struct tg_groups *groups) {
  char host[256] = {0};
  forwarder->log = log;
  forwarder->groups = groups;
  if (gethostname(host, sizeof host - 1)) host[0] = 0;
  uint64_t seed = tg_clock_wall() ^ (uint64_t)getpid() << 40;
  for (const char *at = host; *at; at++) seed = (seed ^ (unsigned char)*at) * 0x100000001b3u;
  snprintf(forwarder->name, sizeof forwarder->name, "tidegate-%08x", (unsigned)(seed ^ seed >> 32));
}

bool tg_forward_idempotent(enum tg_method method) {
  switch (method) {
    case TG_METHOD_GET:
    case TG_METHOD_HEAD:
    case TG_METHOD_PUT:
    case TG_METHOD_DELETE:
    case TG_METHOD_OPTIONS: return true;
    default: return false;
  }
}

/* h2c is another version of HTTP, and would have to be spoken here (RFC 9110 section 7.8). */
bool tg_forward_wants_upgrade(const struct tg_request *request) {
  struct tg_slice protocol;
  if (!request->upgrade || request->has_body) return false;
  protocol = tg_request_find_known(request, TG_FIELD_UPGRADE);
  return protocol.len && !memchr(protocol.ptr, ',', protocol.len) &&
         !tg_slice_ieq(protocol, TG_SLICE("h2c")) &&
         !(protocol.len >= 4 && tg_slice_ieq(tg_slice(protocol.ptr, 4), TG_SLICE("http")));
}

/* ---- the target ---- */

static struct tg_slice piece_value(const struct tg_forward_from *from,
                                   const struct tg_forward_piece *piece) {
  return piece->param < 0 ? piece->text : from->params[piece->param];
}

static size_t put(char *out, size_t at, struct tg_slice bytes) {
  if (bytes.len) memcpy(out + at, bytes.ptr, bytes.len);
  return at + bytes.len;
}

/* The path of the request, or the pieces of the rule with the values as they came; then the query,
 * behind one that the rule's path may have itself. */
static bool make_target(const struct tg_forward_from *from, const struct tg_forward_rule *rule,
                        struct tg_arena *arena, struct tg_slice *target) {
  const struct tg_request *request = from->request;
  size_t room = request->path.len + request->query.len + 2, len = 0;
  bool has_query = false;
  if (!rule->path_count && !request->query.len) {
    *target = request->path;
    return true;
  }
  for (size_t i = 0; i < rule->path_count; i++) room += piece_value(from, &rule->path[i]).len;
  char *out = tg_arena_alloc(arena, room);
  if (!out) return false;
  if (!rule->path_count) len = put(out, len, request->path);
  for (size_t i = 0; i < rule->path_count; i++) {
    struct tg_slice value = piece_value(from, &rule->path[i]);
    has_query |= rule->path[i].param < 0 && value.len && memchr(value.ptr, '?', value.len);
    len = put(out, len, value);
  }
  if (!len || out[0] != '/') { /* "{rest}" alone: a parameter has no slash before it */
    memmove(out + 1, out, len++);
    out[0] = '/';
  }
  if (request->query.len) {
    len = put(out, len, has_query ? TG_SLICE("&") : TG_SLICE("?"));
    len = put(out, len, request->query);
  }
  *target = tg_slice(out, len);
  return true;
}

static struct tg_slice path_of(struct tg_slice target) {
  const char *mark = memchr(target.ptr, '?', target.len);
  return mark ? tg_slice(target.ptr, (size_t)(mark - target.ptr)) : target;
}

/* ---- the order ---- */

static bool refuse(struct tg_forward_fault *fault, int status, const char *text) {
  *fault = (struct tg_forward_fault){status, text};
  return false;
}

static bool refuse_fields(struct tg_forward_fault *fault, tg_status status) {
  if (status == TG_ELOOP)
    return refuse(fault, 508, "the request has come through this gateway before");
  if (status == TG_EINVALID) return refuse(fault, 400, "Connection names too many fields");
  return refuse(fault, 503, "no memory is left for this request");
}

static bool fill_fields(const struct tg_forward_from *from, const struct tg_forward_rule *rule,
                        struct tg_arena *arena, struct tg_delivery_order *order,
                        struct tg_forward_fault *fault) {
  struct tg_forward_fields fields;
  struct tg_forward_client client = {
      .address = from->client,
      .name = tg_slice_cstr(rule->forwarder->name),
      .secure = from->secure,
      .trusted = rule->trusted.len && tg_network_list_has(rule->trusted, from->client)};
  tg_status status = tg_forward_request(arena, from->request, &client, &rule->request,
                                        order->call.upgrade, &fields);
  if (status) return refuse_fields(fault, status);
  if (fields.last) return refuse(fault, 204, "Max-Forwards says that the request goes no further");
  order->call.fields = fields.list;
  order->call.field_count = fields.count;
  order->call.takes_trailers = fields.takes_trailers && from->request->minor;
  return true;
}

static struct tg_slice authority_of(const struct tg_forward_from *from,
                                    const struct tg_forward_rule *rule) {
  switch (rule->host_from) {
    case TG_FORWARD_HOST_KEEP: return from->request->host;
    case TG_FORWARD_HOST_UPSTREAM: break;
    case TG_FORWARD_HOST_FIXED: return rule->host;
  }
  return tg_slice(NULL, 0);
}

void tg_forward_stream(const struct tg_request *request, struct tg_source *body,
                       const struct tg_forward_rules *rules, struct tg_call_request *call) {
  call->source = body;
  call->length = request->chunked ? TG_LENGTH_CHUNKED : request->content_length;
  call->expect_continue = request->expect_continue;
  call->trailers_of = request;
  call->trailer_rules = rules;
}

bool tg_forward_order(const struct tg_forward_from *from, const struct tg_forward_rule *rule,
                      struct tg_arena *arena, struct tg_delivery_order *order,
                      struct tg_forward_fault *fault) {
  const struct tg_request *request = from->request;
  if (!rule->group) return refuse(fault, 502, "no backend is there");
  *order = (struct tg_delivery_order){
      .group = rule->group,
      .request = request,
      .client = from->client,
      .retries = rule->retries,
      .deadline = rule->timeout ? from->started + rule->timeout : from->deadline,
      .timeouts = rule->timeouts,
      .call = {.method = request->method_name,
               .authority = authority_of(from, rule),
               .upgrade = tg_forward_wants_upgrade(request),
               .idempotent = tg_forward_idempotent(request->method),
               .length = TG_LENGTH_NONE,
               .arena = arena},
  };
  if (!make_target(from, rule, arena, &order->call.target))
    return refuse(fault, 503, "no memory is left for this request");
  if (tg_forward_climbs(path_of(order->call.target)))
    return refuse(fault, 400, "the path leads upwards when it is decoded again");
  return fill_fields(from, rule, arena, order, fault);
}

/* ---- failures ---- */

struct tg_forward_fault tg_forward_fault_of(const struct tg_delivery *delivery, tg_status status) {
  switch (status) {
    case TG_ETIMEOUT: return (struct tg_forward_fault){504, "the backend did not answer in time"};
    case TG_EOVERLOAD:
      return (struct tg_forward_fault){503, "the backend takes no more requests at the moment"};
    case TG_ENOMEM: return (struct tg_forward_fault){503, "no memory is left for this request"};
    case TG_EINVALID:
      return (struct tg_forward_fault){400, "the request cannot be sent to the backend"};
    case TG_EBAD_REPLY:
      return (struct tg_forward_fault){502, "the backend sent a malformed answer"};
    case TG_ENO_PEER: return (struct tg_forward_fault){502, "no backend is there"};
    default: break;
  }
  if (delivery->stage < TG_CALL_SEND)
    return (struct tg_forward_fault){502, "the backend cannot be reached"};
  return (struct tg_forward_fault){502, "the backend broke the connection off"};
}

void tg_forward_log(const struct tg_forwarder *forwarder, const struct tg_delivery *delivery,
                    tg_status status, struct tg_slice route, struct tg_slice id) {
  struct tg_log *log = forwarder->log;
  enum tg_log_level level = status == TG_EOVERLOAD ? TG_LOG_WARN : TG_LOG_ERROR;
  struct tg_log_record record;
  if (!log || !tg_log_enabled(log, level)) return;
  tg_log_record_begin(&record, log, level, TG_SLICE("upstream failed"));
  tg_log_record_text(&record, "upstream", tg_group_name(delivery->order->group));
  if (delivery->peer) tg_log_record_text(&record, "peer", delivery->peer->address);
  if (delivery->tries)
    tg_log_record_text(&record, "stage", tg_slice_cstr(tg_call_stage_name(delivery->stage)));
  tg_log_record_text(&record, "code", tg_slice_cstr(tg_status_name(status)));
  tg_log_record_text(&record, "reason",
                     tg_slice_cstr(delivery->detail ? delivery->detail : tg_status_text(status)));
  tg_log_record_int(&record, "tries", delivery->tries);
  if (route.len) tg_log_record_text(&record, "route", route);
  if (id.len) tg_log_record_text(&record, "request", id);
  tg_log_record_end(&record, log);
}
