/* The frame parser: a head of 2 to 14 bytes, looked at as it comes, then its payload.
 *
 * Payload is unmasked on its way into the buffer and checked there. Nothing is reserved for bytes
 * that have not come, so a length that is promised costs nothing. */
#include "http/websocket.h"

#include <string.h>

#include "base/utf8.h"
#include "http/ws_deflate.h"

/* RSV1 (RFC 7692 section 6). */
#define COMPRESSED 0x40
/* Fragments without a byte that a message may have; they take no memory, but they take time. */
#define EMPTY_MAX 1024u

void tg_ws_parser_init(struct tg_ws_parser *parser, bool masked, size_t message_max) {
  *parser = (struct tg_ws_parser){.masked = masked, .message_max = message_max, .head_need = 2};
}

static enum tg_ws_event fail(struct tg_ws_parser *parser, enum tg_ws_code code, const char *text) {
  parser->code = (uint16_t)code;
  parser->text = text;
  return TG_WS_ERROR;
}

/* Compressed bytes that are unmasked at a time. */
#define BLOCK 4096u

/* ---- heads ---- */

static bool is_control(const struct tg_ws_parser *parser) {
  return parser->opcode >= TG_WS_CLOSE;
}

static bool is_final(const struct tg_ws_parser *parser) {
  return parser->head[0] & 0x80;
}

static enum tg_ws_event check_first(struct tg_ws_parser *parser) {
  uint8_t first = parser->head[0], opcode = first & 0x0f;
  parser->opcode = opcode;
  bool begins = opcode == TG_WS_TEXT || opcode == TG_WS_BINARY;
  bool compressed = (first & 0x70) == COMPRESSED && parser->deflate && begins;
  if ((first & 0x70) && !compressed) return fail(parser, TG_WS_PROTOCOL, "a reserved bit is set");
  switch (opcode) {
    case TG_WS_CONTINUATION:
      if (!parser->kind) return fail(parser, TG_WS_PROTOCOL, "a continuation of no message");
      return TG_WS_MORE;
    case TG_WS_TEXT:
    case TG_WS_BINARY:
      if (parser->kind) return fail(parser, TG_WS_PROTOCOL, "a message inside of another");
      parser->compressed = compressed;
      return TG_WS_MORE;
    case TG_WS_CLOSE:
    case TG_WS_PING:
    case TG_WS_PONG:
      if (!is_final(parser)) return fail(parser, TG_WS_PROTOCOL, "a control frame is fragmented");
      return TG_WS_MORE;
    default: return fail(parser, TG_WS_PROTOCOL, "an unknown opcode");
  }
}

static enum tg_ws_event check_second(struct tg_ws_parser *parser) {
  uint8_t second = parser->head[1], len = second & 0x7f;
  bool is_masked = second & 0x80;
  if (is_masked != parser->masked)
    return fail(parser, TG_WS_PROTOCOL, is_masked ? "a frame is masked" : "a frame is not masked");
  if (is_control(parser) && len > TG_WS_CONTROL_MAX)
    return fail(parser, TG_WS_PROTOCOL, "a control frame is too long");
  parser->head_need = (uint8_t)(2 + (len == 126 ? 2 : len == 127 ? 8 : 0) + (is_masked ? 4 : 0));
  return TG_WS_MORE;
}

/* What does not become smaller is wrapped by a few bytes for every 32 KiB. */
static uint64_t room_for(const struct tg_ws_parser *parser) {
  if (!parser->compressed) return parser->message_max - parser->len;
  return parser->message_max + parser->message_max / 1024 + 64 - parser->packed;
}

/* Lengths have one form, the shortest (section 5.2). */
static enum tg_ws_event read_length(struct tg_ws_parser *parser) {
  uint8_t len = parser->head[1] & 0x7f;
  unsigned more = len == 126 ? 2 : len == 127 ? 8 : 0;
  uint64_t left = more ? 0 : len;
  for (unsigned i = 0; i < more; i++) left = left << 8 | parser->head[2 + i];
  if ((more == 2 && left < 126) || (more == 8 && left <= UINT16_MAX) || left >> 63)
    return fail(parser, TG_WS_PROTOCOL, "a length is not in its shortest form");
  if (!is_control(parser) && left > room_for(parser))
    return fail(parser, TG_WS_TOO_LARGE, "the message is too large");
  parser->left = left;
  return TG_WS_MORE;
}

