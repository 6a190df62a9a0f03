/* See discovery.h. A service's targets are names, which are looked up one after the other; what was
 * found is put together, and goes to the roster as a whole. */
#include "upstream/discovery.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/clock.h"
#include "loop/dns_message.h"
#include "loop/lookup.h"
#include "upstream/group_state.h"
#include "upstream/groups.h"

#define TARGETS_MAX 64
#define FOUND_MAX   256

/* After a failure it is tried again no sooner than this. */
#define RETRY_LEAST (5 * TG_SECOND)

struct target {
  char host[TG_DNS_NAME_LEN + 1];
  uint16_t port, weight, priority;
};

struct tg_discovery {
  struct tg_group *group;
  struct tg_roster_entry *entry;
  struct tg_loop *loop;
  struct tg_resolver *resolver;
  struct tg_timer timer;
  struct tg_lookup lookup;
  struct tg_dns_query query;
  struct target targets[TARGETS_MAX];
  size_t target_count, at;
  struct tg_roster_found found[FOUND_MAX];
  size_t count;
  uint32_t ttl; /* seconds, the least of all */
  tg_status failure;
  bool looking, failed;
};

static struct tg_rules_dns rules_of(struct tg_discovery *discovery) {
  struct tg_rules *rules = tg_group_hold_rules(discovery->group);
  struct tg_rules_dns dns = rules->dns;
  tg_rules_release(rules);
  return dns;
}

/* ---- the end of a round ---- */

static void on_due(struct tg_timer *timer);

static void wait(struct tg_discovery *discovery, uint64_t time) {
  struct tg_rules_dns dns = rules_of(discovery);
  if (time < dns.least) time = dns.least;
  if (time > dns.most) time = dns.most;
  /* without memory for the timer it waits for the next reload */
  (void)!tg_timer_start(&discovery->loop->timers, &discovery->timer,
                        tg_loop_time(discovery->loop) + time, on_due);
}

static void say(struct tg_discovery *discovery, enum tg_log_level level, const char *message) {
  tg_group_say_name(discovery->group, discovery->entry->spec.address, level, message);
}

static void give_up(struct tg_discovery *discovery, tg_status status) {
  if (!discovery->failed)
    say(discovery, TG_LOG_WARN,
        status == TG_ENO_NAME || status == TG_ENO_DATA
            ? "a name of an upstream is not there; what was found last stays"
            : "a name of an upstream cannot be looked up; what was found last stays");
  discovery->failed = true;
  wait(discovery, RETRY_LEAST);
}

static void settle(struct tg_discovery *discovery) {
  if (!discovery->count) {
    give_up(discovery, discovery->failure ? discovery->failure : TG_ENO_DATA);
    return;
  }
  if (discovery->failed) say(discovery, TG_LOG_INFO, "a name of an upstream is there again");
  discovery->failed = false;
  if (tg_roster_settle(discovery->group, discovery->entry, discovery->found, discovery->count))
    say(discovery, TG_LOG_ERROR, "an upstream could not be changed: no memory");
  wait(discovery, discovery->ttl * TG_SECOND);
}

/* ---- addresses ---- */

static void next_target(struct tg_discovery *discovery);

static void take_ttl(struct tg_discovery *discovery, uint32_t ttl) {
  if (ttl < discovery->ttl) discovery->ttl = ttl;
}

static void take_addresses(struct tg_discovery *discovery) {
  const struct target target = discovery->targets[discovery->at];
  for (size_t i = 0; i < discovery->lookup.count && discovery->count < FOUND_MAX; i++) {
    const struct tg_dns_address *address = &discovery->lookup.addresses[i];
    struct tg_roster_found *found = &discovery->found[discovery->count++];
    char text[TG_DNS_ADDRESS_TEXT];
    *found = (struct tg_roster_found){.weight = target.weight, .priority = target.priority};
    tg_dns_address_write(address, text);
    snprintf(found->address, sizeof found->address,
             address->family == AF_INET6 ? "[%s]:%u" : "%s:%u", text, target.port);
    snprintf(found->authority, sizeof found->authority, "%s:%u", target.host, target.port);
    take_ttl(discovery, address->ttl);
  }
}

/* A target that is not found does not hide the others. */
static void finish_target(struct tg_discovery *discovery, tg_status status) {
  if (status == TG_OK)
    take_addresses(discovery);
  else
    discovery->failure = status;
  discovery->at++;
  next_target(discovery);
}

static void on_addresses(struct tg_lookup *lookup, tg_status status) {
  struct tg_discovery *discovery = TG_CONTAINER(lookup, struct tg_discovery, lookup);
  discovery->looking = false;
  finish_target(discovery, status);
}

