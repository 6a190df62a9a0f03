/* Drives tg_h1 over a stream of bytes as a server would, and writes down everything that it says.
 *
 * Each piece is handed over in a heap block of exactly its size, so that a read past it is seen by
 * the address sanitizer. Two runs over the same bytes, cut differently, must give the same text. */
#ifndef TG_TESTS_H1_DRIVE_H
#define TG_TESTS_H1_DRIVE_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/check.h"
#include "http/h1.h"

struct drive {
  struct tg_settings settings;
  uint64_t body_max;     /* set after each head when not 0, as a route's max_body is */
  size_t messages_max;   /* stops after so many messages; 0: never */
  struct tg_buffer text; /* all that was said: fields, bodies, ends */
  char verdict[256];     /* one word a message: ok, close, more, or the status of the refusal */
  const char *error;     /* text of the refusal */
  size_t left;           /* bytes that were not used */
};

static inline void drive_init(struct drive *d) {
  *d = (struct drive){0};
  tg_settings_init(&d->settings);
}

static inline void drive_deinit(struct drive *d) {
  tg_buffer_deinit(&d->text);
}

/* What was said; an empty text has no memory to point into. */
static inline struct tg_slice drive_text(const struct drive *d) {
  return tg_slice(d->text.data, d->text.len);
}

__attribute__((format(printf, 2, 3))) static inline void drive_say(struct drive *d,
                                                                   const char *format, ...) {
  char line[256];
  va_list args;
  va_start(args, format);
  int len = vsnprintf(line, sizeof line, format, args);
  va_end(args);
  TG_CHECK(len >= 0 && (size_t)len < sizeof line);
  TG_CHECK(tg_buffer_append(&d->text, line, (size_t)len) == TG_OK);
}

static inline void drive_slice(struct drive *d, const char *name, struct tg_slice s) {
  drive_say(d, "%s=", name);
  TG_CHECK(tg_buffer_append(&d->text, s.ptr, s.len) == TG_OK);
  drive_say(d, "\n");
}

static inline void drive_fields(struct drive *d, const struct tg_field *fields, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    drive_say(d, "field %d ", (int)fields[i].known);
    drive_slice(d, "name", fields[i].name);
    drive_slice(d, "value", fields[i].value);
  }
}

static inline void drive_head(struct drive *d, const struct tg_request *r) {
  drive_say(d, "head minor=%d keep=%d chunked=%d body=%d expect=%d upgrade=%d length=%llu\n",
            r->minor, r->keep_alive, r->chunked, r->has_body, r->expect_continue, r->upgrade,
            (unsigned long long)r->content_length);
  drive_slice(d, "method", r->method_name);
  drive_slice(d, "target", r->target);
  drive_slice(d, "raw_path", r->raw_path);
  drive_slice(d, "path", r->path);
  drive_slice(d, "query", r->query);
  drive_slice(d, "host", r->host);
  drive_fields(d, r->fields, r->field_count);
}

static inline void drive_word(struct drive *d, const char *word) {
  size_t len = strlen(d->verdict);
  if (len + strlen(word) + 2 < sizeof d->verdict)
    snprintf(d->verdict + len, sizeof d->verdict - len, "%s%s", len ? " " : "", word);
}

/* Feeds what there is of one message; *at moves on. Returns true when the message has ended. */
static inline bool drive_message(struct drive *d, struct tg_h1 *h1, struct tg_slice input,
                                 size_t *at, size_t piece, bool *refused) {
  bool pending = false;
  for (;;) {
    size_t len = input.len - *at;
    if (len == 0 && !pending) return false;
    if (piece && len > piece) len = piece;
    char *copy = malloc(len ? len : 1);
    TG_CHECK(copy);
    if (len) memcpy(copy, input.ptr + *at, len);
    size_t used = 0;
    enum tg_h1_event event = tg_h1_feed(h1, tg_slice(len ? copy : NULL, len), &used);
    TG_CHECK(used <= len);
    TG_CHECK(event != TG_H1_MORE || used == len);
    *at += used;
    pending = event != TG_H1_MORE;
    bool ended = event == TG_H1_END || (event == TG_H1_HEAD && !h1->request.has_body);
    if (event == TG_H1_BODY) {
      TG_CHECK(h1->message.body.len && h1->message.body.ptr >= copy &&
               h1->message.body.ptr + h1->message.body.len <= copy + len);
      TG_CHECK(tg_buffer_append(&d->text, h1->message.body.ptr, h1->message.body.len) == TG_OK);
    }
    free(copy);
    if (event == TG_H1_HEAD) {
      drive_head(d, &h1->request);
      if (d->body_max) h1->message.body_max = d->body_max;
    }
    if (event == TG_H1_ERROR) {
      TG_CHECK(h1->message.error_status >= 400 && h1->message.error_text && h1->message.started);
      char word[16];
      snprintf(word, sizeof word, "%d", h1->message.error_status);
      drive_word(d, word);
      d->error = h1->message.error_text;
      *refused = true;
      return true;
    }
    if (ended) return true;
  }
}

/* Runs over `input` in pieces of so many bytes (0: whole). The results lie in *d until the next
 * run. */
static inline void drive_run(struct drive *d, struct tg_slice input, size_t piece) {
  tg_buffer_clear(&d->text);
  d->verdict[0] = '\0';
  d->error = NULL;
  size_t at = 0, messages = 0;
  bool open = true;
  while (open && at < input.len && !(d->messages_max && messages == d->messages_max)) {
    struct tg_h1 h1;
    struct tg_arena arena;
    bool refused = false;
    tg_arena_init(&arena, NULL, 0);
    tg_h1_init(&h1, &arena, &d->settings);
    if (!drive_message(d, &h1, input, &at, piece, &refused)) {
      if (h1.message.started) drive_word(d, "more");
      open = false;
    } else if (refused) {
      open = false;
    } else {
      drive_say(d, "\nend\n");
      drive_fields(d, h1.request.trailers, h1.request.trailer_count);
      drive_word(d, h1.request.keep_alive ? "ok" : "close");
      open = h1.request.keep_alive;
      messages++;
    }
    tg_arena_reset(&arena);
  }
  d->left = input.len - at;
}

#endif
