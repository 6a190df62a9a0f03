/* As in response.c: the first pass checks and adds up an upper bound, the second copies. */
#include "http/request_head.h"

#include "base/number.h"
#include "http/head_text.h"

/* Printable ASCII without the space: what cannot end a line or split it. */
static bool valid_word(struct tg_slice word) {
  if (word.len == 0) return false;
  for (size_t i = 0; i < word.len; i++)
    if (word.ptr[i] <= 0x20 || word.ptr[i] >= 0x7f) return false;
  return true;
}

/* Fields that the writer itself decides. */
static bool ours(const struct tg_request_head *head, struct tg_slice name) {
  switch (name.len) {
    case 2: return head->takes_trailers && tg_slice_ieq(name, TG_SLICE("TE"));
    case 4: return tg_slice_ieq(name, TG_SLICE("Host"));
    case 6: return tg_slice_ieq(name, TG_SLICE("Expect"));
    case 7: return !head->upgrade && tg_slice_ieq(name, TG_SLICE("Upgrade"));
    case 10:
      return tg_slice_ieq(name, TG_SLICE("Connection")) ||
             tg_slice_ieq(name, TG_SLICE("Keep-Alive"));
    case 14: return tg_slice_ieq(name, TG_SLICE("Content-Length"));
    case 16: return tg_slice_ieq(name, TG_SLICE("Proxy-Connection"));
    case 17: return tg_slice_ieq(name, TG_SLICE("Transfer-Encoding"));
    default: return false;
  }
}

/* The end of the request line, the name of Host, every line of put_framing, the blank line. */
#define FIXED_MAX 192

static tg_status check(const struct tg_request_head *head, size_t *room) {
  if (!tg_response_valid_field(head->method, tg_slice(NULL, 0)) || !valid_word(head->target) ||
      !valid_word(head->authority))
    return TG_EINVALID;
  size_t total = FIXED_MAX + head->method.len + head->target.len + head->authority.len;
  for (size_t i = 0; i < head->field_count; i++) {
    const struct tg_response_field *field = &head->fields[i];
    if (!tg_response_valid_field(field->name, field->value)) return TG_EINVALID;
    if (__builtin_add_overflow(total, field->name.len + 4, &total) ||
        __builtin_add_overflow(total, field->value.len, &total))
      return TG_ENOMEM;
  }
  *room = total;
  return TG_OK;
}

/* Methods whose meaning expects a body: RFC 9110 section 8.6. */
static bool expects_body(struct tg_slice method) {
  return tg_slice_eq(method, TG_SLICE("POST")) || tg_slice_eq(method, TG_SLICE("PUT")) ||
         tg_slice_eq(method, TG_SLICE("PATCH"));
}

/* TE is of one connection, and has to be named as such (RFC 9110 section 10.1.4). */
static char *put_connection(char *out, const struct tg_request_head *head) {
  bool te = head->takes_trailers;
  if (te) out = TG_HEAD_PUT(out, "TE: trailers\r\n");
  if (!te && !head->upgrade && !head->close) return out;
  out = TG_HEAD_PUT(out, "Connection: ");
  if (head->upgrade)
    out = TG_HEAD_PUT(out, "upgrade");
  else if (head->close)
    out = TG_HEAD_PUT(out, "close");
  if (te && (head->upgrade || head->close)) out = TG_HEAD_PUT(out, ", ");
  if (te) out = TG_HEAD_PUT(out, "TE");
  return TG_HEAD_PUT(out, "\r\n");
}

static char *put_framing(char *out, const struct tg_request_head *head) {
  uint64_t length = head->length;
  if (length == TG_LENGTH_NONE && expects_body(head->method)) length = 0;
  if (length == TG_LENGTH_CHUNKED) {
    out = TG_HEAD_PUT(out, "Transfer-Encoding: chunked\r\n");
  } else if (length != TG_LENGTH_NONE) {
    out = TG_HEAD_PUT(out, "Content-Length: ");
    out += tg_number_write_u64(length, out);
    out = TG_HEAD_PUT(out, "\r\n");
  }
  if (head->expect_continue) out = TG_HEAD_PUT(out, "Expect: 100-continue\r\n");
  return put_connection(out, head);
}

tg_status tg_request_head_write(struct tg_buffer *out, const struct tg_request_head *head) {
  size_t room;
  tg_status status = check(head, &room);
  if (status == TG_OK) status = tg_buffer_reserve(out, room);
  if (status) return status;
  char *begin = tg_buffer_tail(out);
  char *at = tg_head_put(begin, head->method);
  *at++ = ' ';
  at = tg_head_put(at, head->target);
  at = TG_HEAD_PUT(at, " HTTP/1.1\r\nHost: ");
  at = tg_head_put(at, head->authority);
  at = TG_HEAD_PUT(at, "\r\n");
  at = put_framing(at, head);
  for (size_t i = 0; i < head->field_count; i++) {
    const struct tg_response_field *field = &head->fields[i];
    if (ours(head, field->name)) continue;
    at = tg_head_put(at, field->name);
    at = TG_HEAD_PUT(at, ": ");
    at = tg_head_put(at, field->value);
    at = TG_HEAD_PUT(at, "\r\n");
  }
  at = TG_HEAD_PUT(at, "\r\n");
  tg_buffer_wrote(out, (size_t)(at - begin));
  return TG_OK;
}
