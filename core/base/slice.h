/* A borrowed run of bytes: never owns, never ends with a NUL that counts.
 *
 * Whoever keeps a slice longer than the memory it points into copies it first. */
#ifndef TG_BASE_SLICE_H
#define TG_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct tg_slice {
  const char *ptr;
  size_t len;
};

/* Slice of a string literal. */
#define TG_SLICE(literal) ((struct tg_slice){("" literal), sizeof(literal) - 1})

static inline struct tg_slice tg_slice(const char *ptr, size_t len) {
  return (struct tg_slice){ptr, len};
}

static inline struct tg_slice tg_slice_cstr(const char *text) {
  return (struct tg_slice){text, text ? strlen(text) : 0};
}

static inline bool tg_slice_eq(struct tg_slice a, struct tg_slice b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* ASCII case-insensitive equality (field names, RFC 9110 section 5.1). */
static inline bool tg_slice_ieq(struct tg_slice a, struct tg_slice b) {
  if (a.len != b.len) return false;
  for (size_t i = 0; i < a.len; i++) {
    unsigned char x = (unsigned char)a.ptr[i], y = (unsigned char)b.ptr[i];
    if (x == y) continue;
    if ((x | 0x20) != (y | 0x20) || (x | 0x20) < 'a' || (x | 0x20) > 'z') return false;
  }
  return true;
}

static inline bool tg_slice_starts(struct tg_slice s, struct tg_slice prefix) {
  return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

/* The rest of `s` after its first `n` bytes; `n` at most s.len. */
static inline struct tg_slice tg_slice_skip(struct tg_slice s, size_t n) {
  return (struct tg_slice){s.ptr + n, s.len - n};
}

/* `s` without spaces and tabs at both ends (optional white space of RFC 9110 section 5.6.3). */
static inline struct tg_slice tg_slice_trim(struct tg_slice s) {
  while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) s.ptr++, s.len--;
  while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t')) s.len--;
  return s;
}

#endif