/* The record of a message stands there before its first byte. */
static enum tg_ws_event begin_payload(struct tg_ws_parser *parser, struct tg_buffer *out) {
  enum tg_ws_event event = read_length(parser);
  if (event == TG_WS_ERROR) return event;
  parser->in_payload = true;
  parser->mask_at = 0;
  parser->control_len = 0;
  if (is_control(parser)) return event;
  if (!parser->left && !is_final(parser) && ++parser->empty > EMPTY_MAX)
    return fail(parser, TG_WS_POLICY, "too many empty fragments");
  if (parser->kind) return event;
  struct tg_ws_record record = {0, parser->opcode};
  if (tg_buffer_append(out, &record, sizeof record))
    return fail(parser, TG_WS_FAILED, "out of memory");
  parser->kind = parser->opcode;
  return event;
}

static enum tg_ws_event feed_head(struct tg_ws_parser *parser, struct tg_slice bytes, size_t *used,
                                  struct tg_buffer *out) {
  enum tg_ws_event event = TG_WS_MORE;
  while (*used < bytes.len && event == TG_WS_MORE && !parser->in_payload) {
    parser->head[parser->head_len++] = (uint8_t)bytes.ptr[(*used)++];
    if (parser->head_len == 1) event = check_first(parser);
    if (parser->head_len == 2) event = check_second(parser);
    if (event == TG_WS_MORE && parser->head_len == parser->head_need)
      event = begin_payload(parser, out);
  }
  return event;
}

/* ---- payload ---- */

static void unmask(struct tg_ws_parser *parser, char *to, const char *from, size_t len) {
  if (!parser->masked) {
    memcpy(to, from, len);
    return;
  }
  const uint8_t *key = parser->head + parser->head_need - 4;
  uint8_t turned[8];
  for (unsigned i = 0; i < 8; i++) turned[i] = key[(parser->mask_at + i) & 3];
  uint64_t mask, word;
  memcpy(&mask, turned, 8);
  size_t i = 0;
  for (; len - i >= 8; i += 8) {
    memcpy(&word, from + i, 8);
    word ^= mask;
    memcpy(to + i, &word, 8);
  }
  for (; i < len; i++) to[i] = (char)((uint8_t)from[i] ^ turned[i & 7]);
  parser->mask_at = (uint8_t)((parser->mask_at + len) & 3);
}

static enum tg_ws_event feed_control(struct tg_ws_parser *parser, struct tg_slice piece) {
  unmask(parser, parser->control + parser->control_len, piece.ptr, piece.len);
  parser->control_len = (uint8_t)(parser->control_len + piece.len);
  return TG_WS_MORE;
}

/* Looks at what a compressed piece has added to the message. */
static enum tg_ws_event take_inflated(struct tg_ws_parser *parser, struct tg_buffer *out,
                                      size_t before, tg_status status) {
  size_t made = tg_buffer_size(out) - before;
  parser->len += made;
  if (status == TG_ETOO_LARGE) return fail(parser, TG_WS_TOO_LARGE, "the message is too large");
  if (status == TG_ENOMEM) return fail(parser, TG_WS_FAILED, "out of memory");
  if (status) return fail(parser, TG_WS_INVALID, "the message is not compressed data");
  if (parser->kind == TG_WS_TEXT &&
      !tg_utf8_run_feed(&parser->run, tg_buffer_tail(out) - made, made))
    return fail(parser, TG_WS_INVALID, "the text is not UTF-8");
  return TG_WS_MORE;
}

static enum tg_ws_event feed_compressed(struct tg_ws_parser *parser, struct tg_slice piece,
                                        struct tg_buffer *out) {
  enum tg_ws_event event = TG_WS_MORE;
  parser->packed += piece.len;
  while (piece.len && event == TG_WS_MORE) {
    char block[BLOCK];
    size_t len = piece.len < BLOCK ? piece.len : BLOCK, before = tg_buffer_size(out);
    unmask(parser, block, piece.ptr, len);
    piece = tg_slice_skip(piece, len);
    tg_status status = tg_ws_inflate(parser->deflate, tg_slice(block, len), out,
                                     parser->message_max - parser->len);
    event = take_inflated(parser, out, before, status);
  }
  return event;
}

static enum tg_ws_event feed_data(struct tg_ws_parser *parser, struct tg_slice piece,
                                  struct tg_buffer *out) {
  if (parser->compressed) return feed_compressed(parser, piece, out);
  if (tg_buffer_reserve(out, piece.len)) return fail(parser, TG_WS_FAILED, "out of memory");
  char *to = tg_buffer_tail(out);
  unmask(parser, to, piece.ptr, piece.len);
  tg_buffer_wrote(out, piece.len);
  parser->len += piece.len;
  if (parser->kind == TG_WS_TEXT && !tg_utf8_run_feed(&parser->run, to, piece.len))
    return fail(parser, TG_WS_INVALID, "the text is not UTF-8");
  return TG_WS_MORE;
}

