/* How the machine works. A message is a chain of phases; each phase says how many bytes it may
 * still take, gives llhttp no more than those, and judges after them. So every limit is met at the
 * same byte however the bytes were cut, and a head without an end costs no more than its limit.
 *
 * The start line with its fields, and later the trailers, are each one block. llhttp's spans are
 * kept as offsets from the block's begin. A block that came in one feed is copied once, when it is
 * complete; one that came in pieces is collected in `kept`. Only then are slices made and the rules
 * for whole heads applied. A body with Content-Length is counted here; chunks are left to llhttp.
 */
#include "http/h1_message.h"

#include "base/check.h"
#include "http/h1_block.h"

#define BLANK_LINES_MAX 24
#define CHUNK_FRAMING   24 /* what a chunk needs: its size in up to 16 digits and two line ends */

enum tg_h1_event tg_h1_message_fail(struct tg_h1_message *message, int status, const char *text) {
  message->error_status = message->kind->status && status != 500 ? message->kind->status : status;
  message->error_text = text;
  message->started = true;
  message->phase = TG_H1_PHASE_FAILED;
  return TG_H1_ERROR;
}

/* --- what llhttp reports ------------------------------------------------------------------------ */

static struct tg_h1_message *owner_of(llhttp_t *parser) {
  return TG_CONTAINER(parser, struct tg_h1_message, parser);
}

/* For use in a callback: makes llhttp stop, and the message fail. */
static int refuse(struct tg_h1_message *message, int status, const char *text) {
  tg_h1_message_fail(message, status, text);
  return HPE_USER;
}

static int pause_parser(struct tg_h1_message *message) {
  message->p.stop = true;
  return HPE_PAUSED;
}

static uint32_t offset_of(const struct tg_h1_message *message, const char *at) {
  return message->p.kept_len + (uint32_t)(at - message->p.from);
}

/* The target of a request, the reason of a reply. */
static int on_start(llhttp_t *parser, const char *at, size_t len) {
  struct tg_h1_message *message = owner_of(parser);
  if (message->start_len == 0) message->start = offset_of(message, at);
  message->start_len += (uint32_t)len;
  return 0;
}

/* A name that was cut in two goes on where its first part ended; a new name cannot begin there,
 * because a colon and a line end lie between. */
static int on_header_field(llhttp_t *parser, const char *at, size_t len) {
  struct tg_h1_message *message = owner_of(parser);
  uint32_t offset = offset_of(message, at);
  if (message->span_count) {
    struct tg_h1_span *last = &message->p.spans[message->span_count - 1];
    if (last->name + last->name_len == offset) {
      last->name_len += (uint32_t)len;
      return 0;
    }
  }
  struct tg_h1_span *span = tg_h1_block_add(message);
  if (!span) return refuse(message, 500, "out of memory");
  *span = (struct tg_h1_span){.name = offset, .name_len = (uint32_t)len};
  return 0;
}

/* Fields are counted at their colon, which no way of cutting the bytes can move. */
static int on_header_field_complete(llhttp_t *parser) {
  struct tg_h1_message *message = owner_of(parser);
  if (message->span_count > message->p.fields_max)
    return refuse(message, 431, "too many header fields");
  return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t len) {
  struct tg_h1_message *message = owner_of(parser);
  struct tg_h1_span *last = &message->p.spans[message->span_count - 1];
  uint32_t offset = offset_of(message, at);
  if (last->value_len == 0)
    last->value = offset;
  else if (last->value + last->value_len != offset)
    return refuse(message, 400, "a header field is folded over several lines");
  last->value_len += (uint32_t)len;
  return 0;
}

/* An upgrade or CONNECT that llhttp sees must not make it leave HTTP: that is for others to do. */
static int on_headers_complete(llhttp_t *parser) {
  parser->upgrade = 0;
  return pause_parser(owner_of(parser));
}

/* Pauses at the last chunk, where the trailers' block begins. */
static int on_chunk_header(llhttp_t *parser) {
  struct tg_h1_message *message = owner_of(parser);
  if (parser->content_length == 0) {
    message->phase = TG_H1_PHASE_TRAILERS;
    return pause_parser(message);
  }
  if (message->body_seen > message->body_max ||
      parser->content_length > message->body_max - message->body_seen)
    return refuse(message, 413, "the request body is too large");
  message->p.framing_room += CHUNK_FRAMING;
  return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t len) {
  struct tg_h1_message *message = owner_of(parser);
  if (len == 0) return 0;
  message->body = tg_slice(at, len);
  return pause_parser(message);
}

