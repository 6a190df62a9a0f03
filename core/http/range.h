/* Ranges of a body (RFC 9110 section 14): reading the Range field. Pure bytes. */
#ifndef TG_HTTP_RANGE_H
#define TG_HTTP_RANGE_H

#include <stdint.h>

#include "base/slice.h"

/* A client that asks for more than these at once gets the whole body: a field of a few hundred
 * bytes must not become an answer of many parts (RFC 9110 section 17.15). */
#define TG_RANGES_MAX 16

/* Bytes from `first` to `last`, both included, inside of the body. */
struct tg_range {
  uint64_t first, last;
};

enum tg_range_result {
  TG_RANGE_NONE,          /* answer with the whole body: no ranges of bytes, malformed, too many */
  TG_RANGE_SOME,          /* 206 */
  TG_RANGE_UNSATISFIABLE, /* 416: well formed, but no range begins inside of the body */
};

/* Reads the value of a Range field for a body of `size` bytes. Ranges that overlap, or lie so close
 * that the head of another part would be longer than the gap, become one: `ranges` are in the order
 * in which they were asked for, and no byte is in two of them. */
enum tg_range_result tg_range_read(struct tg_slice value, uint64_t size,
                                   struct tg_range ranges[TG_RANGES_MAX], unsigned *count);

#endif
