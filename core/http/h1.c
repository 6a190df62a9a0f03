/* How the machine works. A message is a chain of phases; each phase says how many bytes it may
 * still take, gives llhttp no more than those, and judges after them. So every limit is met at the
 * same byte however the bytes were cut, and a head without an end costs no more than its limit.
 *
 * The request line with its fields, and later the trailers, are each one block. llhttp's spans are
 * kept as offsets from the block's begin. A block that came in one feed is copied once, when it is
 * complete; one that came in pieces is collected in `kept`. Only then are slices made and the rules
 * of request.c applied. A body with Content-Length is counted here; chunks are left to llhttp. */
#include "http/h1.h"

#include "base/check.h"

enum phase {
  PHASE_BLANK,
  PHASE_LINE,
  PHASE_FIELDS,
  PHASE_LENGTH,
  PHASE_CHUNKS,
  PHASE_TRAILERS,
  PHASE_DONE,
  PHASE_TUNNEL,
  PHASE_FAILED
};

struct tg_h1_span {
  uint32_t name, name_len;
  uint32_t value, value_len;
};

#define SPANS_FIRST     16
#define KEPT_FIRST      512
#define BLANK_LINES_MAX 24
#define CHUNK_FRAMING   24 /* what a chunk needs: its size in up to 16 digits and two line ends */

static enum tg_h1_event fail(struct tg_h1 *h1, int status, const char *text) {
  h1->error_status = status;
  h1->error_text = text;
  h1->started = true;
  h1->p.phase = PHASE_FAILED;
  return TG_H1_ERROR;
}

/* --- what llhttp reports ------------------------------------------------------------------------ */

static struct tg_h1 *owner_of(llhttp_t *parser) {
  return TG_CONTAINER(parser, struct tg_h1, parser);
}

/* For use in a callback: makes llhttp stop, and the message fail. */
static int refuse(struct tg_h1 *h1, int status, const char *text) {
  fail(h1, status, text);
  return HPE_USER;
}

static int pause_parser(struct tg_h1 *h1) {
  h1->p.stop = true;
  return HPE_PAUSED;
}

static uint32_t offset_of(const struct tg_h1 *h1, const char *at) {
  return h1->p.kept_len + (uint32_t)(at - h1->p.from);
}

static int on_url(llhttp_t *parser, const char *at, size_t len) {
  struct tg_h1 *h1 = owner_of(parser);
  if (h1->p.target_len == 0) h1->p.target = offset_of(h1, at);
  h1->p.target_len += (uint32_t)len;
  return 0;
}

static bool grow_spans(struct tg_h1 *h1) {
  uint32_t cap = h1->p.span_cap ? h1->p.span_cap * 2 : SPANS_FIRST;
  struct tg_h1_span *spans = tg_arena_alloc(h1->arena, cap * sizeof *spans);
  if (!spans) return false;
  if (h1->p.span_count) memcpy(spans, h1->p.spans, h1->p.span_count * sizeof *spans);
  h1->p.spans = spans;
  h1->p.span_cap = cap;
  return true;
}

/* A name that was cut in two goes on where its first part ended; a new name cannot begin there,
 * because a colon and a line end lie between. */
static int on_header_field(llhttp_t *parser, const char *at, size_t len) {
  struct tg_h1 *h1 = owner_of(parser);
  uint32_t offset = offset_of(h1, at);
  if (h1->p.span_count) {
    struct tg_h1_span *last = &h1->p.spans[h1->p.span_count - 1];
    if (last->name + last->name_len == offset) {
      last->name_len += (uint32_t)len;
      return 0;
    }
  }
  if (h1->p.span_count == h1->p.span_cap && !grow_spans(h1))
    return refuse(h1, 500, "out of memory");
  h1->p.spans[h1->p.span_count++] = (struct tg_h1_span){.name = offset, .name_len = (uint32_t)len};
  return 0;
}