static int on_message_complete(llhttp_t *parser) {
  struct tg_h1_message *message = owner_of(parser);
  message->phase = TG_H1_PHASE_DONE;
  return pause_parser(message);
}

static const llhttp_settings_t callbacks = {
    .on_url = on_start,
    .on_status = on_start,
    .on_header_field = on_header_field,
    .on_header_field_complete = on_header_field_complete,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_chunk_header = on_chunk_header,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

static const char *text_of(const struct tg_h1_kind *kind, llhttp_errno_t code) {
  switch (code) {
    case HPE_INVALID_METHOD: return "the request method is unknown or malformed";
    case HPE_INVALID_URL: return "the request target is malformed";
    case HPE_INVALID_STATUS:
    case HPE_INVALID_VERSION:
    case HPE_INVALID_CONSTANT: return kind->bad_line;
    case HPE_INVALID_HEADER_TOKEN: return "a header field holds a byte that is not allowed";
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_UNEXPECTED_CONTENT_LENGTH:
      return "Content-Length is malformed or contradicts another field";
    case HPE_INVALID_TRANSFER_ENCODING: return "Transfer-Encoding is not chunked alone";
    case HPE_INVALID_CHUNK_SIZE: return "a chunk's size is malformed";
    case HPE_CR_EXPECTED:
    case HPE_LF_EXPECTED:
    case HPE_STRICT: return "a line does not end with CR LF";
    case HPE_UNEXPECTED_SPACE: return "white space where none is allowed";
    default: return kind->malformed;
  }
}

/* Runs llhttp over the bytes: TG_H1_MORE when it took them all or a callback paused it (p.stop),
 * TG_H1_ERROR when they are refused. *taken says how many it took. */
static enum tg_h1_event run(struct tg_h1_message *message, struct tg_slice bytes, size_t *taken) {
  message->p.stop = false;
  llhttp_errno_t code = llhttp_execute(&message->parser, bytes.ptr, bytes.len);
  *taken = bytes.len;
  if (TG_LIKELY(code == HPE_OK)) return TG_H1_MORE;
  *taken = (size_t)(llhttp_get_error_pos(&message->parser) - bytes.ptr);
  if (TG_LIKELY(message->p.stop)) return TG_H1_MORE;
  if (message->phase == TG_H1_PHASE_FAILED) return TG_H1_ERROR;
  if (code == HPE_INVALID_VERSION && message->parser.http_major >= 2)
    return tg_h1_message_fail(message, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
  return tg_h1_message_fail(message, 400, text_of(message->kind, code));
}

/* --- blocks: the head, the trailers ------------------------------------------------------------- */

/* Room for the field lines and the empty line after them. */
static uint32_t block_room(const struct tg_h1_message *message) {
  return message->p.block_max + 2;
}

/* --- head --------------------------------------------------------------------------------------- */

/* RFC 9112 section 2.2 lets a client send empty lines before a request; a bare CR or LF is none. */
static enum tg_h1_event skip_blank_lines(struct tg_h1_message *message, struct tg_slice bytes,
                                         size_t *used) {
  for (; *used < bytes.len; ++*used) {
    char c = bytes.ptr[*used];
    if (message->p.after_cr ? c != '\n' : c == '\n')
      return tg_h1_message_fail(message, 400, "a line does not end with CR LF");
    if (c != '\n' && c != '\r') {
      message->started = true;
      message->phase = TG_H1_PHASE_LINE;
      return TG_H1_MORE;
    }
    message->p.after_cr = c == '\r';
    if (c == '\n' && ++message->p.blank_lines > BLANK_LINES_MAX)
      return tg_h1_message_fail(message, 400, "too many empty lines before the request");
  }
  return TG_H1_MORE;
}

/* Feeds the start line, or the part of it that is there. The bytes of a line that ends well are
 * left to feed_fields: *line says how many. */
static enum tg_h1_event feed_line(struct tg_h1_message *message, struct tg_slice bytes,
                                  size_t *used, size_t *line) {
  const struct tg_h1_kind *kind = message->kind;
  struct tg_slice piece = tg_slice_skip(bytes, *used);
  if (piece.len > message->p.room) piece.len = message->p.room;
  const char *end = memchr(piece.ptr, '\n', piece.len);
  if (end) {
    piece.len = (size_t)(end - piece.ptr) + 1;
    message->phase = TG_H1_PHASE_FIELDS;
    message->p.room = block_room(message);
    if (TG_LIKELY(kind->line_ends_well(piece))) {
      *line = piece.len;
      return TG_H1_MORE;
    }
  } else {
    message->p.room -= (uint32_t)piece.len;
  }
  size_t taken;
  enum tg_h1_event event = run(message, piece, &taken);
  *used += taken;
  if (event == TG_H1_ERROR) return event;
  if (end) return kind->check_line ? kind->check_line(message) : event;
  if (message->p.room == 0)
    return tg_h1_message_fail(message, kind->long_line_status, kind->long_line);
  return event;
}

static enum tg_h1_event feed_fields(struct tg_h1_message *message, struct tg_slice bytes,
                                    size_t *used, size_t line) {
  struct tg_slice piece = tg_slice_skip(bytes, *used);
  if (piece.len == 0) return TG_H1_MORE;
  if (piece.len - line > message->p.room) piece.len = line + message->p.room;
  size_t taken;
  enum tg_h1_event event = run(message, piece, &taken);
  *used += taken;
  if (event == TG_H1_ERROR || message->p.stop) return event;
  message->p.room -= (uint32_t)(piece.len - line);
  if (message->p.room == 0)
    return tg_h1_message_fail(message, 431, "the header fields are too large");
  return event;
}

static enum tg_h1_event feed_head(struct tg_h1_message *message, struct tg_slice bytes,
                                  size_t *used) {
  enum tg_h1_event event = TG_H1_MORE;
  if (message->phase == TG_H1_PHASE_BLANK) event = skip_blank_lines(message, bytes, used);
  if (event == TG_H1_ERROR || *used == bytes.len) return event;
  size_t begin = *used, line = 0;
  message->p.from = bytes.ptr + begin;
  if (message->phase == TG_H1_PHASE_LINE) event = feed_line(message, bytes, used, &line);
  if (event == TG_H1_MORE && message->phase == TG_H1_PHASE_FIELDS)
    event = feed_fields(message, bytes, used, line);
  if (event == TG_H1_ERROR) return event;
  struct tg_slice piece = tg_slice(bytes.ptr + begin, *used - begin);
  if (message->p.stop) return message->kind->finish_head(message, piece);
  if (tg_h1_block_keep(message, piece)) return TG_H1_MORE;
  return tg_h1_message_fail(message, 500, "out of memory");
}

/* --- body --------------------------------------------------------------------------------------- */

void tg_h1_message_expect_length(struct tg_h1_message *message, uint64_t length) {
  message->phase = TG_H1_PHASE_LENGTH;
  message->length = length;
}

void tg_h1_message_expect_chunks(struct tg_h1_message *message) {
  message->phase = TG_H1_PHASE_CHUNKS;
  message->p.framing_room = message->p.block_max;
  tg_h1_block_begin(message);
  llhttp_resume(&message->parser);
}

static enum tg_h1_event feed_length(struct tg_h1_message *message, struct tg_slice bytes,
                                    size_t *used) {
  if (message->length > message->body_max)
    return tg_h1_message_fail(message, 413, "the request body is too large");
  uint64_t left = message->length - message->body_seen;
  if (left == 0) {
    message->phase = TG_H1_PHASE_DONE;
    return TG_H1_END;
  }
  if (bytes.len == 0) return TG_H1_MORE;
  *used = bytes.len < left ? bytes.len : (size_t)left;
  message->body_seen += *used;
  message->body = tg_slice(bytes.ptr, *used);
  return TG_H1_BODY;
}

/* Fields that must not be learned after the body: they frame, route or authenticate what has been
 * acted on by then, or say what the body was (RFC 9110 section 6.5.1). */
static bool allowed_trailer(const struct tg_field *field) {
  static const struct tg_slice refused[] = {{"te", 2},
                                            {"trailer", 7},
                                            {"authorization", 13},
                                            {"proxy-authorization", 19},
                                            {"set-cookie", 10},
                                            {"content-range", 13},
                                            {"content-encoding", 16}};
  if (field->known != TG_FIELD_OTHER) return false;
  for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
    if (tg_slice_ieq(field->name, refused[i])) return false;
  return true;
}

static enum tg_h1_event finish_trailers(struct tg_h1_message *message, struct tg_slice last) {
  struct tg_field *fields;
  if (message->span_count == 0) return TG_H1_END;
  if (!tg_h1_message_gather(message, last, &fields))
    return tg_h1_message_fail(message, 500, "out of memory");
  uint32_t kept = 0;
  for (uint32_t i = 0; i < message->span_count; i++)
    if (allowed_trailer(&fields[i])) fields[kept++] = fields[i];
  message->trailers = fields;
  message->trailer_count = kept;
  return TG_H1_END;
}

static enum tg_h1_event feed_trailers(struct tg_h1_message *message, struct tg_slice bytes,
                                      size_t *used) {
  if (*used == bytes.len) return TG_H1_MORE;
  size_t begin = *used;
  message->p.from = bytes.ptr + begin;
  enum tg_h1_event event = feed_fields(message, bytes, used, 0);
  if (event == TG_H1_ERROR) return event;
  struct tg_slice piece = tg_slice(bytes.ptr + begin, *used - begin);
  if (message->phase == TG_H1_PHASE_DONE) return finish_trailers(message, piece);
  if (tg_h1_block_keep(message, piece)) return TG_H1_MORE;
  return tg_h1_message_fail(message, 500, "out of memory");
}

/* Size lines and extensions have a room of their own, so that a body of nothing but extensions
 * ends; bytes of the body do not count. */
static enum tg_h1_event feed_chunks(struct tg_h1_message *message, struct tg_slice bytes,
                                    size_t *used) {
  for (;;) {
    if (message->p.framing_room == 0)
      return tg_h1_message_fail(message, 400, "the chunk extensions are too large");
    if (*used == bytes.len) return TG_H1_MORE;
    struct tg_slice piece = tg_slice_skip(bytes, *used);
    if (piece.len > message->p.framing_room) piece.len = (size_t)message->p.framing_room;
    size_t taken;
    message->body = tg_slice(NULL, 0);
    enum tg_h1_event event = run(message, piece, &taken);
    *used += taken;
    if (event == TG_H1_ERROR) return event;
    message->p.framing_room -= taken - message->body.len;
    if (!message->p.stop) continue;
    llhttp_resume(&message->parser);
    if (message->phase == TG_H1_PHASE_TRAILERS) {
      message->p.room = block_room(message);
      return feed_trailers(message, bytes, used);
    }
    message->body_seen += message->body.len;
    if (message->body_seen > message->body_max)
      return tg_h1_message_fail(message, 413, "the request body is too large");
    return TG_H1_BODY;
  }
}

static enum tg_h1_event feed_raw(struct tg_h1_message *message, struct tg_slice bytes,
                                 size_t *used) {
  if (bytes.len == 0) return TG_H1_MORE;
  *used = bytes.len;
  message->body = bytes;
  message->body_seen += bytes.len;
  return TG_H1_BODY;
}

/* --- the interface ------------------------------------------------------------------------------ */

void tg_h1_message_init(struct tg_h1_message *message, const struct tg_h1_kind *kind,
                        struct tg_arena *arena, const struct tg_h1_limits *limits) {
  llhttp_init(&message->parser, kind->type, &callbacks);
  message->body = tg_slice(NULL, 0);
  message->error_status = 0;
  message->error_text = NULL;
  message->body_max = limits->body;
  message->started = false;
  message->kind = kind;
  message->arena = arena;
  message->start = message->start_len = message->span_count = message->trailer_count = 0;
  message->trailers = NULL;
  message->phase = TG_H1_PHASE_LINE;
  message->length = message->body_seen = 0;
  message->p = (struct tg_h1_private){.room = (uint32_t)limits->line + 2,
                                      .block_max = (uint32_t)limits->block,
                                      .fields_max = (uint32_t)limits->fields};
}

enum tg_h1_event tg_h1_message_feed(struct tg_h1_message *message, struct tg_slice bytes,
                                    size_t *used) {
  *used = 0;
  switch ((enum tg_h1_phase)message->phase) {
    case TG_H1_PHASE_BLANK:
    case TG_H1_PHASE_LINE:
    case TG_H1_PHASE_FIELDS: return feed_head(message, bytes, used);
    case TG_H1_PHASE_LENGTH: return feed_length(message, bytes, used);
    case TG_H1_PHASE_CHUNKS: return feed_chunks(message, bytes, used);
    case TG_H1_PHASE_TRAILERS: return feed_trailers(message, bytes, used);
    case TG_H1_PHASE_DONE: return TG_H1_END;
    case TG_H1_PHASE_RAW: return feed_raw(message, bytes, used);
    case TG_H1_PHASE_FAILED: break;
  }
  return TG_H1_ERROR;
}
