/* The bytes of a head, or of trailers, while they come, and where the field lines lie in them; for
 * h1_message.c, which says what a block is. tg_h1_message_gather ends it. */
#ifndef TG_HTTP_H1_BLOCK_H
#define TG_HTTP_H1_BLOCK_H

#include "http/h1_message.h"

struct tg_h1_span {
  uint32_t name, name_len;
  uint32_t value, value_len;
};

void tg_h1_block_begin(struct tg_h1_message *message);

/* One more field line, not cleared; NULL when memory is gone. */
struct tg_h1_span *tg_h1_block_add(struct tg_h1_message *message);

/* Keeps a copy of the fed bytes of a block that goes on. False: no memory. */
bool tg_h1_block_keep(struct tg_h1_message *message, struct tg_slice bytes);

#endif
