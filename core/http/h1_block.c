#include "http/h1_block.h"

#define SPANS_FIRST 16
#define KEPT_FIRST  512

void tg_h1_block_begin(struct tg_h1_message *message) {
  message->p.kept = NULL;
  message->p.kept_len = message->p.kept_cap = 0;
  message->span_count = 0;
}

static bool grow_spans(struct tg_h1_message *message) {
  uint32_t cap = message->p.span_cap ? message->p.span_cap * 2 : SPANS_FIRST;
  struct tg_h1_span *spans = tg_arena_alloc(message->arena, cap * sizeof *spans);
  if (!spans) return false;
  if (message->span_count) memcpy(spans, message->p.spans, message->span_count * sizeof *spans);
  message->p.spans = spans;
  message->p.span_cap = cap;
  return true;
}

struct tg_h1_span *tg_h1_block_add(struct tg_h1_message *message) {
  if (message->span_count == message->p.span_cap && !grow_spans(message)) return NULL;
  return &message->p.spans[message->span_count++];
}

bool tg_h1_block_keep(struct tg_h1_message *message, struct tg_slice bytes) {
  struct tg_h1_private *p = &message->p;
  if (p->kept_cap - p->kept_len < bytes.len) {
    size_t cap = p->kept_cap ? p->kept_cap : KEPT_FIRST;
    while (cap - p->kept_len < bytes.len) cap *= 2;
    char *kept = tg_arena_alloc(message->arena, cap);
    if (!kept) return false;
    if (p->kept_len) memcpy(kept, p->kept, p->kept_len);
    p->kept = kept;
    p->kept_cap = (uint32_t)cap;
  }
  memcpy(p->kept + p->kept_len, bytes.ptr, bytes.len);
  p->kept_len += (uint32_t)bytes.len;
  return true;
}

/* The whole block in one piece, in the arena; NULL when memory is gone. */
static const char *gather(struct tg_h1_message *message, struct tg_slice last) {
  if (message->p.kept_len == 0) return tg_arena_copy(message->arena, last).ptr;
  return tg_h1_block_keep(message, last) ? message->p.kept : NULL;
}

static bool make_fields(struct tg_h1_message *message, const char *block, struct tg_field **out) {
  uint32_t count = message->span_count;
  if (count == 0) return true;
  struct tg_field *fields = tg_arena_alloc(message->arena, count * sizeof *fields);
  if (!fields) return false;
  for (uint32_t i = 0; i < count; i++) {
    const struct tg_h1_span *span = &message->p.spans[i];
    fields[i].name = tg_slice(block + span->name, span->name_len);
    fields[i].value = tg_slice_trim(tg_slice(block + span->value, span->value_len));
    fields[i].known = tg_request_field_name(fields[i].name);
  }
  *out = fields;
  return true;
}

const char *tg_h1_message_gather(struct tg_h1_message *message, struct tg_slice last,
                                 struct tg_field **fields) {
  const char *block = gather(message, last);
  *fields = NULL;
  return block && make_fields(message, block, fields) ? block : NULL;
}
