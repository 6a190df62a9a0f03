/* Chunked bodies against a second, naive decoder: what the parser takes as a whole message, the
 * naive one must take too, with the same bytes and the same end. Read whole and in pieces.
 *
 * Input: one byte that chooses the size of the pieces, then what follows the head. */
#include <stdint.h>

#include "../unit/http/h1_drive.h"

#define HEAD "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"

/* Decodes into `out`; returns the length of the message, 0 when it is malformed or unfinished.
 * Extensions and trailers are skipped without a look. */
static size_t decode(struct tg_slice in, struct tg_buffer *out) {
  size_t at = 0;
  for (;;) {
    uint64_t size = 0;
    size_t digits = 0;
    for (; at < in.len; at++, digits++) {
      char c = in.ptr[at], low = (char)(c | 0x20);
      int digit = c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
      if (digit < 0) break;
      if (size >> 60) return 0;
      size = size * 16 + (uint64_t)digit;
    }
    if (!digits) return 0;
    const char *end = memmem(in.ptr + at, in.len - at, "\r\n", 2);
    if (!end) return 0;
    if (in.ptr[at] != ';' && end != in.ptr + at) return 0;
    at = (size_t)(end - in.ptr) + 2;
    if (size == 0) break;
    if (size > in.len - at || in.len - at - size < 2) return 0;
    TG_CHECK(tg_buffer_append(out, in.ptr + at, (size_t)size) == TG_OK);
    at += (size_t)size;
    if (memcmp(in.ptr + at, "\r\n", 2) != 0) return 0;
    at += 2;
  }
  struct tg_slice rest = tg_slice_skip(in, at);
  if (tg_slice_starts(rest, TG_SLICE("\r\n"))) return at + 2;
  const char *end = memmem(rest.ptr, rest.len, "\r\n\r\n", 4);
  return end ? (size_t)(end - in.ptr) + 4 : 0;
}

/* Between the head's last line and the word end in what the drive wrote. */
static bool has_body(const struct drive *d, struct tg_slice body) {
  static const char coding[] = "name=Transfer-Encoding\nvalue=chunked\n";
  struct tg_slice text = drive_text(d);
  const char *from = memmem(text.ptr, text.len, coding, sizeof coding - 1);
  TG_CHECK(from);
  struct tg_slice rest = tg_slice_skip(text, (size_t)(from - text.ptr) + sizeof coding - 1);
  return rest.len >= body.len + 5 && (body.len == 0 || memcmp(rest.ptr, body.ptr, body.len) == 0) &&
         memcmp(rest.ptr + body.len, "\nend\n", 5) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1) return 0;
  struct tg_slice body = tg_slice((const char *)data + 1, size - 1);
  struct tg_buffer input = {0}, decoded = {0};
  TG_CHECK(tg_buffer_append(&input, HEAD, sizeof HEAD - 1) == TG_OK);
  TG_CHECK(tg_buffer_append(&input, body.ptr, body.len) == TG_OK);
  struct drive whole, cut;
  drive_init(&whole);
  drive_init(&cut);
  whole.messages_max = cut.messages_max = 1;
  drive_run(&whole, tg_buffer_slice(&input), 0);
  drive_run(&cut, tg_buffer_slice(&input), data[0] % 16u + 1);
  TG_CHECK(strcmp(whole.verdict, cut.verdict) == 0 && whole.left == cut.left);
  TG_CHECK(tg_slice_eq(drive_text(&whole), drive_text(&cut)));
  if (strcmp(whole.verdict, "ok") == 0) {
    TG_CHECK(decode(body, &decoded) == body.len - whole.left);
    TG_CHECK(has_body(&whole, tg_slice(decoded.data, decoded.len)));
  }
  drive_deinit(&whole);
  drive_deinit(&cut);
  tg_buffer_deinit(&input);
  tg_buffer_deinit(&decoded);
  return 0;
}
