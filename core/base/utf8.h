/* UTF-8 (RFC 3629): which bytes are text.
 *
 * Overlong forms, surrogates and code points over U+10FFFF are invalid. Pure functions. */
#ifndef TG_BASE_UTF8_H
#define TG_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the sequence that begins at `text`, at most `len` of them there; 0 when it is invalid or
 * cut off. `len` is at least 1. */
static inline size_t tg_utf8_sequence(const char *text, size_t len) {
  const unsigned char *s = (const unsigned char *)text;
  unsigned lead = s[0];
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || len < 2 || (s[1] & 0xc0) != 0x80) return 0;
  if (lead < 0xe0) return 2;
  if (len < 3 || (s[2] & 0xc0) != 0x80) return 0;
  if (lead < 0xf0) {
    if ((lead == 0xe0 && s[1] < 0xa0) || (lead == 0xed && s[1] > 0x9f)) return 0;
    return 3;
  }
  if (len < 4 || (s[3] & 0xc0) != 0x80 || lead > 0xf4) return 0;
  if ((lead == 0xf0 && s[1] < 0x90) || (lead == 0xf4 && s[1] > 0x8f)) return 0;
  return 4;
}

/* Offset of the first byte that is not part of valid UTF-8; `len` when all of it is. */
size_t tg_utf8_check(const char *text, size_t len);

/* UTF-8 that comes in pieces: the bytes that the character under way still needs, and the range of
 * the next one. Cleared: between two characters. */
struct tg_utf8_run {
  uint8_t need, low, high;
};

/* The next bytes of a run; false as soon as they cannot be part of valid UTF-8. */
bool tg_utf8_run_feed(struct tg_utf8_run *run, const char *text, size_t len);

/* Writes a code point (at most U+10FFFF, no surrogate) as 1 to 4 bytes; returns their number. */
size_t tg_utf8_write(uint32_t code_point, char out[4]);

#endif
