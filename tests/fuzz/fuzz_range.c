/* Range fields and paths of files: what is let through keeps the promises of range.h and
 * file_path.h. */
#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"
#include "http/file_path.h"
#include "http/range.h"

static void check_ranges(struct tg_slice value, uint64_t size) {
  struct tg_range ranges[TG_RANGES_MAX];
  unsigned count = 0;
  enum tg_range_result result = tg_range_read(value, size, ranges, &count);
  if (result != TG_RANGE_SOME) return;
  uint64_t total = 0;
  TG_CHECK(count >= 1 && count <= TG_RANGES_MAX);
  for (unsigned i = 0; i < count; i++) {
    TG_CHECK(ranges[i].first <= ranges[i].last && ranges[i].last < size);
    total += ranges[i].last - ranges[i].first + 1;
    for (unsigned j = 0; j < i; j++)
      TG_CHECK(ranges[i].first > ranges[j].last || ranges[j].first > ranges[i].last);
  }
  TG_CHECK(total <= size);
}

static void check_path(struct tg_slice encoded, bool hidden) {
  char out[TG_FILE_PATH_MAX];
  if (tg_file_path_decode(encoded, hidden, out)) return;
  struct tg_slice rest = tg_slice_cstr(out);
  TG_CHECK(rest.len <= encoded.len && rest.len < TG_FILE_PATH_MAX);
  while (rest.len) {
    const char *slash = memchr(rest.ptr, '/', rest.len);
    size_t len = slash ? (size_t)(slash - rest.ptr) : rest.len;
    TG_CHECK(len > 0 && (rest.ptr[0] != '.' || hidden));
    TG_CHECK(!tg_slice_eq(tg_slice(rest.ptr, len), TG_SLICE(".")));
    TG_CHECK(!tg_slice_eq(tg_slice(rest.ptr, len), TG_SLICE("..")));
    rest = tg_slice_skip(rest, slash ? len + 1 : len);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *copy = malloc(size ? size : 1);
  TG_CHECK(copy);
  if (size) memcpy(copy, data, size);
  struct tg_slice s = tg_slice(copy, size);
  static const uint64_t sizes[] = {0, 1, 2, 100, 1000, 65536, 1ull << 40, INT64_MAX};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) check_ranges(s, sizes[i]);
  check_path(s, false);
  check_path(s, true);
  free(copy);
  return 0;
}
