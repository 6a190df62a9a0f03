/* See resolver.h.
 *
 * An entry is a name and type: what is known of it, and the question that is under way for it.
 * Answers are taken down when they come, inside of c-ares, and told in a job of the loop: so that
 * nobody is called back from inside of a call, and the channel can be closed at any time else. */
#include "loop/resolver.h"

#include <stdlib.h>

#include "base/check.h"
#include "loop/dns_cache.h"
#include "loop/dns_channel.h"
#include "loop/dns_message.h"
#include "loop/hosts.h"
#include "loop/loop.h"
#include "loop/resolv_conf.h"

/* After a failure an expired answer stands in for so long without a new question (RFC 8767 section
 * 5), and this is also the TTL of what is expired. */
#define RECHECK_SECONDS 30u
/* What nobody has put a time on (RFC 2308 section 5: no SOA record, no caching): enough that a
 * burst is one question. */
#define NEGATIVE_UNSAID 1u

struct tg_resolver {
  struct tg_loop *loop;
  struct tg_settings settings;
  uint64_t version;
  struct tg_dns_channel *channel; /* NULL before the first question */
  struct tg_hosts hosts;
  struct tg_resolv_conf conf;
  struct tg_dns_cache cache;
  struct tg_list answered; /* to be told */
  struct tg_list again;    /* to be asked anew */
  struct tg_loop_job job;
  uint64_t questions;
};

/* ---- what is told ---- */

static bool may_stand_in(const struct tg_dns_entry *entry, uint64_t now) {
  return entry->known && entry->status == TG_OK &&
         now < entry->expires + entry->resolver->settings.dns_stale;
}

static void fill(const struct tg_dns_entry *entry, uint64_t now, bool stale,
                 struct tg_dns_answer *answer) {
  const struct tg_settings *settings = &entry->resolver->settings;
  *answer = (struct tg_dns_answer){
      .status = entry->status,
      .message = tg_slice(entry->message, entry->length),
      .age = (uint32_t)((now - entry->fetched) / TG_SECOND),
      .ttl_min = (uint32_t)(settings->dns_ttl_min / TG_SECOND),
      .ttl_max = (uint32_t)(settings->dns_ttl_max / TG_SECOND),
      .stale = stale,
  };
}

uint32_t tg_dns_answer_ttl(const struct tg_dns_answer *answer, uint32_t ttl) {
  if (answer->stale) return RECHECK_SECONDS;
  if (ttl < answer->ttl_min) ttl = answer->ttl_min;
  if (ttl > answer->ttl_max) ttl = answer->ttl_max;
  return ttl > answer->age ? ttl - answer->age : 0;
}

/* Its question has ended, and what is known of it may be nothing. */
static void settle(struct tg_dns_entry *entry) {
  struct tg_resolver *resolver = entry->resolver;
  tg_timer_stop(&resolver->loop->timers, &entry->stand_in);
  if (entry->known)
    tg_dns_cache_touch(&resolver->cache, entry);
  else
    tg_dns_cache_drop(&resolver->cache, entry);
}

static void tell(struct tg_dns_entry *entry, const struct tg_dns_answer *answer) {
  struct tg_list waiters, *link;
  tg_list_init(&waiters);
  tg_list_move(&waiters, &entry->waiters);
  entry->telling = true;
  while ((link = tg_list_take_first(&waiters))) {
    struct tg_dns_query *query = TG_CONTAINER(link, struct tg_dns_query, link);
    query->entry = NULL;
    query->done(query, answer);
  }
  entry->telling = false;
}

static void on_stand_in(struct tg_timer *timer) {
  struct tg_dns_entry *entry = TG_CONTAINER(timer, struct tg_dns_entry, stand_in);
  uint64_t now = tg_loop_time(entry->resolver->loop);
  struct tg_dns_answer answer;
  if (!may_stand_in(entry, now)) return;
  fill(entry, now, true, &answer);
  tell(entry, &answer);
}

