/* Paths, queries and authorities: what is let through keeps the promises of url.h.
 *
 * The input is each of them in turn, in a heap block of its exact size. */
#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"
#include "http/url.h"

/* A path that was let through, decoded as a file system's user would do it, never leads upwards. */
static void check_path(struct tg_arena *arena, struct tg_slice path) {
  struct tg_slice out, again, decoded;
  if (tg_url_normalise(arena, path, &out) != TG_OK) return;
  TG_CHECK(out.len && out.ptr[0] == '/' && out.len <= path.len);
  TG_CHECK(tg_url_normalise(arena, out, &again) == TG_OK && again.ptr == out.ptr);
  TG_CHECK(tg_url_decode(arena, out, false, &decoded) == TG_OK);
  TG_CHECK(decoded.len == 0 || !memchr(decoded.ptr, 0, decoded.len) ||
           memchr(path.ptr, 0, path.len));
  for (size_t at = 0; at < decoded.len;) {
    size_t len = 0;
    while (at + len < decoded.len && decoded.ptr[at + len] != '/' && decoded.ptr[at + len] != '\\')
      len++;
    struct tg_slice segment = tg_slice(decoded.ptr + at, len);
    TG_CHECK(!tg_slice_eq(segment, TG_SLICE("..")) && !tg_slice_eq(segment, TG_SLICE(".")));
    at += len + 1;
  }
}

static void check_decode(struct tg_arena *arena, struct tg_slice s) {
  struct tg_slice out;
  bool well = tg_url_well_encoded(s);
  TG_CHECK((tg_url_decode(arena, s, true, &out) == TG_OK) == well);
  TG_CHECK(!well || out.len <= s.len);
}

static void check_pairs(struct tg_slice s) {
  struct tg_slice rest = s, name, value;
  size_t left = s.len;
  while (tg_url_next_pair(&rest, &name, &value)) {
    TG_CHECK(rest.len < left && name.len + value.len <= left - rest.len);
    TG_CHECK(!name.len || !memchr(name.ptr, '=', name.len));
    TG_CHECK(!value.len || !memchr(value.ptr, '&', value.len));
    left = rest.len;
  }
  TG_CHECK(rest.len == 0);
}

static void check_authority(struct tg_slice s) {
  if (!tg_url_valid_authority(s)) return;
  for (size_t i = 0; i < s.len; i++) {
    unsigned char c = (unsigned char)s.ptr[i];
    TG_CHECK(c > ' ' && c < 0x7f && !strchr("/\\@,;?#%\"'<>", c));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *copy = malloc(size ? size : 1);
  TG_CHECK(copy);
  if (size) memcpy(copy, data, size);
  struct tg_slice s = tg_slice(copy, size);
  struct tg_arena arena;
  tg_arena_init(&arena, NULL, 0);
  check_path(&arena, s);
  check_decode(&arena, s);
  check_pairs(s);
  check_authority(s);
  tg_arena_reset(&arena);
  free(copy);
  return 0;
}
