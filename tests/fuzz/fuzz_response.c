/* Writes a head from parts of the input and reads it back: whatever the parts are, what gets out
 * has one line for each field, no CR, LF or NUL inside a line, and one blank line, at the end.
 *
 * Input: two bytes of status, one of flags, then texts ended by 0xFF: content type, then name and
 * value in turn. All the input is also the detail of a problem document. */
#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/utf8.h"
#include "http/response.h"

#define FIELDS_MAX 16

static struct tg_slice take_text(struct tg_slice *rest) {
  const char *end = rest->len ? memchr(rest->ptr, 0xFF, rest->len) : NULL;
  struct tg_slice text = end ? tg_slice(rest->ptr, (size_t)(end - rest->ptr)) : *rest;
  *rest = tg_slice_skip(*rest, text.len + (end != NULL));
  return text;
}

static void check_lines(struct tg_slice head, size_t fields) {
  size_t lines = 0, at = 0;
  TG_CHECK(head.ptr);
  while (at < head.len) {
    size_t begin = at;
    while (head.ptr[at] != '\r') {
      unsigned char c = (unsigned char)head.ptr[at++];
      TG_CHECK(at < head.len && (c >= 0x20 || c == '\t') && c != 0x7F);
    }
    TG_CHECK(at + 1 < head.len && head.ptr[at + 1] == '\n');
    TG_CHECK((at == begin) == (at + 2 == head.len));
    if (at > begin && lines) TG_CHECK(memchr(head.ptr + begin, ':', at - begin));
    at += 2;
    lines++;
  }
  TG_CHECK(lines >= 3 && lines <= fields + 7);
}

static void check_problem(struct tg_slice text) {
  struct tg_buffer out = {0};
  struct tg_problem problem = {400, text, text, text, text, {NULL, 0}};
  TG_CHECK(tg_response_write_problem(&out, &problem) == TG_OK);
  struct tg_slice rest = tg_buffer_slice(&out);
  TG_CHECK(rest.ptr);
  while (rest.len) {
    size_t len = tg_utf8_sequence(rest.ptr, rest.len);
    TG_CHECK(len > 0 && (unsigned char)rest.ptr[0] >= 0x20 && rest.ptr[0] != 0x7F);
    rest = tg_slice_skip(rest, len);
  }
  tg_buffer_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct tg_slice rest = tg_slice((const char *)data, size);
  check_problem(rest);
  if (size < 3) return 0;
  struct tg_response_field fields[FIELDS_MAX];
  struct tg_response_head head = {.status = data[0] << 8 | data[1], .fields = fields};
  head.length = data[2] & 1 ? TG_LENGTH_CHUNKED : data[2] & 2 ? TG_LENGTH_NONE : size;
  head.close = data[2] & 4;
  head.keep_alive = data[2] & 8;
  if (data[2] & 16) head.date = TG_SLICE("Sun, 06 Nov 1994 08:49:37 GMT");
  rest = tg_slice_skip(rest, 3);
  head.content_type = take_text(&rest);
  bool valid = head.status >= 100 && head.status <= 599 &&
               tg_response_valid_field(TG_SLICE("x"), head.content_type);
  while (rest.len && head.field_count < FIELDS_MAX) {
    struct tg_response_field *field = &fields[head.field_count++];
    field->name = take_text(&rest);
    field->value = take_text(&rest);
    valid = valid && tg_response_valid_field(field->name, field->value);
  }
  struct tg_buffer out = {0};
  tg_status status = tg_response_write_head(&out, &head);
  TG_CHECK(status == (valid ? TG_OK : TG_EINVALID));
  if (valid) check_lines(tg_buffer_slice(&out), head.field_count);
  TG_CHECK(valid || tg_buffer_size(&out) == 0);
  tg_buffer_deinit(&out);
  return 0;
}
