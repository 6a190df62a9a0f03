/* The status line and the head of a reply; the rest is h1_message.c. */
#include "http/h1_reply.h"

#include "base/check.h"
#include "http/framing.h"

static struct tg_h1_reply *owner_of(struct tg_h1_message *message) {
  return TG_CONTAINER(message, struct tg_h1_reply, message);
}

/* --- the status line ------------------------------------------------------------------------------ */

#define STATUS_AT 9 /* behind "HTTP/1.1 " */

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/* "HTTP/1.1 200 OK", of which servers leave out the reason, and many the space before it, too
 * (RFC 9112 section 4). llhttp skips further white space, and knows other versions. */
static bool strict_line(struct tg_slice line) {
  if (line.len < STATUS_AT + 4 || memcmp(line.ptr, "HTTP/1.", 7) != 0) return false;
  if ((line.ptr[7] != '0' && line.ptr[7] != '1') || line.ptr[8] != ' ') return false;
  for (size_t i = STATUS_AT; i < STATUS_AT + 3; i++)
    if (!is_digit(line.ptr[i])) return false;
  return line.ptr[STATUS_AT + 3] == ' ' || line.ptr[STATUS_AT + 3] == '\r';
}

static bool clean_reason(struct tg_slice reason) {
  for (size_t i = 0; i < reason.len; i++) {
    unsigned char c = (unsigned char)reason.ptr[i];
    if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
  }
  return true;
}

static const char *read_line(struct tg_h1_reply *h1, const char *block) {
  struct tg_h1_message *message = &h1->message;
  struct tg_reply *reply = &h1->reply;
  /* The block goes on behind the line with at least an empty one. */
  if (!strict_line(tg_slice(block, STATUS_AT + 4))) return message->kind->bad_line;
  reply->minor = (uint8_t)(block[7] - '0');
  reply->status = (block[9] - '0') * 100 + (block[10] - '0') * 10 + (block[11] - '0');
  if (reply->status < 100 || reply->status > 599) return "the status lies outside 100 to 599";
  reply->reason = tg_slice_trim(tg_slice(block + message->start, message->start_len));
  return clean_reason(reply->reason) ? NULL : "the reason phrase holds a control byte";
}

/* --- framing (RFC 9112 section 6.3) --------------------------------------------------------------- */

/* 2xx to CONNECT: what follows is the tunnel, whatever the fields say (RFC 9110 section 9.3.6). */
static bool is_tunnel(const struct tg_h1_reply *h1) {
  return h1->to == TG_REPLY_TO_CONNECT && h1->reply.status >= 200 && h1->reply.status < 300;
}

static const char *read_framing(struct tg_h1_reply *h1, const struct tg_framing *framing) {
  struct tg_reply *reply = &h1->reply;
  int status = reply->status;
  reply->content_length = TG_REPLY_NO_LENGTH;
  if (is_tunnel(h1)) return NULL;
  if (framing->coding && framing->length) return "both Content-Length and Transfer-Encoding";
  if (framing->coding && reply->minor == 0) return "Transfer-Encoding in an HTTP/1.0 reply";
  if (framing->coding && !tg_slice_ieq(framing->coding->value, TG_SLICE("chunked")))
    return "Transfer-Encoding is not chunked alone";
  if (framing->length) {
    const char *why = tg_framing_length(framing->length->value, &reply->content_length);
    if (why) return why;
  }
  /* RFC 9110 section 8.6, RFC 9112 section 6.1. A length of 0 does no harm, and some send it. */
  if (status < 200 || status == 204)
    return framing->coding || (framing->length && reply->content_length)
               ? "a body where none is allowed"
               : NULL;
  if (status == 304 || h1->to == TG_REPLY_TO_HEAD) return NULL;
  reply->chunked = framing->coding != NULL;
  reply->until_close = !framing->coding && !framing->length;
  reply->has_body = reply->chunked || reply->until_close || reply->content_length > 0;
  return NULL;
}

