/* Fields through the gateway: whatever comes in, no framing field and none of one hop comes out,
 * the way is told once, and a path that does not climb has no step upwards when it is decoded
 * again. */
#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"
#include "http/forward_fields.h"
#include "http/forward_path.h"
#include "http/url.h"

#define FIELDS_MAX 64

static uint32_t parse(struct tg_slice rest, struct tg_field out[FIELDS_MAX]) {
  uint32_t count = 0;
  while (rest.len && count < FIELDS_MAX) {
    const char *end = memchr(rest.ptr, '\n', rest.len);
    size_t len = end ? (size_t)(end - rest.ptr) : rest.len;
    const char *colon = memchr(rest.ptr, ':', len);
    size_t name = colon ? (size_t)(colon - rest.ptr) : len;
    out[count] = (struct tg_field){.name = tg_slice(rest.ptr, name)};
    if (colon) out[count].value = tg_slice_trim(tg_slice(rest.ptr + name + 1, len - name - 1));
    out[count].known = tg_request_field_name(out[count].name);
    count++;
    rest = tg_slice_skip(rest, end ? len + 1 : len);
  }
  return count;
}

static void check_list(const struct tg_forward_fields *out, bool request) {
  static const char *const never[] = {"connection", "content-length", "transfer-encoding", "te",
                                      "keep-alive", "host",           "proxy-connection"};
  unsigned ways = 0;
  for (size_t i = 0; i < out->count; i++) {
    struct tg_slice name = out->list[i].name;
    for (size_t j = 0; j < sizeof never / sizeof *never; j++)
      TG_CHECK(!tg_slice_ieq(name, tg_slice_cstr(never[j])));
    ways += tg_slice_ieq(name, TG_SLICE("x-forwarded-for"));
  }
  if (request) TG_CHECK(ways == 1);
}

static void check_path(struct tg_slice path) {
  if (!tg_url_well_encoded(path) || tg_forward_climbs(path)) return;
  struct tg_arena arena;
  struct tg_slice decoded;
  tg_arena_init(&arena, NULL, 0);
  if (tg_url_decode(&arena, path, false, &decoded) == TG_OK) {
    while (decoded.len) {
      const char *slash = memchr(decoded.ptr, '/', decoded.len);
      size_t len = slash ? (size_t)(slash - decoded.ptr) : decoded.len;
      bool encoded = memchr(path.ptr, '%', path.len) != NULL;
      TG_CHECK(!encoded || !tg_slice_eq(tg_slice(decoded.ptr, len), TG_SLICE("..")));
      decoded = tg_slice_skip(decoded, slash ? len + 1 : len);
    }
  }
  tg_arena_reset(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *copy = malloc(size ? size : 1);
  TG_CHECK(copy);
  if (size) memcpy(copy, data, size);
  struct tg_field fields[FIELDS_MAX];
  struct tg_request request = {.minor = 1, .host = TG_SLICE("[::1]:80"), .fields = fields};
  request.field_count = parse(tg_slice(copy, size), fields);
  static const struct tg_forward_rules rules = {.underscores = true};
  struct tg_forward_client client = {.address = TG_SLICE("::1"), .name = TG_SLICE("gate")};
  struct tg_arena arena;
  struct tg_forward_fields out;
  tg_arena_init(&arena, NULL, 0);
  for (int trusted = 0; trusted < 2; trusted++) {
    client.trusted = trusted;
    if (tg_forward_request(&arena, &request, &client, &rules, trusted, &out) == TG_OK)
      check_list(&out, true);
    if (tg_forward_reply(&arena, fields, request.field_count, &rules, trusted, &out) == TG_OK)
      check_list(&out, false);
  }
  tg_arena_reset(&arena);
  check_path(tg_slice(copy, size));
  free(copy);
  return 0;
}