/* Fields are counted at their colon, which no way of cutting the bytes can move. */
static int on_header_field_complete(llhttp_t *parser) {
  struct tg_h1 *h1 = owner_of(parser);
  if (h1->p.span_count > h1->settings->limits_header_count)
    return refuse(h1, 431, "too many header fields");
  return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t len) {
  struct tg_h1 *h1 = owner_of(parser);
  struct tg_h1_span *last = &h1->p.spans[h1->p.span_count - 1];
  uint32_t offset = offset_of(h1, at);
  if (last->value_len == 0)
    last->value = offset;
  else if (last->value + last->value_len != offset)
    return refuse(h1, 400, "a header field is folded over several lines");
  last->value_len += (uint32_t)len;
  return 0;
}

/* An upgrade or CONNECT that llhttp sees must not make it leave HTTP: nothing is upgraded here. */
static int on_headers_complete(llhttp_t *parser) {
  parser->upgrade = 0;
  return pause_parser(owner_of(parser));
}

/* Pauses at the last chunk, where the trailers' block begins. */
static int on_chunk_header(llhttp_t *parser) {
  struct tg_h1 *h1 = owner_of(parser);
  if (parser->content_length == 0) {
    h1->p.phase = PHASE_TRAILERS;
    return pause_parser(h1);
  }
  if (h1->p.body > h1->body_max || parser->content_length > h1->body_max - h1->p.body)
    return refuse(h1, 413, "the request body is too large");
  h1->p.framing_room += CHUNK_FRAMING;
  return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t len) {
  struct tg_h1 *h1 = owner_of(parser);
  if (len == 0) return 0;
  h1->body = tg_slice(at, len);
  return pause_parser(h1);
}

static int on_message_complete(llhttp_t *parser) {
  struct tg_h1 *h1 = owner_of(parser);
  h1->p.phase = PHASE_DONE;
  return pause_parser(h1);
}

static const llhttp_settings_t callbacks = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_field_complete = on_header_field_complete,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_chunk_header = on_chunk_header,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

static const char *text_of(llhttp_errno_t code) {
  switch (code) {
    case HPE_INVALID_METHOD: return "the request method is unknown or malformed";
    case HPE_INVALID_URL: return "the request target is malformed";
    case HPE_INVALID_VERSION:
    case HPE_INVALID_CONSTANT: return "the request line does not end with HTTP/1.0 or HTTP/1.1";
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
    default: return "the request is malformed";
  }
}

/* Runs llhttp over the bytes: TG_H1_MORE when it took them all or a callback paused it (p.stop),
 * TG_H1_ERROR when they are refused. *taken says how many it took. */
