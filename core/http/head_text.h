/* Text of a head, written where room has been reserved: for those who write heads, of requests and
 * of answers. */
#ifndef TG_HTTP_HEAD_TEXT_H
#define TG_HTTP_HEAD_TEXT_H

#include <string.h>

#include "base/slice.h"

/* Both return the place behind what was written. */
static inline char *tg_head_put(char *out, struct tg_slice bytes) {
  if (bytes.len == 0) return out;
  memcpy(out, bytes.ptr, bytes.len);
  return out + bytes.len;
}

#define TG_HEAD_PUT(out, literal) \
  ((char *)memcpy(out, literal, sizeof(literal) - 1) + sizeof(literal) - 1)

#endif
