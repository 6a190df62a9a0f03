/* See range.h. Numbers of any length are understood: what does not fit lies behind every body. */
#include "http/range.h"

/* What the head of a part costs, about; a gap below that is sent along. */
#define GAP 80u

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/* Takes the digits off the front; UINT64_MAX where they are too many. */
static uint64_t take_number(struct tg_slice *text) {
  uint64_t number = 0;
  bool too_large = false;
  while (text->len && is_digit(text->ptr[0])) {
    unsigned digit = (unsigned)(text->ptr[0] - '0');
    too_large |= __builtin_mul_overflow(number, 10u, &number) ||
                 __builtin_add_overflow(number, digit, &number);
    *text = tg_slice_skip(*text, 1);
  }
  return too_large ? UINT64_MAX : number;
}

enum spec { SPEC_BAD, SPEC_OUTSIDE, SPEC_INSIDE };

/* "5-9", "5-" or "-5". */
static enum spec read_spec(struct tg_slice text, uint64_t size, struct tg_range *range) {
  bool has_first = text.len && is_digit(text.ptr[0]);
  uint64_t first = take_number(&text);
  if (!text.len || text.ptr[0] != '-') return SPEC_BAD;
  text = tg_slice_skip(text, 1);
  bool has_last = text.len && is_digit(text.ptr[0]);
  uint64_t last = take_number(&text);
  if (text.len || (!has_first && !has_last)) return SPEC_BAD;
  if (!has_first) { /* the last so many bytes */
    if (last == 0) return SPEC_OUTSIDE;
    range->first = last < size ? size - last : 0;
    range->last = size - 1;
    return SPEC_INSIDE;
  }
  if (has_last && last < first) return SPEC_BAD;
  if (first >= size) return SPEC_OUTSIDE;
  range->first = first;
  range->last = has_last && last < size ? last : size - 1;
  return SPEC_INSIDE;
}

static bool touches(const struct tg_range *a, const struct tg_range *b) {
  return a->first <= b->last + GAP && b->first <= a->last + GAP;
}

/* Puts a range to the others; one that touches some of them takes the place of the first. A range
 * that has grown may touch further ones. */
static void add(struct tg_range *ranges, unsigned *count, struct tg_range range) {
  unsigned place = *count;
  for (unsigned i = 0; i < *count;) {
    if (!touches(&ranges[i], &range)) {
      i++;
      continue;
    }
    if (ranges[i].first < range.first) range.first = ranges[i].first;
    if (ranges[i].last > range.last) range.last = ranges[i].last;
    if (i < place) place = i;
    (*count)--;
    memmove(&ranges[i], &ranges[i + 1], (*count - i) * sizeof *ranges);
    i = 0;
  }
  if (place > *count) place = *count;
  memmove(&ranges[place + 1], &ranges[place], (*count - place) * sizeof *ranges);
  ranges[place] = range;
  (*count)++;
}

enum tg_range_result tg_range_read(struct tg_slice value, uint64_t size,
                                   struct tg_range ranges[TG_RANGES_MAX], unsigned *count) {
  struct tg_slice unit = TG_SLICE("bytes=");
  unsigned specs = 0;
  *count = 0;
  /* Of an empty body there is no range that Content-Range could name. */
  if (size == 0 || value.len < unit.len || !tg_slice_ieq(tg_slice(value.ptr, unit.len), unit))
    return TG_RANGE_NONE;
  value = tg_slice_skip(value, unit.len);
  while (value.len) {
    const char *comma = memchr(value.ptr, ',', value.len);
    size_t len = comma ? (size_t)(comma - value.ptr) : value.len;
    struct tg_slice text = tg_slice_trim(tg_slice(value.ptr, len));
    value = tg_slice_skip(value, comma ? len + 1 : len);
    if (!text.len) continue; /* a list may have empty members (RFC 9110 section 5.6.1.2) */
    struct tg_range range;
    enum spec spec = read_spec(text, size, &range);
    if (spec == SPEC_BAD || ++specs > TG_RANGES_MAX) return TG_RANGE_NONE;
    if (spec == SPEC_INSIDE) add(ranges, count, range);
  }
  if (!specs) return TG_RANGE_NONE;
  return *count ? TG_RANGE_SOME : TG_RANGE_UNSATISFIABLE;
}
