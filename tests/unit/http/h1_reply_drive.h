/* Drives tg_h1_reply over the bytes of one backend's connection, and writes down everything that it
 * says; see h1_drive.h. The end of the input is the end of the connection. */
#ifndef TG_TESTS_H1_REPLY_DRIVE_H
#define TG_TESTS_H1_REPLY_DRIVE_H

#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/check.h"
#include "http/h1_reply.h"

struct reply_drive {
  enum tg_reply_to to;
  uint32_t head_bytes, head_fields;
  struct tg_buffer text; /* all that was said: heads, fields, bodies, trailers */
  /* A word for each head, its status, and one for the end: ok (the link may be used again), close
   * (whole, but it may not), cut, or bad. */
  char verdict[256];
  const char *error; /* why it is bad */
  size_t left;       /* bytes behind the reply */
};

static inline void reply_drive_init(struct reply_drive *d) {
  *d = (struct reply_drive){.head_bytes = 32768, .head_fields = 100};
}

static inline void reply_drive_word(struct reply_drive *d, const char *word) {
  size_t len = strlen(d->verdict);
  if (len + strlen(word) + 2 < sizeof d->verdict)
    snprintf(d->verdict + len, sizeof d->verdict - len, "%s%s", len ? " " : "", word);
}

static inline void reply_drive_slice(struct reply_drive *d, struct tg_slice s) {
  TG_CHECK(tg_buffer_append(&d->text, s.ptr, s.len) == TG_OK);
  TG_CHECK(tg_buffer_append(&d->text, "\n", 1) == TG_OK);
}

static inline void reply_drive_fields(struct reply_drive *d, const struct tg_field *fields,
                                      uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    reply_drive_slice(d, fields[i].name);
    reply_drive_slice(d, fields[i].value);
  }
}

static inline void reply_drive_head(struct reply_drive *d, const struct tg_reply *r) {
  char line[128];
  snprintf(line, sizeof line, "%d minor=%d keep=%d chunked=%d close=%d body=%d up=%d length=%lld",
           r->status, r->minor, r->keep_alive, r->chunked, r->until_close, r->has_body, r->upgrade,
           (long long)r->content_length);
  reply_drive_slice(d, tg_slice_cstr(line));
  reply_drive_slice(d, r->reason);
  reply_drive_fields(d, r->fields, r->field_count);
  snprintf(line, sizeof line, "%d", r->status);
  reply_drive_word(d, line);
}

static inline bool reply_drive_final(const struct tg_reply *r) {
  return r->status >= 200 || r->status == 101;
}

/* One event; true: the reply has ended. */
static inline bool reply_drive_event(struct reply_drive *d, struct tg_h1_reply *h1,
                                     enum tg_h1_event event, struct tg_slice fed) {
  switch (event) {
    case TG_H1_MORE: return false;
    case TG_H1_HEAD:
      reply_drive_head(d, &h1->reply);
      if (h1->reply.has_body || !reply_drive_final(&h1->reply)) return false;
      reply_drive_word(d, h1->reply.keep_alive ? "ok" : "close");
      return true;
    case TG_H1_BODY:
      TG_CHECK(h1->message.body.len && h1->message.body.ptr >= fed.ptr &&
               h1->message.body.ptr + h1->message.body.len <= fed.ptr + fed.len);
      TG_CHECK(tg_buffer_append(&d->text, h1->message.body.ptr, h1->message.body.len) == TG_OK);
      return false;
    case TG_H1_END:
      reply_drive_fields(d, h1->reply.trailers, h1->reply.trailer_count);
      reply_drive_word(d, h1->reply.keep_alive ? "ok" : "close");
      return true;
    case TG_H1_ERROR:
      TG_CHECK(h1->message.error_status == 502 && h1->message.error_text);
      d->error = h1->message.error_text;
      reply_drive_word(d, "bad");
      return true;
  }
  return true;
}

/* Runs over `input` in pieces of so many bytes (0: whole). The results lie in *d until the next
 * run. */
static inline void reply_drive_run(struct reply_drive *d, struct tg_slice input, size_t piece) {
  struct tg_h1_reply h1;
  struct tg_arena arena;
  size_t at = 0;
  bool ended = false, due = false;
  tg_buffer_clear(&d->text);
  d->verdict[0] = '\0';
  d->error = NULL;
  tg_arena_init(&arena, NULL, 0);
  tg_h1_reply_init(&h1, &arena, d->to, d->head_bytes, d->head_fields);
  while (!ended && (at < input.len || due)) {
    size_t used = 0, len = input.len - at;
    if (piece && len > piece) len = piece;
    char *copy = malloc(len ? len : 1);
    TG_CHECK(copy);
    if (len) memcpy(copy, input.ptr + at, len);
    struct tg_slice fed = tg_slice(len ? copy : NULL, len);
    enum tg_h1_event event = tg_h1_reply_feed(&h1, fed, &used);
    TG_CHECK(used <= len && (event != TG_H1_MORE || used == len));
    at += used;
    due = event == TG_H1_BODY || event == TG_H1_HEAD;
    ended = reply_drive_event(d, &h1, event, fed);
    free(copy);
  }
  if (!ended) reply_drive_word(d, tg_h1_reply_ends_here(&h1) ? "close" : "cut");
  d->left = input.len - at;
  tg_arena_reset(&arena);
}

static inline void reply_drive_deinit(struct reply_drive *d) {
  tg_buffer_deinit(&d->text);
}

#endif