/* Section 7.1.5 and 7.1.6: nothing, or a code and perhaps a reason. */
static enum tg_ws_event finish_close(struct tg_ws_parser *parser) {
  parser->code = TG_WS_NO_CODE;
  if (parser->control_len == 0) return TG_WS_CONTROL;
  if (parser->control_len == 1) return fail(parser, TG_WS_PROTOCOL, "half a close code");
  unsigned code = (uint8_t)parser->control[0] * 256u + (uint8_t)parser->control[1];
  if (!tg_ws_valid_code(code)) return fail(parser, TG_WS_PROTOCOL, "the close code is not allowed");
  size_t len = parser->control_len - 2u;
  if (tg_utf8_check(parser->control + 2, len) != len)
    return fail(parser, TG_WS_INVALID, "the close reason is not UTF-8");
  parser->code = (uint16_t)code;
  return TG_WS_CONTROL;
}

static enum tg_ws_event finish_message(struct tg_ws_parser *parser, struct tg_buffer *out) {
  if (parser->compressed) {
    size_t before = tg_buffer_size(out);
    tg_status status = tg_ws_inflate_end(parser->deflate, out, parser->message_max - parser->len);
    if (take_inflated(parser, out, before, status) == TG_WS_ERROR) return TG_WS_ERROR;
  }
  struct tg_ws_record record = {(uint32_t)parser->len, parser->kind};
  if (parser->run.need) return fail(parser, TG_WS_INVALID, "the text is not UTF-8");
  memcpy(out->data + out->len - parser->len - sizeof record, &record, sizeof record);
  parser->len = parser->packed = 0;
  parser->kind = 0;
  parser->empty = 0;
  return TG_WS_MESSAGE;
}

static enum tg_ws_event finish_frame(struct tg_ws_parser *parser, struct tg_buffer *out) {
  parser->in_payload = false;
  parser->head_len = 0;
  parser->head_need = 2;
  if (parser->opcode == TG_WS_CLOSE) return finish_close(parser);
  if (is_control(parser)) return TG_WS_CONTROL;
  return is_final(parser) ? finish_message(parser, out) : TG_WS_MORE;
}

static enum tg_ws_event feed_payload(struct tg_ws_parser *parser, struct tg_slice bytes,
                                     size_t *used, struct tg_buffer *out) {
  struct tg_slice piece = tg_slice_skip(bytes, *used);
  if (piece.len > parser->left) piece.len = (size_t)parser->left;
  *used += piece.len;
  parser->left -= piece.len;
  enum tg_ws_event event = TG_WS_MORE;
  if (piece.len)
    event = is_control(parser) ? feed_control(parser, piece) : feed_data(parser, piece, out);
  return event == TG_WS_MORE && !parser->left ? finish_frame(parser, out) : event;
}

enum tg_ws_event tg_ws_feed(struct tg_ws_parser *parser, struct tg_slice bytes, size_t *used,
                            struct tg_buffer *out) {
  enum tg_ws_event event = TG_WS_MORE;
  *used = 0;
  while (event == TG_WS_MORE && *used < bytes.len) {
    if (!parser->in_payload) event = feed_head(parser, bytes, used, out);
    if (event == TG_WS_MORE && parser->in_payload) event = feed_payload(parser, bytes, used, out);
  }
  return event;
}

size_t tg_ws_unfinished(const struct tg_ws_parser *parser) {
  return parser->kind ? parser->len + sizeof(struct tg_ws_record) : 0;
}

/* ---- writing ---- */

size_t tg_ws_write_head(char out[TG_WS_HEAD_MAX], enum tg_ws_opcode opcode, bool compressed,
                        size_t len) {
  uint64_t rest = len;
  unsigned more = len < 126 ? 0 : len <= UINT16_MAX ? 2 : 8;
  out[0] = (char)(0x80 | (compressed ? COMPRESSED : 0) | opcode);
  out[1] = (char)(more == 0 ? len : more == 2 ? 126 : 127);
  for (unsigned i = more; i > 0; i--, rest >>= 8) out[1 + i] = (char)(rest & 0xff);
  return 2 + more;
}

bool tg_ws_valid_code(unsigned code) {
  if (code >= 3000) return code <= 4999;
  return code >= 1000 && code <= 1014 && code != 1004 && code != TG_WS_NO_CODE &&
         code != TG_WS_ABNORMAL;
}

size_t tg_ws_write_close(char out[TG_WS_CONTROL_MAX], unsigned code, struct tg_slice reason) {
  out[0] = (char)(code >> 8);
  out[1] = (char)(code & 0xff);
  if (reason.len > TG_WS_REASON_MAX)
    reason.len = tg_utf8_check(reason.ptr, TG_WS_REASON_MAX); /* a cut character is left out */
  if (reason.len) memcpy(out + 2, reason.ptr, reason.len);
  return 2 + reason.len;
}
