/* A growable run of bytes on the heap, read from the front and written at the end.
 *
 * Used for output that waits for a socket, for bodies that are collected, and for text that is
 * built. The caller owns the structure; an empty buffer holds no memory after tg_buffer_deinit. */
#ifndef TG_BASE_BUFFER_H
#define TG_BASE_BUFFER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/slice.h"
#include "base/status.h"

struct tg_buffer {
  char *data;
  size_t head; /* first byte that was not consumed */
  size_t len;  /* end of what was written */
  size_t cap;
};

static inline void tg_buffer_init(struct tg_buffer *buffer) {
  *buffer = (struct tg_buffer){0};
}

/* Frees the memory; the buffer is empty and usable again. */
void tg_buffer_deinit(struct tg_buffer *buffer);

/* For tg_buffer_reserve, where there is no room. */
TG_MUST_CHECK tg_status tg_buffer_grow(struct tg_buffer *buffer, size_t extra);

/* Makes room for `extra` more bytes after the end. TG_ENOMEM leaves the buffer as it was. */
TG_MUST_CHECK static inline tg_status tg_buffer_reserve(struct tg_buffer *buffer, size_t extra) {
  if (TG_LIKELY(buffer->cap - buffer->len >= extra)) return TG_OK;
  return tg_buffer_grow(buffer, extra);
}

/* Appends a copy of the bytes. TG_ENOMEM leaves the buffer as it was. */
TG_MUST_CHECK static inline tg_status tg_buffer_append(struct tg_buffer *buffer, const void *bytes,
                                                       size_t len) {
  if (len == 0) return TG_OK;
  tg_status status = tg_buffer_reserve(buffer, len);
  if (status) return status;
  memcpy(buffer->data + buffer->len, bytes, len);
  buffer->len += len;
  return TG_OK;
}

/* Appends formatted text (printf rules). */
TG_MUST_CHECK __attribute__((format(printf, 2, 3))) tg_status tg_buffer_format(
    struct tg_buffer *buffer, const char *format, ...);

static inline size_t tg_buffer_size(const struct tg_buffer *buffer) {
  return buffer->len - buffer->head;
}

/* The unread bytes; valid until the buffer changes. */
static inline struct tg_slice tg_buffer_slice(const struct tg_buffer *buffer) {
  if (!buffer->data) return tg_slice(NULL, 0);
  return tg_slice(buffer->data + buffer->head, buffer->len - buffer->head);
}

/* Drops `n` bytes from the front; an emptied buffer starts over at its beginning. */
static inline void tg_buffer_consume(struct tg_buffer *buffer, size_t n) {
  buffer->head += n;
  if (buffer->head == buffer->len) buffer->head = buffer->len = 0;
}

static inline void tg_buffer_clear(struct tg_buffer *buffer) {
  buffer->head = buffer->len = 0;
}

/* Where the next byte goes; only after tg_buffer_reserve, followed by tg_buffer_wrote. */
static inline char *tg_buffer_tail(struct tg_buffer *buffer) {
  return buffer->data + buffer->len;
}
static inline void tg_buffer_wrote(struct tg_buffer *buffer, size_t n) {
  buffer->len += n;
}

#endif
