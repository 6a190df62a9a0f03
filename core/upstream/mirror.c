/* See mirror.h.
 *
 * A mirrored request belongs to its loop's list until it is over, and to the exchange as long as
 * that reads its body through it; whoever lets go last frees it. It starts by a flush job: after
 * the bytes of this turn have gone out. */
#include "upstream/mirror.h"

#include <stdlib.h>

#include "base/buffer.h"
#include "base/check.h"
#include "base/log_record.h"
#include "upstream/affinity.h"
#include "upstream/group_state.h"

/* Those of one loop; hangs from it. */
struct mirrors {
  struct tg_loop_annex annex;
  struct tg_loop *loop;
  struct tg_list list;
  uint64_t random;
};

struct tg_mirror {
  struct tg_list link;
  struct mirrors *home;
  struct tg_log *log;
  bool held;      /* by the exchange: its body goes through `tee` */
  bool whole;     /* all of the request is here */
  bool delivered; /* the delivery was begun */
  bool over;
  struct tg_source tee, *from;
  tg_source_cb done; /* a read that waits */
  void *owner;
  uint64_t max_body, length;
  struct tg_buffer body;
  struct tg_loop_job start;
  struct tg_pick bound;
  struct tg_delivery_order order;
  struct tg_relay rest; /* of the reply, to nowhere */
  struct tg_sink nowhere;
  struct tg_arena arena;
  char memory[1024];
  struct tg_delivery delivery;
};

static struct tg_group_mirrors *counts_of(const struct tg_mirror *mirror) {
  return &mirror->order.group->mirrors;
}

/* ---- the end ---- */

static void free_if_over(struct tg_mirror *mirror) {
  if (!mirror->over || mirror->held) return;
  tg_arena_reset(&mirror->arena);
  free(mirror);
}

static void leave(struct tg_mirror *mirror) {
  struct tg_group_mirrors *counts = counts_of(mirror);
  mirror->over = true;
  tg_list_remove(&mirror->link);
  tg_loop_job_remove(&mirror->start);
  atomic_fetch_sub(&counts->bytes, tg_buffer_size(&mirror->body));
  atomic_fetch_sub(&counts->active, 1);
  tg_buffer_deinit(&mirror->body);
}

/* It was to be mirrored, and is not. */
static void drop(struct tg_mirror *mirror) {
  atomic_fetch_add(&counts_of(mirror)->dropped, 1);
  leave(mirror);
}

static void end(struct tg_mirror *mirror) {
  leave(mirror);
  free_if_over(mirror);
}

void tg_mirror_release(struct tg_mirror *mirror) {
  if (!mirror) return;
  mirror->held = false;
  if (!mirror->over && !mirror->whole) drop(mirror);
  free_if_over(mirror);
}

/* ---- those of a loop ---- */

static void close_mirrors(struct tg_loop_annex *annex) {
  struct mirrors *mirrors = TG_CONTAINER(annex, struct mirrors, annex);
  struct tg_list *link;
  while ((link = tg_list_take_first(&mirrors->list))) {
    struct tg_mirror *mirror = TG_CONTAINER(link, struct tg_mirror, link);
    tg_relay_cancel(&mirror->rest);
    if (mirror->delivered) tg_delivery_cancel(&mirror->delivery);
    end(mirror);
  }
  free(mirrors);
}

/* The pool of links is older, so that it is closed after. */
static struct mirrors *mirrors_of(struct tg_loop *loop) {
  struct tg_loop_annex *annex = tg_loop_annex_of(loop, close_mirrors);
  if (annex) return TG_CONTAINER(annex, struct mirrors, annex);
  struct mirrors *mirrors = tg_link_pool_of(loop) ? calloc(1, sizeof *mirrors) : NULL;
  if (!mirrors) return NULL;
  mirrors->loop = loop;
  mirrors->annex.close = close_mirrors;
  mirrors->random = (tg_clock_now() ^ (uint64_t)loop->index << 48) | 1;
  tg_list_init(&mirrors->list);
  tg_loop_attach(loop, &mirrors->annex);
  return mirrors;
}

/* xorshift64*; its upper bits make a number from 0 to below 1. */
static bool draw(struct mirrors *mirrors, double share) {
  uint64_t x = mirrors->random;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  mirrors->random = x;
  return (double)((x * UINT64_C(0x2545f4914f6cdd1d)) >> 11) * 0x1p-53 < share;
}

/* ---- the delivery ---- */

static struct tg_mirror *of_delivery(struct tg_delivery *delivery) {
  return TG_CONTAINER(delivery, struct tg_mirror, delivery);
}

static tg_status write_nowhere(struct tg_sink *sink, struct tg_slice bytes) {
  (void)sink, (void)bytes;
  return TG_OK;
}

