/* The loops of utf8.h: eight ASCII bytes at a time, the rest one sequence at a time. */
#include "base/utf8.h"

#include <string.h>

size_t tg_utf8_check(const char *text, size_t len) {
  size_t i = 0;
  while (i < len) {
    if (len - i >= 8) {
      uint64_t word;
      memcpy(&word, text + i, 8);
      if (!(word & 0x8080808080808080u)) {
        i += 8;
        continue;
      }
    }
    size_t n = tg_utf8_sequence(text + i, len - i);
    if (!n) return i;
    i += n;
  }
  return len;
}

/* One byte, by the table of RFC 3629 section 4. */
static bool feed_byte(struct tg_utf8_run *run, unsigned char c) {
  if (run->need) {
    if (c < run->low || c > run->high) return false;
    *run = (struct tg_utf8_run){(uint8_t)(run->need - 1), 0x80, 0xbf};
    return true;
  }
  if (c < 0x80) return true;
  if (c < 0xc2 || c > 0xf4) return false;
  *run = (struct tg_utf8_run){(uint8_t)(c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3), 0x80, 0xbf};
  if (c == 0xe0) run->low = 0xa0;
  if (c == 0xed) run->high = 0x9f;
  if (c == 0xf0) run->low = 0x90;
  if (c == 0xf4) run->high = 0x8f;
  return true;
}

bool tg_utf8_run_feed(struct tg_utf8_run *run, const char *text, size_t len) {
  size_t i = 0;
  while (i < len && run->need)
    if (!feed_byte(run, (unsigned char)text[i++])) return false;
  i += tg_utf8_check(text + i, len - i);
  while (i < len) /* the last character, cut off, or a wrong one */
    if (!feed_byte(run, (unsigned char)text[i++])) return false;
  return true;
}

size_t tg_utf8_write(uint32_t code_point, char out[4]) {
  if (code_point < 0x80) {
    out[0] = (char)code_point;
    return 1;
  }
  size_t tail = code_point < 0x800 ? 1 : code_point < 0x10000 ? 2 : 3;
  static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
  out[0] = (char)(lead[tail] | (code_point >> (6 * tail)));
  for (size_t i = 1; i <= tail; i++)
    out[i] = (char)(0x80 | ((code_point >> (6 * (tail - i))) & 0x3f));
  return tail + 1;
}
