/* Links by origin, in a hash table of slots; a slot lives as long as it has a link, idle or not.
 * All idle links of the pool stand in a second list in the order of their last use. */
#include "upstream/pool.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "loop/resolver.h"
#include "upstream/link.h"

#define BUCKETS    64
#define DRAIN_TIME (2 * TG_SECOND)

struct tg_link_slot {
  struct tg_link_slot *next; /* in its bucket */
  uint64_t hash;
  struct tg_origin *origin;
  struct tg_list idle;
  unsigned links; /* idle or not, until they are closed */
};

struct tg_link_pool {
  struct tg_loop_annex annex;
  struct tg_loop *loop;
  struct tg_hash_seed seed;
  struct tg_link_slot *buckets[BUCKETS];
  struct tg_list idle; /* in order of their last use */
  struct tg_list busy;
  uint64_t idle_max, idle_time;
  uint64_t version;
  struct tg_link_pool_stats stats;
  unsigned links; /* until they are closed */
  bool closing;
};

/* ---- the pool ---- */

static void close_pool(struct tg_loop_annex *annex) {
  struct tg_link_pool *pool = TG_CONTAINER(annex, struct tg_link_pool, annex);
  pool->closing = true;
  tg_link_pool_clear(pool, NULL);
  while (!tg_list_empty(&pool->busy)) {
    struct tg_link *link = TG_CONTAINER(pool->busy.next, struct tg_link, order);
    TG_CHECK(!link->user); /* it drains: a call must have ended before its loop */
    tg_link_close(link);
  }
  if (!pool->links) free(pool);
}

struct tg_link_pool *tg_link_pool_of(struct tg_loop *loop) {
  struct tg_loop_annex *annex = tg_loop_annex_of(loop, close_pool);
  if (annex) return TG_CONTAINER(annex, struct tg_link_pool, annex);
  struct tg_link_pool *pool = calloc(1, sizeof *pool);
  if (!pool) return NULL;
  struct tg_settings settings;
  tg_settings_init(&settings);
  pool->loop = loop;
  pool->annex.close = close_pool;
  pool->idle_max = settings.outbound_idle;
  pool->idle_time = settings.outbound_idle_time;
  tg_hash_seed_init(&pool->seed);
  tg_list_init(&pool->idle);
  tg_list_init(&pool->busy);
  tg_loop_attach(loop, &pool->annex);
  return pool;
}

tg_status tg_link_pool_configure(struct tg_loop *loop, const struct tg_settings *settings,
                                 uint64_t version) {
  struct tg_link_pool *pool = tg_link_pool_of(loop);
  if (!pool || !tg_resolver_of(loop, settings, version)) return TG_ENOMEM;
  if (version < pool->version) return TG_OK;
  pool->version = version;
  pool->idle_max = settings->outbound_idle;
  pool->idle_time = settings->outbound_idle_time;
  return TG_OK;
}

struct tg_link_pool_stats tg_link_pool_stats(const struct tg_link_pool *pool) {
  return pool->stats;
}

void tg_link_pool_clear(struct tg_link_pool *pool, const struct tg_origin *origin) {
  struct tg_list *next;
  for (struct tg_list *at = pool->idle.next; at != &pool->idle; at = next) {
    struct tg_link *link = TG_CONTAINER(at, struct tg_link, order);
    next = at->next;
    if (!origin || tg_origin_equal(link->slot->origin, origin)) tg_link_close(link);
  }
}

/* ---- slots ---- */

static struct tg_link_slot *find_slot(struct tg_link_pool *pool, uint64_t hash,
                                      const struct tg_origin *origin) {
  struct tg_link_slot *slot = pool->buckets[hash % BUCKETS];
  while (slot && !(slot->hash == hash && tg_origin_equal(slot->origin, origin))) slot = slot->next;
  return slot;
}

static struct tg_link_slot *make_slot(struct tg_link_pool *pool, uint64_t hash,
                                      const struct tg_origin *origin) {
  struct tg_link_slot *slot = calloc(1, sizeof *slot);
  if (!slot) return NULL;
  slot->origin = tg_origin_copy(origin);
  if (!slot->origin) {
    free(slot);
    return NULL;
  }
  if (origin->tls) tg_tls_context_hold(origin->tls);
  slot->hash = hash;
  slot->next = pool->buckets[hash % BUCKETS];
  pool->buckets[hash % BUCKETS] = slot;
  tg_list_init(&slot->idle);
  return slot;
}

static void leave_slot(struct tg_link_pool *pool, struct tg_link_slot *slot) {
  if (--slot->links) return;
  struct tg_link_slot **at = &pool->buckets[slot->hash % BUCKETS];
  while (*at != slot) at = &(*at)->next;
  *at = slot->next;
  if (slot->origin->tls) tg_tls_context_release(slot->origin->tls);
  free(slot->origin);
  free(slot);
}

/* ---- what a link hears ---- */

static struct tg_link *of_stream(struct tg_stream *stream) {
  return TG_CONTAINER(stream, struct tg_link, stream);
}

/* Of a link without a user: the rest of a reply, or nothing that could be good. */
static void hear_alone(struct tg_link *link, tg_status status, size_t len) {
  if (status || len > link->draining) {
    tg_link_close(link);
    return;
  }
  link->draining -= len;
  if (link->draining == 0) tg_link_give(link);
}

static void on_read(struct tg_stream *stream, tg_status status, struct tg_slice bytes) {
  struct tg_link *link = of_stream(stream);
  if (status) link->ended = status;
  if (TG_LIKELY(link->events != NULL))
    link->events->read(link, status, bytes);
  else
    hear_alone(link, status, bytes.len);
}