/* The answer of an entry whose question has ended. */
static void conclude(struct tg_dns_entry *entry) {
  struct tg_resolver *resolver = entry->resolver;
  uint64_t now = tg_loop_time(resolver->loop);
  struct tg_dns_answer answer = {.status = entry->failure};
  tg_timer_stop(&resolver->loop->timers, &entry->stand_in);
  entry->pending = false;
  if (!entry->failed || may_stand_in(entry, now)) fill(entry, now, entry->failed, &answer);
  tell(entry, &answer);
  if (!entry->pending) settle(entry); /* else somebody has asked again meanwhile */
}

static void on_job(struct tg_loop_job *job) {
  struct tg_resolver *resolver = TG_CONTAINER(job, struct tg_resolver, job);
  struct tg_list *link;
  while ((link = tg_list_take_first(&resolver->answered)))
    conclude(TG_CONTAINER(link, struct tg_dns_entry, turn));
  tg_dns_cache_trim(&resolver->cache, resolver->settings.dns_cache);
}

/* ---- questions ---- */

static uint64_t lifetime(const struct tg_settings *settings, tg_status status, uint32_t ttl) {
  uint64_t least = status ? 0 : settings->dns_ttl_min;
  uint64_t most = status ? settings->dns_ttl_negative : settings->dns_ttl_max;
  uint64_t time = (status && !ttl ? NEGATIVE_UNSAID : ttl) * TG_SECOND;
  if (time < least) time = least;
  return time < most ? time : most;
}

static tg_status keep(struct tg_dns_entry *entry, tg_status status, struct tg_slice message,
                      uint32_t ttl) {
  struct tg_resolver *resolver = entry->resolver;
  if (status) message = tg_slice(NULL, 0);
  tg_status kept = tg_dns_cache_keep(&resolver->cache, entry, status, message);
  if (kept) return kept;
  entry->failed = false;
  entry->fetched = tg_loop_time(resolver->loop);
  entry->expires = entry->fetched + lifetime(&resolver->settings, status, ttl);
  return TG_OK;
}

static void on_answered(struct tg_dns_question *question, tg_status status,
                        struct tg_slice message) {
  struct tg_dns_entry *entry = TG_CONTAINER(question, struct tg_dns_entry, question);
  struct tg_resolver *resolver = entry->resolver;
  uint32_t ttl = 0;
  if (status == TG_ECANCELLED) {
    tg_list_append(&resolver->again, &entry->turn);
    return;
  }
  if (status == TG_OK) status = tg_dns_message_judge(message, entry->type, &ttl);
  if (status == TG_OK || status == TG_ENO_NAME || status == TG_ENO_DATA)
    entry->failure = keep(entry, status, message, ttl);
  else
    entry->failure = status;
  if (entry->failure) {
    entry->failed = true;
    entry->recheck = tg_loop_time(resolver->loop) + RECHECK_SECONDS * TG_SECOND;
  }
  tg_list_append(&resolver->answered, &entry->turn);
  tg_loop_post(resolver->loop, &resolver->job);
}

/* For so long the expired answer is held back. */
static void wait_for_servers(struct tg_dns_entry *entry) {
  struct tg_resolver *resolver = entry->resolver;
  uint64_t now = tg_loop_time(resolver->loop);
  if (tg_timer_active(&entry->stand_in) || !may_stand_in(entry, now)) return;
  uint64_t due = now + resolver->settings.dns_stale_after;
  /* Without memory for a timer, the end of the question tells. */
  if (tg_timer_start(&resolver->loop->timers, &entry->stand_in, due, on_stand_in)) return;
}