static void on_rest(struct tg_relay *relay, tg_status status) {
  (void)relay, (void)status; /* `ended` follows */
}

static void on_head(struct tg_delivery *delivery) {
  struct tg_mirror *mirror = of_delivery(delivery);
  mirror->nowhere.write = write_nowhere;
  tg_relay_start(&mirror->rest, &delivery->call->body, &mirror->nowhere, on_rest);
}

/* Nobody misses it, and what is wrong with a peer is told by its state: so it is said quietly. */
static void note(const struct tg_mirror *mirror, tg_status status) {
  const struct tg_delivery *delivery = &mirror->delivery;
  struct tg_log *log = mirror->log;
  struct tg_log_record record;
  if (!log || !tg_log_enabled(log, TG_LOG_DEBUG)) return;
  tg_log_record_begin(&record, log, TG_LOG_DEBUG, TG_SLICE("a mirrored request failed"));
  tg_log_record_text(&record, "upstream", tg_group_name(mirror->order.group));
  if (delivery->peer) tg_log_record_text(&record, "peer", delivery->peer->address);
  tg_log_record_text(&record, "code", tg_slice_cstr(tg_status_name(status)));
  tg_log_record_text(&record, "reason",
                     tg_slice_cstr(delivery->detail ? delivery->detail : tg_status_text(status)));
  tg_log_record_end(&record, log);
}

static void on_failed(struct tg_delivery *delivery, tg_status status) {
  struct tg_mirror *mirror = of_delivery(delivery);
  note(mirror, status);
  end(mirror);
}

static void on_ended(struct tg_delivery *delivery) {
  struct tg_mirror *mirror = of_delivery(delivery);
  if (delivery->call->body_status) note(mirror, delivery->call->body_status);
  end(mirror);
}

static const struct tg_delivery_events events = {
    .head = on_head, .failed = on_failed, .ended = on_ended};

static void on_start(struct tg_loop_job *job) {
  struct tg_mirror *mirror = TG_CONTAINER(job, struct tg_mirror, start);
  struct tg_loop *loop = mirror->home->loop;
  mirror->order.call.bytes = tg_buffer_slice(&mirror->body);
  tg_status status = tg_delivery_start(&mirror->delivery, loop, &mirror->order, &events);
  if (status) {
    note(mirror, status);
    drop(mirror);
    free_if_over(mirror);
    return;
  }
  mirror->delivered = true;
  atomic_fetch_add(&counts_of(mirror)->sent, 1);
}

/* ---- the body ---- */

/* False: it cannot be mirrored. */
static bool keep(struct tg_mirror *mirror, struct tg_slice bytes) {
  struct tg_group_mirrors *counts = counts_of(mirror);
  bool fits = tg_buffer_size(&mirror->body) + bytes.len <= mirror->max_body;
  if (fits && atomic_fetch_add(&counts->bytes, bytes.len) + bytes.len > TG_MIRROR_BYTES) {
    atomic_fetch_sub(&counts->bytes, bytes.len);
    fits = false;
  } else if (fits && tg_buffer_append(&mirror->body, bytes.ptr, bytes.len)) {
    atomic_fetch_sub(&counts->bytes, bytes.len);
    fits = false;
  }
  return fits;
}

/* A body that says its length is whole with its last byte: the backend may answer before its end
 * is read. */
static bool take(struct tg_mirror *mirror, struct tg_slice bytes) {
  if (mirror->over || mirror->whole) return false;
  if (!bytes.len) return true;
  if (keep(mirror, bytes)) return tg_buffer_size(&mirror->body) == mirror->length;
  drop(mirror);
  return false;
}

/* Who reads comes first, and may release the mirror when he is told: being whole, it lives on. */
static void on_bytes(void *owner, tg_status status, struct tg_slice bytes) {
  struct tg_mirror *mirror = owner;
  tg_source_cb done = mirror->done;
  bool now_whole = status == TG_OK && take(mirror, bytes);
  mirror->done = NULL;
  mirror->whole |= now_whole;
  done(mirror->owner, status, bytes);
  if (now_whole) tg_loop_post_flush(mirror->home->loop, &mirror->start);
}

static void tee_read(struct tg_source *source, tg_source_cb done, void *owner) {
  struct tg_mirror *mirror = TG_CONTAINER(source, struct tg_mirror, tee);
  mirror->done = done;
  mirror->owner = owner;
  mirror->from->read(mirror->from, on_bytes, mirror);
}

static void tee_cancel(struct tg_source *source) {
  struct tg_mirror *mirror = TG_CONTAINER(source, struct tg_mirror, tee);
  mirror->done = NULL;
  mirror->from->cancel(mirror->from);
}

