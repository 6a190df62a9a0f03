/* The inside of the JSON encoder, for those that write a value by rules of their own
 * (schema_encode.c). json_text.c has what is no table, and the errors. */
#ifndef TG_BIND_JSON_ENCODER_H
#define TG_BIND_JSON_ENCODER_H

#include <lua.h>
#include <stdbool.h>
#include <string.h>

#include "base/check.h"
#include "bind/json.h"

#define TG_JSON_STACK 10 /* stack slots of one level: table, key, value, and those of plain.h */

/* A table that is being written; linked on the C stack. */
struct tg_json_frame {
  const struct tg_json_frame *up;
  const void *table;
  struct tg_slice key; /* of the member being written */
  size_t index;        /* of the element being written, from 1; 0: the key counts */
};

struct tg_json_encoder {
  lua_State *L;
  struct tg_buffer *out;
  size_t size_max; /* of the buffer's content */
  unsigned depth, depth_max;
  bool pretty, sorted;
  const struct tg_json_frame *frame;
  struct tg_json_error *err;
};

/* Fills an encoder by the options; `opts` may be NULL. */
void tg_json_encoder_init(struct tg_json_encoder *enc, lua_State *L, struct tg_buffer *out,
                          const struct tg_json_options *opts, struct tg_json_error *err);

/* After the last byte: holds the text to its limit, and takes back what was written of a value that
 * has failed. `before` is the size of the buffer's content at the beginning. */
TG_MUST_CHECK tg_status tg_json_encoder_end(struct tg_json_encoder *enc, tg_status status,
                                            size_t before);

/* Notes an error with the path to where the encoder is; returns the status. */
tg_status tg_json_fail(struct tg_json_encoder *enc, tg_status status, const char *text,
                       size_t offset);

tg_status tg_json_grow(struct tg_json_encoder *enc, size_t extra);

static inline tg_status tg_json_room(struct tg_json_encoder *enc, size_t extra) {
  if (TG_LIKELY(enc->out->cap - enc->out->len >= extra)) return TG_OK;
  return tg_json_grow(enc, extra);
}

static inline tg_status tg_json_put(struct tg_json_encoder *enc, const char *text, size_t len) {
  tg_status status = tg_json_room(enc, len);
  if (status) return status;
  memcpy(tg_buffer_tail(enc->out), text, len);
  tg_buffer_wrote(enc->out, len);
  return TG_OK;
}

static inline tg_status tg_json_put_char(struct tg_json_encoder *enc, char c) {
  tg_status status = tg_json_room(enc, 1);
  if (status) return status;
  *tg_buffer_tail(enc->out) = c;
  tg_buffer_wrote(enc->out, 1);
  return TG_OK;
}

/* Writes what is on top of the stack: a string given apart, anything that is no table, anything.
 * None of them throws. A table's inside may be left on the stack on failure. */
TG_MUST_CHECK tg_status tg_json_put_string(struct tg_json_encoder *enc, const char *ptr,
                                           size_t len);
TG_MUST_CHECK tg_status tg_json_put_scalar(struct tg_json_encoder *enc);
TG_MUST_CHECK tg_status tg_json_put_value(struct tg_json_encoder *enc);

#endif
