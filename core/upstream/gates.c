/* See gates.h. What is not used any more goes when the next one is made in its bucket, so that
 * names that come and go, as those of hosts, take no more room than those in use at once. */
#include "upstream/gates.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"

#define BUCKETS 256u

struct named_gate {
  struct tg_gate gate;
  struct tg_list link;
  unsigned holds;
  size_t len;
  char name[];
};

struct tg_gates {
  pthread_mutex_t lock;
  struct tg_hash_seed seed;
  unsigned count;
  struct tg_list buckets[BUCKETS];
};

struct tg_gates *tg_gates_new(void) {
  struct tg_gates *gates = calloc(1, sizeof *gates);
  if (!gates) return NULL;
  TG_CHECK(pthread_mutex_init(&gates->lock, NULL) == 0);
  tg_hash_seed_init(&gates->seed);
  for (unsigned i = 0; i < BUCKETS; i++) tg_list_init(&gates->buckets[i]);
  return gates;
}

/* It is in no list any more. */
static void free_gate(struct named_gate *named) {
  tg_gate_deinit(&named->gate);
  free(named);
}

void tg_gates_free(struct tg_gates *gates) {
  if (!gates) return;
  struct tg_list *link;
  for (unsigned i = 0; i < BUCKETS; i++)
    while ((link = tg_list_take_first(&gates->buckets[i])))
      free_gate(TG_CONTAINER(link, struct named_gate, link));
  pthread_mutex_destroy(&gates->lock);
  free(gates);
}

/* Who has given up while he was let in counts as inside until his letter is home. */
static bool is_unused(struct named_gate *named) {
  pthread_mutex_lock(&named->gate.lock);
  bool empty = !named->gate.inside && !named->gate.waiting;
  pthread_mutex_unlock(&named->gate.lock);
  return empty && !named->holds;
}

static struct named_gate *find(struct tg_gates *gates, struct tg_list *bucket,
                               struct tg_slice name) {
  struct tg_list *next;
  for (struct tg_list *link = bucket->next; link != bucket; link = next) {
    struct named_gate *named = TG_CONTAINER(link, struct named_gate, link);
    next = link->next;
    if (tg_slice_eq(tg_slice(named->name, named->len), name)) return named;
    if (!is_unused(named)) continue;
    tg_list_remove(link);
    free_gate(named);
    gates->count--;
  }
  return NULL;
}

static struct named_gate *add(struct tg_gates *gates, struct tg_list *bucket,
                              struct tg_slice name) {
  struct named_gate *named = malloc(sizeof *named + name.len);
  if (!named) return NULL;
  tg_gate_init(&named->gate);
  named->holds = 0;
  named->len = name.len;
  if (name.len) memcpy(named->name, name.ptr, name.len);
  tg_list_init(&named->link);
  tg_list_append(bucket, &named->link);
  gates->count++;
  return named;
}

struct tg_gate *tg_gates_hold(struct tg_gates *gates, struct tg_slice name, uint32_t limit,
                              uint32_t room) {
  pthread_mutex_lock(&gates->lock);
  struct tg_list *bucket = &gates->buckets[tg_hash(&gates->seed, name) % BUCKETS];
  struct named_gate *named = find(gates, bucket, name);
  if (!named) named = add(gates, bucket, name);
  if (named) named->holds++;
  pthread_mutex_unlock(&gates->lock);
  if (named) tg_gate_set(&named->gate, limit, room);
  return named ? &named->gate : NULL;
}

void tg_gates_release(struct tg_gates *gates, struct tg_gate *gate) {
  struct named_gate *named = TG_CONTAINER(gate, struct named_gate, gate);
  pthread_mutex_lock(&gates->lock);
  TG_CHECK(named->holds);
  named->holds--;
  pthread_mutex_unlock(&gates->lock);
}

unsigned tg_gates_count(struct tg_gates *gates) {
  pthread_mutex_lock(&gates->lock);
  unsigned count = gates->count;
  pthread_mutex_unlock(&gates->lock);
  return count;
}