static void read_through(struct tg_mirror *mirror, struct tg_delivery_order *order) {
  mirror->held = true;
  mirror->from = order->call.source;
  mirror->length = order->call.length;
  mirror->tee = (struct tg_source){.read = tee_read, .cancel = tee_cancel};
  order->call.source = &mirror->tee;
}

/* ---- the copy ---- */

static struct tg_slice copy(struct tg_mirror *mirror, struct tg_slice bytes, bool *whole) {
  struct tg_slice out = tg_arena_copy(&mirror->arena, bytes);
  if (bytes.len && !out.ptr) *whole = false;
  return out;
}

/* Which peer it is bound to is read now, while the request is there. */
static bool read_binding(struct tg_mirror *mirror, const struct tg_delivery_order *order) {
  struct tg_rules *rules = tg_group_hold_rules(mirror->order.group);
  bool whole = true;
  if (order->request) tg_affinity_read(rules, order->request, order->client, &mirror->bound);
  mirror->bound.sticky = copy(mirror, mirror->bound.sticky, &whole);
  if (!rules->timeouts.total) mirror->order.timeouts.total = TG_MIRROR_TOTAL;
  tg_rules_release(rules);
  return whole;
}

/* False: no memory. */
static bool copy_order(struct tg_mirror *mirror, const struct tg_delivery_order *order) {
  const struct tg_call_request *from = &order->call;
  struct tg_call_request *call = &mirror->order.call;
  bool whole = true;
  mirror->order.once = true;
  mirror->order.bound = &mirror->bound;
  *call = (struct tg_call_request){.method = copy(mirror, from->method, &whole),
                                   .target = copy(mirror, from->target, &whole),
                                   .authority = copy(mirror, from->authority, &whole),
                                   .idempotent = from->idempotent,
                                   .length = TG_LENGTH_NONE,
                                   .arena = &mirror->arena};
  struct tg_response_field *fields =
      tg_arena_alloc(&mirror->arena, (from->field_count + 1) * sizeof *fields);
  if (!fields) return false;
  for (size_t i = 0; i < from->field_count; i++)
    fields[i] = (struct tg_response_field){copy(mirror, from->fields[i].name, &whole),
                                           copy(mirror, from->fields[i].value, &whole)};
  fields[from->field_count] = (struct tg_response_field){TG_SLICE("X-Mirrored"), TG_SLICE("1")};
  call->fields = fields;
  call->field_count = from->field_count + 1;
  return whole && read_binding(mirror, order);
}

/* A body that says how long it is need not be begun with. */
static bool too_long(const struct tg_mirror_rule *rule, const struct tg_call_request *call) {
  if (call->bytes.len) return call->bytes.len > rule->max_body;
  return call->source && call->length != TG_LENGTH_CHUNKED && call->length > rule->max_body;
}

static struct tg_mirror *make(struct mirrors *home, struct tg_group *group, struct tg_log *log) {
  struct tg_mirror *mirror = malloc(sizeof *mirror);
  if (!mirror) return NULL;
  memset(mirror, 0, offsetof(struct tg_mirror, memory));
  mirror->home = home;
  mirror->log = log;
  mirror->order.group = group;
  tg_arena_init(&mirror->arena, mirror->memory, sizeof mirror->memory);
  tg_loop_job_init(&mirror->start, on_start);
  tg_list_init(&mirror->link);
  tg_list_append(&home->list, &mirror->link);
  atomic_fetch_add(&group->mirrors.active, 1);
  return mirror;
}

struct tg_mirror *tg_mirror_begin(struct tg_loop *loop, const struct tg_mirror_rule *rule,
                                  struct tg_delivery_order *order, struct tg_log *log) {
  struct tg_group *group = rule->group;
  const struct tg_call_request *call = &order->call;
  if (!group || call->upgrade) return NULL;
  struct mirrors *home = mirrors_of(loop);
  if (home && !draw(home, rule->share)) return NULL;
  bool room = atomic_load(&group->mirrors.active) < TG_MIRROR_MOST && !too_long(rule, call);
  struct tg_mirror *mirror = home && room ? make(home, group, log) : NULL;
  if (!mirror) {
    atomic_fetch_add(&group->mirrors.dropped, 1);
    return NULL;
  }
  mirror->max_body = rule->max_body;
  if (!copy_order(mirror, order) || (call->bytes.len && !keep(mirror, call->bytes))) {
    drop(mirror);
    free_if_over(mirror);
    return NULL;
  }
  if (call->source) {
    read_through(mirror, order);
    return mirror;
  }
  mirror->whole = true;
  tg_loop_post_flush(loop, &mirror->start);
  return NULL;
}