static void on_drained(struct tg_stream *stream) {
  struct tg_link *link = of_stream(stream);
  if (link->events) link->events->drained(link);
}

static void on_broken(struct tg_stream *stream, tg_status status) {
  struct tg_link *link = of_stream(stream);
  link->spoilt = true;
  link->broken = status;
  if (link->events)
    link->events->broken(link, status);
  else
    tg_link_close(link);
}

static void on_secured(struct tg_stream *stream) {
  struct tg_link *link = of_stream(stream);
  if (link->events && link->events->secured) link->events->secured(link);
}

static void on_closed(struct tg_stream *stream) {
  struct tg_link *link = of_stream(stream);
  struct tg_link_pool *pool = link->pool;
  leave_slot(pool, link->slot);
  free(link);
  if (--pool->links == 0 && pool->closing) free(pool);
}

static void on_deadline(struct tg_wheel_node *node) {
  tg_link_close(TG_CONTAINER(node, struct tg_link, deadline));
}

static const struct tg_stream_events stream_events = {.read = on_read,
                                                      .drained = on_drained,
                                                      .broken = on_broken,
                                                      .closed = on_closed,
                                                      .secured = on_secured};

/* ---- the life of a link ---- */

struct tg_link *tg_link_open(struct tg_link_pool *pool, const struct tg_origin *origin, int fd,
                             const struct tg_link_events *events, void *user) {
  uint64_t hash = tg_origin_hash(&pool->seed, origin);
  struct tg_link_slot *slot = find_slot(pool, hash, origin);
  struct tg_link *link = calloc(1, sizeof *link);
  if (!slot && link) slot = make_slot(pool, hash, origin);
  if (!link || !slot) {
    close(fd);
    free(link);
    return NULL;
  }
  slot->links++;
  link->pool = pool;
  link->slot = slot;
  link->events = events;
  link->user = user;
  link->is_unix = tg_slice_starts(origin->proxy_host.len ? origin->proxy_host : origin->host,
                                  TG_SLICE("unix:"));
  tg_list_init(&link->place);
  tg_list_init(&link->order);
  tg_wheel_node_init(&link->deadline, on_deadline);
  if (tg_stream_open(&link->stream, pool->loop, fd, link->is_unix, &stream_events)) {
    leave_slot(pool, slot);
    free(link);
    return NULL;
  }
  pool->links++;
  pool->stats.busy++;
  pool->stats.opened++;
  tg_list_append(&pool->busy, &link->order);
  return link;
}

struct tg_link *tg_link_take(struct tg_link_pool *pool, const struct tg_origin *origin,
                             const struct tg_link_events *events, void *user) {
  if (tg_list_empty(&pool->idle)) return NULL;
  struct tg_link_slot *slot = find_slot(pool, tg_origin_hash(&pool->seed, origin), origin);
  if (!slot || tg_list_empty(&slot->idle)) return NULL;
  struct tg_link *link = TG_CONTAINER(slot->idle.prev, struct tg_link, place);
  tg_list_remove(&link->place);
  tg_list_remove(&link->order);
  tg_list_append(&pool->busy, &link->order);
  tg_wheel_clear(&link->deadline);
  tg_stream_set_idle(&link->stream, false);
  link->events = events;
  link->user = user;
  pool->stats.idle--;
  pool->stats.busy++;
  pool->stats.reused++;
  return link;
}

static void set_deadline(struct tg_link *link, uint64_t time) {
  struct tg_loop *loop = link->pool->loop;
  uint64_t now = tg_loop_woken(loop);
  tg_wheel_set(&loop->wheel, &link->deadline, now, now + time);
}

static void leave_user(struct tg_link *link) {
  link->events = NULL;
  link->user = NULL;
}

void tg_link_give(struct tg_link *link) {
  struct tg_link_pool *pool = link->pool;
  leave_user(link);
  if (link->spoilt || link->ended || pool->closing || tg_buffer_size(&link->pending) ||
      tg_stream_queued(&link->stream) || !pool->idle_max) {
    tg_link_close(link);
    return;
  }
  tg_buffer_deinit(&link->pending);
  tg_list_remove(&link->order);
  tg_list_append(&pool->idle, &link->order);
  tg_list_append(&link->slot->idle, &link->place);
  link->served++;
  pool->stats.busy--;
  pool->stats.idle++;
  set_deadline(link, pool->idle_time);
  tg_stream_read_start(&link->stream);
  tg_stream_set_idle(&link->stream, true);
  if (pool->stats.idle > pool->idle_max)
    tg_link_close(TG_CONTAINER(pool->idle.next, struct tg_link, order));
}

void tg_link_drain(struct tg_link *link, uint64_t left) {
  leave_user(link);
  link->draining = left;
  tg_stream_set_idle(&link->stream, true);
  set_deadline(link, DRAIN_TIME);
  tg_stream_read_start(&link->stream);
}

void tg_link_close(struct tg_link *link) {
  struct tg_link_pool *pool = link->pool;
  if (link->stream.closing) return;
  leave_user(link);
  if (tg_list_empty(&link->place))
    pool->stats.busy--;
  else
    pool->stats.idle--;
  tg_list_remove(&link->place);
  tg_list_remove(&link->order);
  tg_wheel_remove(&pool->loop->wheel, &link->deadline);
  tg_buffer_deinit(&link->pending);
  tg_stream_close(&link->stream);
}
