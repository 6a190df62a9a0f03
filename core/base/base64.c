/* Strict readers: text that differs means bytes that differ, so that nobody can change a signed
 * text and keep its signature (RFC 4648 section 3.5). */
#include "base/base64.h"

#include <stdint.h>

static const char alphabets[2][65] = {
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

size_t tg_base64_write(enum tg_base64 kind, struct tg_slice bytes, char *out) {
  const char *digits = alphabets[kind];
  size_t len = 0;
  for (size_t i = 0; i < bytes.len; i += 3) {
    size_t n = bytes.len - i < 3 ? bytes.len - i : 3;
    uint32_t word = 0;
    for (size_t k = 0; k < 3; k++)
      word = word << 8 | (k < n ? (unsigned char)bytes.ptr[i + k] : 0u);
    for (size_t k = 0; k < n + 1; k++) out[len++] = digits[word >> (18 - 6 * k) & 63];
    for (size_t k = n + 1; k < 4 && kind == TG_BASE64; k++) out[len++] = '=';
  }
  return len;
}

static int digit_of(enum tg_base64 kind, char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == alphabets[kind][62]) return 62;
  return c == alphabets[kind][63] ? 63 : -1;
}

bool tg_base64_read(enum tg_base64 kind, struct tg_slice text, char *out, size_t *len) {
  bool padded = text.len && text.ptr[text.len - 1] == '=';
  if ((padded || kind == TG_BASE64) && text.len % 4 != 0) return false;
  for (int i = 0; i < 2 && text.len && text.ptr[text.len - 1] == '='; i++) text.len--;
  if (text.len % 4 == 1) return false;
  uint32_t word = 0;
  unsigned bits = 0;
  *len = 0;
  for (size_t i = 0; i < text.len; i++) {
    int digit = digit_of(kind, text.ptr[i]);
    if (digit < 0) return false;
    word = word << 6 | (uint32_t)digit;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    out[(*len)++] = (char)(word >> bits);
    word &= (1u << bits) - 1;
  }
  return word == 0;
}

void tg_base64_write_hex(struct tg_slice bytes, char *out) {
  for (size_t i = 0; i < bytes.len; i++) {
    unsigned char c = (unsigned char)bytes.ptr[i];
    out[2 * i] = "0123456789abcdef"[c >> 4];
    out[2 * i + 1] = "0123456789abcdef"[c & 15];
  }
}

bool tg_base64_read_hex(struct tg_slice text, char *out) {
  if (text.len % 2) return false;
  for (size_t i = 0; i < text.len; i++) {
    char c = text.ptr[i], low = (char)(c | 0x20);
    int digit = c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
    if (digit < 0) return false;
    out[i / 2] = (char)(i % 2 ? out[i / 2] | digit : digit << 4);
  }
  return true;
}