static enum tg_h1_event run(struct tg_h1 *h1, struct tg_slice bytes, size_t *taken) {
  h1->p.stop = false;
  llhttp_errno_t code = llhttp_execute(&h1->parser, bytes.ptr, bytes.len);
  *taken = bytes.len;
  if (TG_LIKELY(code == HPE_OK)) return TG_H1_MORE;
  *taken = (size_t)(llhttp_get_error_pos(&h1->parser) - bytes.ptr);
  if (TG_LIKELY(h1->p.stop)) return TG_H1_MORE;
  if (h1->p.phase == PHASE_FAILED) return TG_H1_ERROR;
  if (code == HPE_INVALID_VERSION && h1->parser.http_major >= 2)
    return fail(h1, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
  return fail(h1, 400, text_of(code));
}

/* --- blocks: the head, the trailers ------------------------------------------------------------- */

/* Keeps a copy of the fed bytes of a block that goes on. */
static bool keep(struct tg_h1 *h1, struct tg_slice bytes) {
  struct tg_h1_private *p = &h1->p;
  if (p->kept_cap - p->kept_len < bytes.len) {
    size_t cap = p->kept_cap ? p->kept_cap : KEPT_FIRST;
    while (cap - p->kept_len < bytes.len) cap *= 2;
    char *kept = tg_arena_alloc(h1->arena, cap);
    if (!kept) return false;
    if (p->kept_len) memcpy(kept, p->kept, p->kept_len);
    p->kept = kept;
    p->kept_cap = (uint32_t)cap;
  }
  memcpy(p->kept + p->kept_len, bytes.ptr, bytes.len);
  p->kept_len += (uint32_t)bytes.len;
  return true;
}

/* The whole block in one piece, in the arena; NULL when memory is gone. */
static const char *gather(struct tg_h1 *h1, struct tg_slice last) {
  if (h1->p.kept_len == 0) return tg_arena_copy(h1->arena, last).ptr;
  return keep(h1, last) ? h1->p.kept : NULL;
}

static bool make_fields(struct tg_h1 *h1, const char *block, struct tg_field **out) {
  uint32_t count = h1->p.span_count;
  if (count == 0) return true;
  struct tg_field *fields = tg_arena_alloc(h1->arena, count * sizeof *fields);
  if (!fields) return false;
  for (uint32_t i = 0; i < count; i++) {
    const struct tg_h1_span *span = &h1->p.spans[i];
    fields[i].name = tg_slice(block + span->name, span->name_len);
    fields[i].value = tg_slice_trim(tg_slice(block + span->value, span->value_len));
    fields[i].known = tg_request_field_name(fields[i].name);
  }
  *out = fields;
  return true;
}

static void begin_block(struct tg_h1 *h1) {
  h1->p.kept = NULL;
  h1->p.kept_len = h1->p.kept_cap = 0;
  h1->p.span_count = 0;
}

/* Room for the field lines and the empty line after them. */
static uint32_t block_room(const struct tg_h1 *h1) {
  return (uint32_t)h1->settings->limits_header_block + 2;
}

/* --- head --------------------------------------------------------------------------------------- */

/* RFC 9112 section 2.2 lets a client send empty lines before a request; a bare CR or LF is none. */
static enum tg_h1_event skip_blank_lines(struct tg_h1 *h1, struct tg_slice bytes, size_t *used) {
  for (; *used < bytes.len; ++*used) {
    char c = bytes.ptr[*used];
    if (h1->p.after_cr ? c != '\n' : c == '\n')
      return fail(h1, 400, "a line does not end with CR LF");
    if (c != '\n' && c != '\r') {
      h1->started = true;
      h1->p.phase = PHASE_LINE;
      return TG_H1_MORE;
    }
    h1->p.after_cr = c == '\r';
    if (c == '\n' && ++h1->p.blank_lines > BLANK_LINES_MAX)
      return fail(h1, 400, "too many empty lines before the request");
  }
  return TG_H1_MORE;
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
  unsigned number = h1->parser.method;
  return number < sizeof methods ? (enum tg_method)methods[number] : TG_METHOD_NONE;
}

/* What follows the line is not looked at when its version is wrong: HTTP/0.9 has no more, and
 * other versions have other rules. */
static enum tg_h1_event check_version(struct tg_h1 *h1) {
  if (h1->parser.http_major == 1 && h1->parser.http_minor <= 1) return TG_H1_MORE;
  if (h1->parser.http_major >= 2)
    return fail(h1, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
  return fail(h1, 400, "the request line does not end with HTTP/1.0 or HTTP/1.1");
}

/* Is the request line the method, one space, the target, one space and the version (RFC 9112
 * section 3)? llhttp skips further spaces, and knows protocols that are not HTTP. */
static bool strict_line(const struct tg_h1 *h1, const char *block) {
  size_t method_len = h1->request.method_name.len;
  if (method_len == 0) method_len = strlen(llhttp_method_name((llhttp_method_t)h1->parser.method));
  size_t end = h1->p.target + h1->p.target_len;
  return h1->p.target == method_len + 1 && memcmp(block + end, " HTTP/1.", 8) == 0;
}

static enum tg_h1_event finish_head(struct tg_h1 *h1, struct tg_slice last) {
  struct tg_request *request = &h1->request;
  const char *block = gather(h1, last);
  if (!block || !make_fields(h1, block, &request->fields)) return fail(h1, 500, "out of memory");
  request->field_count = h1->p.span_count;
  request->target = tg_slice(block + h1->p.target, h1->p.target_len);
  request->method = method_of(h1);
  request->method_name = tg_method_name(request->method);
  request->minor = h1->parser.http_minor;
  if (!strict_line(h1, block)) return fail(h1, 400, "the request line is malformed");
  struct tg_request_fault fault;
  if (!tg_request_check(request, h1->arena, &fault)) return fail(h1, fault.status, fault.text);
  if (!request->has_body) {
    h1->p.phase = PHASE_DONE;
  } else if (!request->chunked) {
    h1->p.phase = PHASE_LENGTH;
  } else {
    h1->p.phase = PHASE_CHUNKS;
    h1->p.framing_room = h1->settings->limits_header_block;
    begin_block(h1);
    llhttp_resume(&h1->parser);
  }
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

/* Feeds the request line, or the part of it that is there. The bytes of a line that ends well are
 * left to feed_fields: *line says how many. */
static enum tg_h1_event feed_line(struct tg_h1 *h1, struct tg_slice bytes, size_t *used,
                                  size_t *line) {
  struct tg_slice piece = tg_slice_skip(bytes, *used);
  if (piece.len > h1->p.room) piece.len = h1->p.room;
  const char *end = memchr(piece.ptr, '\n', piece.len);
  if (end) {
    piece.len = (size_t)(end - piece.ptr) + 1;
    h1->p.phase = PHASE_FIELDS;
    h1->p.room = block_room(h1);
    if (TG_LIKELY(ends_well(piece))) {
      *line = piece.len;
      return TG_H1_MORE;
    }
  } else {
    h1->p.room -= (uint32_t)piece.len;
  }
  size_t taken;
  enum tg_h1_event event = run(h1, piece, &taken);
  *used += taken;
  if (event == TG_H1_ERROR) return event;
  if (end) return check_version(h1);
  if (h1->p.room == 0) return fail(h1, 414, "the request line is too long");
  return event;
}

static enum tg_h1_event feed_fields(struct tg_h1 *h1, struct tg_slice bytes, size_t *used,
                                    size_t line) {
  struct tg_slice piece = tg_slice_skip(bytes, *used);
  if (piece.len == 0) return TG_H1_MORE;
  if (piece.len - line > h1->p.room) piece.len = line + h1->p.room;
  size_t taken;
  enum tg_h1_event event = run(h1, piece, &taken);
  *used += taken;
  if (event == TG_H1_ERROR || h1->p.stop) return event;
  h1->p.room -= (uint32_t)(piece.len - line);
  if (h1->p.room == 0) return fail(h1, 431, "the header fields are too large");
  return event;
}

static enum tg_h1_event feed_head(struct tg_h1 *h1, struct tg_slice bytes, size_t *used) {
  enum tg_h1_event event = TG_H1_MORE;
  if (h1->p.phase == PHASE_BLANK) event = skip_blank_lines(h1, bytes, used);
  if (event == TG_H1_ERROR || *used == bytes.len) return event;
  size_t begin = *used, line = 0;
  h1->p.from = bytes.ptr + begin;
  if (h1->p.phase == PHASE_LINE) event = feed_line(h1, bytes, used, &line);
  if (event == TG_H1_MORE && h1->p.phase == PHASE_FIELDS)
    event = feed_fields(h1, bytes, used, line);
  if (event == TG_H1_ERROR) return event;
  struct tg_slice piece = tg_slice(bytes.ptr + begin, *used - begin);
  if (h1->p.stop) return finish_head(h1, piece);
  return keep(h1, piece) ? TG_H1_MORE : fail(h1, 500, "out of memory");
}

/* --- body --------------------------------------------------------------------------------------- */

static enum tg_h1_event feed_length(struct tg_h1 *h1, struct tg_slice bytes, size_t *used) {
  uint64_t length = h1->request.content_length;
  if (length > h1->body_max) return fail(h1, 413, "the request body is too large");
  uint64_t left = length - h1->p.body;
  if (left == 0) {
    h1->p.phase = PHASE_DONE;
    return TG_H1_END;
  }
  if (bytes.len == 0) return TG_H1_MORE;
  *used = bytes.len < left ? bytes.len : (size_t)left;
  h1->p.body += *used;
  h1->body = tg_slice(bytes.ptr, *used);
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

static enum tg_h1_event finish_trailers(struct tg_h1 *h1, struct tg_slice last) {
  if (h1->p.span_count == 0) return TG_H1_END;
  const char *block = gather(h1, last);
  struct tg_field *fields = NULL;
  if (!block || !make_fields(h1, block, &fields)) return fail(h1, 500, "out of memory");
  uint32_t kept = 0;
  for (uint32_t i = 0; i < h1->p.span_count; i++)
    if (allowed_trailer(&fields[i])) fields[kept++] = fields[i];
  h1->request.trailers = fields;
  h1->request.trailer_count = kept;
  return TG_H1_END;
}

static enum tg_h1_event feed_trailers(struct tg_h1 *h1, struct tg_slice bytes, size_t *used) {
  if (*used == bytes.len) return TG_H1_MORE;
  size_t begin = *used;
  h1->p.from = bytes.ptr + begin;
  enum tg_h1_event event = feed_fields(h1, bytes, used, 0);
  if (event == TG_H1_ERROR) return event;
  struct tg_slice piece = tg_slice(bytes.ptr + begin, *used - begin);
  if (h1->p.phase == PHASE_DONE) return finish_trailers(h1, piece);
  return keep(h1, piece) ? TG_H1_MORE : fail(h1, 500, "out of memory");
}

/* Size lines and extensions have a room of their own, so that a body of nothing but extensions
 * ends; bytes of the body do not count. */
static enum tg_h1_event feed_chunks(struct tg_h1 *h1, struct tg_slice bytes, size_t *used) {
  for (;;) {
    if (h1->p.framing_room == 0) return fail(h1, 400, "the chunk extensions are too large");
    if (*used == bytes.len) return TG_H1_MORE;
    struct tg_slice piece = tg_slice_skip(bytes, *used);
    if (piece.len > h1->p.framing_room) piece.len = (size_t)h1->p.framing_room;
    size_t taken;
    h1->body = tg_slice(NULL, 0);
    enum tg_h1_event event = run(h1, piece, &taken);
    *used += taken;
    if (event == TG_H1_ERROR) return event;
    h1->p.framing_room -= taken - h1->body.len;
    if (!h1->p.stop) continue;
    llhttp_resume(&h1->parser);
    if (h1->p.phase == PHASE_TRAILERS) {
      h1->p.room = block_room(h1);
      return feed_trailers(h1, bytes, used);
    }
    h1->p.body += h1->body.len;
    if (h1->p.body > h1->body_max) return fail(h1, 413, "the request body is too large");
    return TG_H1_BODY;
  }
}

/* --- another protocol ---------------------------------------------------------------------------- */

static enum tg_h1_event feed_tunnel(struct tg_h1 *h1, struct tg_slice bytes, size_t *used) {
  if (bytes.len == 0) return TG_H1_MORE;
  *used = bytes.len;
  h1->body = bytes;
  return TG_H1_BODY;
}

void tg_h1_tunnel(struct tg_h1 *h1) {
  h1->p.phase = PHASE_TUNNEL;
}

/* --- the interface ------------------------------------------------------------------------------ */

void tg_h1_init(struct tg_h1 *h1, struct tg_arena *arena, const struct tg_settings *settings) {
  llhttp_init(&h1->parser, HTTP_REQUEST, &callbacks);
  h1->request = (struct tg_request){0};
  h1->body = tg_slice(NULL, 0);
  h1->error_status = 0;
  h1->error_text = NULL;
  h1->body_max = settings->limits_body;
  h1->started = false;
  h1->settings = settings;
  h1->arena = arena;
  h1->p = (struct tg_h1_private){.room = (uint32_t)settings->limits_request_line + 2};
}

enum tg_h1_event tg_h1_feed(struct tg_h1 *h1, struct tg_slice bytes, size_t *used) {
  *used = 0;
  switch ((enum phase)h1->p.phase) {
    case PHASE_BLANK:
    case PHASE_LINE:
    case PHASE_FIELDS: return feed_head(h1, bytes, used);
    case PHASE_LENGTH: return feed_length(h1, bytes, used);
    case PHASE_CHUNKS: return feed_chunks(h1, bytes, used);
    case PHASE_TRAILERS: return feed_trailers(h1, bytes, used);
    case PHASE_DONE: return TG_H1_END;
    case PHASE_TUNNEL: return feed_tunnel(h1, bytes, used);
    case PHASE_FAILED: break;
  }
  return TG_H1_ERROR;
}
