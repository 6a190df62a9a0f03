/* Growth of tg_buffer: doubling, and moving the unread part to the front before growing. */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void tg_buffer_deinit(struct tg_buffer *buffer) {
  free(buffer->data);
  *buffer = (struct tg_buffer){0};
}

tg_status tg_buffer_grow(struct tg_buffer *buffer, size_t extra) {
  size_t used = buffer->len - buffer->head;
  if (extra > SIZE_MAX / 4 - used) return TG_ENOMEM;
  /* Moving is only worth it while it frees at least as much as it copies. */
  if (buffer->head >= used && buffer->cap - used >= extra) {
    if (used) memmove(buffer->data, buffer->data + buffer->head, used);
    buffer->head = 0;
    buffer->len = used;
    return TG_OK;
  }
  size_t cap = buffer->cap ? buffer->cap : 256;
  while (cap - used < extra || cap < used) cap *= 2;
  char *data = malloc(cap);
  if (!data) return TG_ENOMEM;
  if (used) memcpy(data, buffer->data + buffer->head, used);
  free(buffer->data);
  *buffer = (struct tg_buffer){.data = data, .len = used, .cap = cap};
  return TG_OK;
}

tg_status tg_buffer_format(struct tg_buffer *buffer, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  int need = vsnprintf(NULL, 0, format, args);
  va_end(args);
  tg_status status = need < 0 ? TG_EINVALID : tg_buffer_reserve(buffer, (size_t)need + 1);
  if (status == TG_OK) {
    vsnprintf(buffer->data + buffer->len, (size_t)need + 1, format, again);
    buffer->len += (size_t)need;
  }
  va_end(again);
  return status;
}