static const char *check(struct tg_h1_reply *h1) {
  struct tg_reply *reply = &h1->reply;
  struct tg_framing framing = {0};
  for (uint32_t i = 0; i < reply->field_count; i++) {
    const struct tg_field *field = &reply->fields[i];
    const char *why = tg_framing_note(&framing, field);
    if (why) return why;
    reply->upgrade |= field->known == TG_FIELD_UPGRADE;
  }
  const char *why = read_framing(h1, &framing);
  reply->keep_alive =
      !framing.close && !reply->until_close && (reply->minor > 0 || framing.keep_alive);
  return why;
}

/* --- heads ---------------------------------------------------------------------------------------- */

/* Only a line that ends in CR LF is beyond doubt; llhttp judges the others. */
static bool ends_well(struct tg_slice line) {
  return line.len > 2 && line.ptr[line.len - 2] == '\r' && strict_line(line);
}

static enum tg_h1_event finish_head(struct tg_h1_message *message, struct tg_slice last) {
  struct tg_h1_reply *h1 = owner_of(message);
  struct tg_reply *reply = &h1->reply;
  const char *block = tg_h1_message_gather(message, last, &reply->fields);
  if (!block) return tg_h1_message_fail(message, 500, "out of memory");
  reply->field_count = message->span_count;
  const char *why = read_line(h1, block);
  if (!why) why = check(h1);
  if (why) return tg_h1_message_fail(message, 502, why);
  if (!reply->has_body)
    message->phase = TG_H1_PHASE_DONE;
  else if (reply->chunked)
    tg_h1_message_expect_chunks(message);
  else if (reply->until_close)
    message->phase = TG_H1_PHASE_RAW;
  else
    tg_h1_message_expect_length(message, reply->content_length);
  return TG_H1_HEAD;
}

static const struct tg_h1_kind kind = {
    .type = HTTP_RESPONSE,
    .status = 502,
    .long_line = "the status line is too long",
    .malformed = "the reply is malformed",
    .bad_line = "the reply does not begin with a status line of HTTP/1.0 or HTTP/1.1",
    .line_ends_well = ends_well,
    .finish_head = finish_head,
};

static void begin(struct tg_h1_reply *h1) {
  tg_h1_message_init(&h1->message, &kind, h1->arena, &h1->limits);
  h1->reply = (struct tg_reply){0};
}

/* --- the interface -------------------------------------------------------------------------------- */

void tg_h1_reply_init(struct tg_h1_reply *h1, struct tg_arena *arena, enum tg_reply_to to,
                      uint32_t head_bytes, uint32_t head_fields) {
  h1->to = to;
  h1->arena = arena;
  h1->limits = (struct tg_h1_limits){
      .line = head_bytes, .block = head_bytes, .fields = head_fields, .body = UINT64_MAX};
  begin(h1);
}

static bool is_interim(const struct tg_reply *reply) {
  return reply->status >= 100 && reply->status < 200 && reply->status != 101;
}

enum tg_h1_event tg_h1_reply_feed(struct tg_h1_reply *h1, struct tg_slice bytes, size_t *used) {
  if (h1->message.phase == TG_H1_PHASE_DONE && is_interim(&h1->reply)) begin(h1);
  if (bytes.len) h1->message.started = true;
  enum tg_h1_event event = tg_h1_message_feed(&h1->message, bytes, used);
  if (event == TG_H1_END) {
    h1->reply.trailers = h1->message.trailers;
    h1->reply.trailer_count = h1->message.trailer_count;
  }
  return event;
}

bool tg_h1_reply_ends_here(const struct tg_h1_reply *h1) {
  return h1->message.phase == TG_H1_PHASE_RAW ||
         (h1->message.phase == TG_H1_PHASE_DONE && !is_interim(&h1->reply));
}

uint64_t tg_h1_reply_left(const struct tg_h1_reply *h1) {
  const struct tg_h1_message *message = &h1->message;
  if (message->phase == TG_H1_PHASE_LENGTH) return message->length - message->body_seen;
  return message->phase == TG_H1_PHASE_DONE && !is_interim(&h1->reply) ? 0 : UINT64_MAX;
}

struct tg_slice tg_reply_find(const struct tg_reply *reply, struct tg_slice name) {
  for (uint32_t i = 0; i < reply->field_count; i++)
    if (tg_slice_ieq(reply->fields[i].name, name)) return reply->fields[i].value;
  return tg_slice(NULL, 0);
}