static void next_target(struct tg_discovery *discovery) {
  if (discovery->at == discovery->target_count) {
    settle(discovery);
    return;
  }
  const char *host = discovery->targets[discovery->at].host;
  tg_status status = tg_lookup_start(&discovery->lookup, discovery->resolver, tg_slice_cstr(host),
                                     rules_of(discovery).family, on_addresses);
  discovery->looking = status == TG_EAGAIN;
  if (status != TG_EAGAIN) finish_target(discovery, status);
}

/* ---- services ---- */

/* RFC 2782: priority, weight, port, target; "." says that there is no such service. */
static void take_record(struct tg_discovery *discovery, const struct tg_dns_answer *answer,
                        const struct tg_dns_record *record) {
  char name[TG_DNS_NAME_TEXT];
  size_t at = record->at + 6;
  if (record->type != TG_DNS_SRV || record->length < 7) return;
  if (discovery->target_count == TARGETS_MAX) return;
  if (tg_dns_name_read(answer->message, &at, name) || strlen(name) > TG_DNS_NAME_LEN ||
      strcmp(name, ".") == 0)
    return;
  struct target *target = &discovery->targets[discovery->target_count++];
  target->priority = tg_dns_u16(answer->message, record->at);
  target->weight = tg_dns_u16(answer->message, record->at + 2);
  target->port = tg_dns_u16(answer->message, record->at + 4);
  if (!target->weight) target->weight = 1;
  memcpy(target->host, name, strlen(name) + 1);
  take_ttl(discovery, tg_dns_answer_ttl(answer, record->ttl));
}

static void take_service(struct tg_discovery *discovery, const struct tg_dns_answer *answer) {
  struct tg_dns_reader reader;
  struct tg_dns_record record;
  discovery->failure = answer->status;
  if (answer->status == TG_OK && tg_dns_reader_init(&reader, answer->message) == TG_OK)
    while (tg_dns_reader_next(&reader, &record) && record.section == TG_DNS_ANSWER)
      take_record(discovery, answer, &record);
  next_target(discovery);
}

static void on_service(struct tg_dns_query *query, const struct tg_dns_answer *answer) {
  take_service(TG_CONTAINER(query, struct tg_discovery, query), answer);
}

static void ask_service(struct tg_discovery *discovery) {
  struct tg_dns_answer answer = {0};
  char name[TG_DNS_NAME_LEN + 1];
  bool absolute;
  struct tg_slice text = tg_slice_skip(discovery->entry->spec.address, strlen("srv:"));
  if (tg_dns_name_check(text, true, name, &absolute)) {
    give_up(discovery, TG_ENO_NAME);
    return;
  }
  discovery->query.done = on_service;
  tg_status status =
      tg_resolver_query(discovery->resolver, &discovery->query, name, TG_DNS_SRV, &answer);
  if (status == TG_EAGAIN) return;
  if (status)
    give_up(discovery, status);
  else
    take_service(discovery, &answer);
}

/* ---- rounds ---- */

static void ask_name(struct tg_discovery *discovery) {
  struct tg_slice host;
  struct target *target = &discovery->targets[0];
  if (tg_peer_split(discovery->entry->spec.address, &host, &target->port) ||
      host.len > TG_DNS_NAME_LEN)
    return;
  memcpy(target->host, host.ptr, host.len);
  target->host[host.len] = 0;
  target->weight = 0;
  target->priority = 0;
  discovery->target_count = 1;
  next_target(discovery);
}

static void on_due(struct tg_timer *timer) {
  struct tg_discovery *discovery = TG_CONTAINER(timer, struct tg_discovery, timer);
  discovery->resolver = tg_groups_resolver(discovery->group->groups);
  discovery->target_count = discovery->at = discovery->count = 0;
  discovery->ttl = UINT32_MAX;
  discovery->failure = TG_OK;
  if (!discovery->resolver)
    give_up(discovery, TG_ENOMEM);
  else if (discovery->entry->kind == TG_ROSTER_SERVICE)
    ask_service(discovery);
  else
    ask_name(discovery);
}

struct tg_discovery *tg_discovery_new(struct tg_group *group, struct tg_roster_entry *entry) {
  struct tg_discovery *discovery = calloc(1, sizeof *discovery);
  if (!discovery) return NULL;
  discovery->group = group;
  discovery->entry = entry;
  discovery->loop = tg_groups_home(group->groups);
  /* from an event: an answer that is there at once must not come into the caller's lock */
  if (tg_timer_start(&discovery->loop->timers, &discovery->timer, tg_loop_time(discovery->loop),
                     on_due) == TG_OK)
    return discovery;
  free(discovery);
  return NULL;
}

void tg_discovery_stop(struct tg_discovery *discovery) {
  tg_timer_stop(&discovery->loop->timers, &discovery->timer);
  tg_dns_query_cancel(&discovery->query);
  if (discovery->looking) tg_lookup_cancel(&discovery->lookup);
  free(discovery);
}