static void ask(struct tg_dns_entry *entry) {
  struct tg_resolver *resolver = entry->resolver;
  tg_status status = TG_OK;
  entry->pending = true;
  tg_dns_cache_hold(entry);
  entry->question.name = entry->name;
  entry->question.type = entry->type;
  entry->question.answered = on_answered;
  if (!resolver->channel)
    status = tg_dns_channel_open(&resolver->channel, resolver->loop, &resolver->settings);
  if (status) {
    on_answered(&entry->question, status == TG_ENOMEM ? status : TG_EDNS_UNREACHABLE,
                tg_slice(NULL, 0));
    return;
  }
  wait_for_servers(entry);
  resolver->questions++;
  tg_dns_channel_ask(resolver->channel, &entry->question);
}

/* Other servers: what is under way is asked of them. */
static void reopen(struct tg_resolver *resolver) {
  struct tg_list *link;
  if (!resolver->channel) return;
  tg_dns_channel_close(resolver->channel);
  resolver->channel = NULL;
  while ((link = tg_list_take_first(&resolver->again)))
    ask(TG_CONTAINER(link, struct tg_dns_entry, turn));
}

static void look_at_conf(struct tg_resolver *resolver) {
  const struct tg_settings *settings = &resolver->settings;
  if (!tg_resolv_conf_refresh(&resolver->conf, tg_loop_time(resolver->loop))) return;
  if (settings->dns_search[0])
    tg_resolv_conf_set_search(&resolver->conf, tg_slice_cstr(settings->dns_search));
  if (!settings->dns_servers[0]) reopen(resolver);
}

static struct tg_dns_entry *find_or_add(struct tg_resolver *resolver, const char *name,
                                        uint16_t type) {
  struct tg_dns_entry *entry = tg_dns_cache_find(&resolver->cache, name, type);
  if (entry) return entry;
  entry = tg_dns_cache_add(&resolver->cache, name, type);
  if (entry) entry->resolver = resolver;
  return entry;
}

tg_status tg_resolver_query(struct tg_resolver *resolver, struct tg_dns_query *query,
                            const char *name, uint16_t type, struct tg_dns_answer *answer) {
  look_at_conf(resolver);
  uint64_t now = tg_loop_time(resolver->loop);
  struct tg_dns_entry *entry = find_or_add(resolver, name, type);
  if (!entry) return TG_ENOMEM;
  if (entry->known && !entry->pending) tg_dns_cache_touch(&resolver->cache, entry);
  bool stale = false;
  if (!entry->known || now >= entry->expires) {
    bool usable = may_stand_in(entry, now);
    /* Nobody waits for servers that have failed, or that are late, while there is an answer. */
    bool late = entry->pending && tg_list_empty(&entry->turn) && !tg_timer_active(&entry->stand_in);
    stale = usable && (entry->failed || late);
    if (!entry->pending && !(stale && now < entry->recheck)) ask(entry);
  }
  if (entry->known && (stale || now < entry->expires)) {
    fill(entry, now, stale, answer);
    return TG_OK;
  }
  query->resolver = resolver;
  query->entry = entry;
  tg_list_init(&query->link);
  tg_list_append(&entry->waiters, &query->link);
  return TG_EAGAIN;
}

/* A question that waits for its turn is not asked when nobody wants it any more. */
void tg_dns_query_cancel(struct tg_dns_query *query) {
  struct tg_dns_entry *entry = query->entry;
  if (!entry) return;
  query->entry = NULL;
  tg_list_remove(&query->link);
  if (!tg_list_empty(&entry->waiters) || entry->telling) return;
  if (!tg_dns_channel_withdraw(&entry->question)) return;
  entry->pending = false;
  settle(entry);
}

/* ---- life ---- */

static void flush_one(struct tg_dns_entry *entry) {
  struct tg_dns_cache *cache = &entry->resolver->cache;
  if (entry->telling) return;
  if (!entry->pending)
    tg_dns_cache_drop(cache, entry);
  else if (tg_list_empty(&entry->turn)) /* else it is about to be told */
    tg_dns_cache_forget(cache, entry);
}

