/* The start line and the head of a request; the rest is h1_message.c. */
#include "http/h1.h"

#include "base/check.h"

static struct tg_h1 *owner_of(struct tg_h1_message *message) {
  return TG_CONTAINER(message, struct tg_h1, message);
}

static const uint8_t methods[] = {
    [HTTP_DELETE] = TG_METHOD_DELETE,
    [HTTP_GET] = TG_METHOD_GET,
    [HTTP_HEAD] = TG_METHOD_HEAD,
    [HTTP_POST] = TG_METHOD_POST,
    [HTTP_PUT] = TG_METHOD_PUT,
    [HTTP_CONNECT] = TG_METHOD_CONNECT,
    [HTTP_OPTIONS] = TG_METHOD_OPTIONS,
    [HTTP_TRACE] = TG_METHOD_TRACE,
    [HTTP_COPY] = TG_METHOD_COPY,
    [HTTP_LOCK] = TG_METHOD_LOCK,
    [HTTP_MKCOL] = TG_METHOD_MKCOL,
    [HTTP_MOVE] = TG_METHOD_MOVE,
    [HTTP_PROPFIND] = TG_METHOD_PROPFIND,
    [HTTP_PROPPATCH] = TG_METHOD_PROPPATCH,
    [HTTP_SEARCH] = TG_METHOD_SEARCH,
    [HTTP_UNLOCK] = TG_METHOD_UNLOCK,
    [HTTP_BIND... HTTP_ACL] = TG_METHOD_NONE,
    [HTTP_REPORT] = TG_METHOD_REPORT,
    [HTTP_MKACTIVITY... HTTP_UNSUBSCRIBE] = TG_METHOD_NONE,
    [HTTP_PATCH] = TG_METHOD_PATCH,
    [HTTP_PURGE] = TG_METHOD_PURGE,
};

static enum tg_method method_of(const struct tg_h1 *h1) {
  unsigned number = h1->message.parser.method;
  return number < sizeof methods ? (enum tg_method)methods[number] : TG_METHOD_NONE;
}

/* What follows the line is not looked at when its version is wrong: HTTP/0.9 has no more, and
 * other versions have other rules. */
static enum tg_h1_event check_version(struct tg_h1_message *message) {
  if (message->parser.http_major == 1 && message->parser.http_minor <= 1) return TG_H1_MORE;
  if (message->parser.http_major >= 2)
    return tg_h1_message_fail(message, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
  return tg_h1_message_fail(message, 400, message->kind->bad_line);
}

/* Is the request line the method, one space, the target, one space and the version (RFC 9112
 * section 3)? llhttp skips further spaces, and knows protocols that are not HTTP. */
static bool strict_line(const struct tg_h1 *h1, const char *block) {
  const struct tg_h1_message *message = &h1->message;
  size_t method_len = h1->request.method_name.len;
  if (method_len == 0)
    method_len = strlen(llhttp_method_name((llhttp_method_t)message->parser.method));
  size_t end = message->start + message->start_len;
  return message->start == method_len + 1 && memcmp(block + end, " HTTP/1.", 8) == 0;
}

static enum tg_h1_event finish_head(struct tg_h1_message *message, struct tg_slice last) {
  struct tg_h1 *h1 = owner_of(message);
  struct tg_request *request = &h1->request;
  const char *block = tg_h1_message_gather(message, last, &request->fields);
  if (!block) return tg_h1_message_fail(message, 500, "out of memory");
  request->field_count = message->span_count;
  request->target = tg_slice(block + message->start, message->start_len);
  request->method = method_of(h1);
  request->method_name = tg_method_name(request->method);
  request->minor = message->parser.http_minor;
  if (!strict_line(h1, block))
    return tg_h1_message_fail(message, 400, "the request line is malformed");
  struct tg_request_fault fault;
  if (!tg_request_check(request, message->arena, &fault))
    return tg_h1_message_fail(message, fault.status, fault.text);
  if (!request->has_body)
    message->phase = TG_H1_PHASE_DONE;
  else if (request->chunked)
    tg_h1_message_expect_chunks(message);
  else
    tg_h1_message_expect_length(message, request->content_length);
  return TG_H1_HEAD;
}

/* Does the line end as nearly all do, with a version that stands alone after a target? Then llhttp
 * may run on beyond it: the version needs no look. */
static bool ends_well(struct tg_slice line) {
  static const size_t tail_len = sizeof " HTTP/1.1\r\n" - 1;
  if (line.len <= tail_len) return false;
  size_t before = line.len - tail_len;
  const char *tail = line.ptr + before;
  return memcmp(tail, " HTTP/1.", 8) == 0 && (tail[8] == '1' || tail[8] == '0') &&
         tail[-1] != ' ' && memchr(line.ptr, ' ', before);
}

static const struct tg_h1_kind kind = {
    .type = HTTP_REQUEST,
    .long_line_status = 414,
    .long_line = "the request line is too long",
    .malformed = "the request is malformed",
    .bad_line = "the request line does not end with HTTP/1.0 or HTTP/1.1",
    .line_ends_well = ends_well,
    .check_line = check_version,
    .finish_head = finish_head,
};

void tg_h1_init(struct tg_h1 *h1, struct tg_arena *arena, const struct tg_settings *settings) {
  const struct tg_h1_limits limits = {.line = settings->limits_request_line,
                                      .block = settings->limits_header_block,
                                      .fields = settings->limits_header_count,
                                      .body = settings->limits_body};
  tg_h1_message_init(&h1->message, &kind, arena, &limits);
  h1->message.phase = TG_H1_PHASE_BLANK;
  h1->request = (struct tg_request){0};
}

enum tg_h1_event tg_h1_feed(struct tg_h1 *h1, struct tg_slice bytes, size_t *used) {
  enum tg_h1_event event = tg_h1_message_feed(&h1->message, bytes, used);
  if (event == TG_H1_END) {
    h1->request.trailers = h1->message.trailers;
    h1->request.trailer_count = h1->message.trailer_count;
  }
  return event;
}

void tg_h1_tunnel(struct tg_h1 *h1) {
  h1->message.phase = TG_H1_PHASE_RAW;
}