void tg_resolver_flush(struct tg_resolver *resolver) {
  tg_dns_cache_each(&resolver->cache, flush_one);
}

struct tg_hosts *tg_resolver_hosts(struct tg_resolver *resolver) {
  return &resolver->hosts;
}

const struct tg_resolv_conf *tg_resolver_conf(struct tg_resolver *resolver) {
  look_at_conf(resolver);
  return &resolver->conf;
}

struct tg_loop *tg_resolver_loop(struct tg_resolver *resolver) {
  return resolver->loop;
}

void tg_resolver_stats(const struct tg_resolver *resolver, struct tg_resolver_stats *stats) {
  *stats = (struct tg_resolver_stats){.questions = resolver->questions,
                                      .entries = resolver->cache.count,
                                      .bytes = resolver->cache.bytes};
}

static const char *or_else(const char *text, const char *otherwise) {
  return text[0] ? text : otherwise;
}

static bool same(const struct tg_settings *a, const struct tg_settings *b) {
  return a->dns_timeout == b->dns_timeout && a->dns_attempts == b->dns_attempts &&
         a->dns_cache == b->dns_cache && a->dns_ttl_min == b->dns_ttl_min &&
         a->dns_ttl_max == b->dns_ttl_max && a->dns_ttl_negative == b->dns_ttl_negative &&
         a->dns_stale == b->dns_stale && a->dns_stale_after == b->dns_stale_after &&
         strcmp(a->dns_servers, b->dns_servers) == 0 && strcmp(a->dns_search, b->dns_search) == 0 &&
         strcmp(a->dns_hosts, b->dns_hosts) == 0 &&
         strcmp(a->dns_resolv_conf, b->dns_resolv_conf) == 0;
}

static void take_settings(struct tg_resolver *resolver, const struct tg_settings *settings) {
  resolver->settings = *settings;
  tg_hosts_deinit(&resolver->hosts);
  tg_hosts_init(&resolver->hosts, or_else(settings->dns_hosts, "/etc/hosts"));
  tg_resolv_conf_init(&resolver->conf, or_else(settings->dns_resolv_conf, "/etc/resolv.conf"));
}

static struct tg_resolver *new_resolver(struct tg_loop *loop) {
  struct tg_resolver *resolver = calloc(1, sizeof *resolver);
  if (!resolver) return NULL;
  if (tg_dns_cache_init(&resolver->cache)) {
    free(resolver);
    return NULL;
  }
  resolver->loop = loop;
  tg_list_init(&resolver->answered);
  tg_list_init(&resolver->again);
  tg_loop_job_init(&resolver->job, on_job);
  return resolver;
}

/* Other servers may say other things, so that nothing of the old ones is kept. */
struct tg_resolver *tg_resolver_of(struct tg_loop *loop, const struct tg_settings *settings,
                                   uint64_t version) {
  struct tg_resolver *resolver = loop->resolver;
  if (!resolver) {
    resolver = loop->resolver = new_resolver(loop);
    if (!resolver) return NULL;
    resolver->version = version;
    take_settings(resolver, settings);
  } else if (version > resolver->version) {
    resolver->version = version;
    if (!same(settings, &resolver->settings)) {
      take_settings(resolver, settings);
      tg_resolver_flush(resolver);
      reopen(resolver);
    }
  }
  return resolver;
}

static void stop_timer(struct tg_dns_entry *entry) {
  tg_timer_stop(&entry->resolver->loop->timers, &entry->stand_in);
}

void tg_resolver_close(struct tg_resolver *resolver) {
  if (!resolver) return;
  if (resolver->channel) tg_dns_channel_close(resolver->channel);
  tg_loop_job_remove(&resolver->job);
  tg_dns_cache_each(&resolver->cache, stop_timer);
  tg_dns_cache_deinit(&resolver->cache);
  tg_hosts_deinit(&resolver->hosts);
  free(resolver);
}
