/* Serialising of answers: see response.h.
 *
 * A head is written in two passes: the first checks every field and adds up an upper bound, the
 * second copies without another check of room. What is the same for all answers of a status, from
 * the version to the name of the Date field, is one constant. */
#include "http/response.h"

#include "base/escape.h"
#include "http/head_text.h"

/* RFC 9110 section 15 and the registry of IANA. */
#define STATUS_MAP(X)                       \
  X(100, "Continue")                        \
  X(101, "Switching Protocols")             \
  X(102, "Processing")                      \
  X(103, "Early Hints")                     \
  X(200, "OK")                              \
  X(201, "Created")                         \
  X(202, "Accepted")                        \
  X(203, "Non-Authoritative Information")   \
  X(204, "No Content")                      \
  X(205, "Reset Content")                   \
  X(206, "Partial Content")                 \
  X(207, "Multi-Status")                    \
  X(208, "Already Reported")                \
  X(226, "IM Used")                         \
  X(300, "Multiple Choices")                \
  X(301, "Moved Permanently")               \
  X(302, "Found")                           \
  X(303, "See Other")                       \
  X(304, "Not Modified")                    \
  X(305, "Use Proxy")                       \
  X(307, "Temporary Redirect")              \
  X(308, "Permanent Redirect")              \
  X(400, "Bad Request")                     \
  X(401, "Unauthorized")                    \
  X(402, "Payment Required")                \
  X(403, "Forbidden")                       \
  X(404, "Not Found")                       \
  X(405, "Method Not Allowed")              \
  X(406, "Not Acceptable")                  \
  X(407, "Proxy Authentication Required")   \
  X(408, "Request Timeout")                 \
  X(409, "Conflict")                        \
  X(410, "Gone")                            \
  X(411, "Length Required")                 \
  X(412, "Precondition Failed")             \
  X(413, "Content Too Large")               \
  X(414, "URI Too Long")                    \
  X(415, "Unsupported Media Type")          \
  X(416, "Range Not Satisfiable")           \
  X(417, "Expectation Failed")              \
  X(418, "I'm a teapot")                    \
  X(421, "Misdirected Request")             \
  X(422, "Unprocessable Content")           \
  X(423, "Locked")                          \
  X(424, "Failed Dependency")               \
  X(425, "Too Early")                       \
  X(426, "Upgrade Required")                \
  X(428, "Precondition Required")           \
  X(429, "Too Many Requests")               \
  X(431, "Request Header Fields Too Large") \
  X(451, "Unavailable For Legal Reasons")   \
  X(499, "Client Closed Request")           \
  X(500, "Internal Server Error")           \
  X(501, "Not Implemented")                 \
  X(502, "Bad Gateway")                     \
  X(503, "Service Unavailable")             \
  X(504, "Gateway Timeout")                 \
  X(505, "HTTP Version Not Supported")      \
  X(506, "Variant Also Negotiates")         \
  X(507, "Insufficient Storage")            \
  X(508, "Loop Detected")                   \
  X(511, "Network Authentication Required")

#define START(code, reason) "HTTP/1.1 " code " " reason "\r\nServer: tidegate\r\n"
#define UNKNOWN_START       START("000", "Unknown")
#define UNKNOWN_DIGITS      9 /* where the three digits of UNKNOWN_START stand */

struct status_row {
  struct tg_slice reason;
  struct tg_slice start;
};

/* A slice of a literal that may stand in a static initialiser. */
#define LITERAL(text) \
  { ("" text), sizeof(text) - 1 }

static const struct status_row rows[500] = {
#define X(code, reason) [code - 100] = {LITERAL(reason), LITERAL(START(#code, reason))},
    STATUS_MAP(X)
#undef X
};

struct tg_slice tg_response_reason(int status) {
  if (status >= 100 && status <= 599 && rows[status - 100].reason.len)
    return rows[status - 100].reason;
  return TG_SLICE("Unknown");
}

/* --- checks --------------------------------------------------------------------------------------- */

/* One bit for each byte value: may it stand in a token (RFC 9110 section 5.6.2)? */
static const uint32_t token_bits[8] = {
    0, 0x03FF6CFA, /* ! # $ % & ' * + - . 0-9 */
    0xC7FFFFFE,    /* A-Z ^ _ */
    0x57FFFFFF,    /* ` a-z | ~ */
};

static bool valid_name(struct tg_slice name) {
  if (name.len == 0) return false;
  for (size_t i = 0; i < name.len; i++) {
    unsigned char c = (unsigned char)name.ptr[i];
    if (!(token_bits[c >> 5] >> (c & 31) & 1)) return false;
  }
  return true;
}

static bool valid_value_slow(const char *ptr, size_t len) {
  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)ptr[i];
    if ((c < 0x20 && c != '\t') || c == 0x7F) return false;
  }
  return true;
}

#define EACH_BYTE(value) (0x0101010101010101ull * (value))

/* Eight bytes at a time: the top bit of a lane is set where a byte lies below 0x20 or is 0x7F (and,
 * because borrows run on, perhaps above such a byte). Tabs are odd, too. */
static inline uint64_t odd_bytes(const char *ptr) {
  uint64_t word;
  memcpy(&word, ptr, 8);
  uint64_t del = word ^ EACH_BYTE(0x7F);
  return (((word - EACH_BYTE(0x20)) & ~word) | ((del - EACH_BYTE(1)) & ~del)) & EACH_BYTE(0x80);
}

typedef unsigned char lanes __attribute__((vector_size(16)));

static inline lanes odd_lanes(const char *ptr) {
  lanes bytes;
  memcpy(&bytes, ptr, sizeof bytes);
  return (lanes)(bytes < 0x20) | (lanes)(bytes == 0x7F);
}

static bool any(lanes bytes) {
  uint64_t half[2];
  memcpy(half, &bytes, sizeof half);
  return half[0] | half[1];
}

/* What is read last may overlap what was read before; where a byte is odd, the slow loop decides.
 */
static bool valid_value(struct tg_slice value) {
  const char *ptr = value.ptr;
  size_t len = value.len;
  bool odd = true;
  if (len >= 16) {
    lanes found = odd_lanes(ptr + len - 16);
    for (size_t i = 0; i + 16 < len; i += 16) found |= odd_lanes(ptr + i);
    odd = any(found);
  } else if (len >= 8) {
    odd = odd_bytes(ptr) | odd_bytes(ptr + len - 8);
  }
  return !odd || valid_value_slow(ptr, len);
}

bool tg_response_valid_field(struct tg_slice name, struct tg_slice value) {
  return valid_name(name) && valid_value(value);
}

/* Fields that the writer itself decides; a handler's own would contradict the bytes that follow. */
static bool ours(struct tg_slice name) {
  switch (name.len) {
    case 4: return tg_slice_ieq(name, TG_SLICE("Date"));
    case 6: return tg_slice_ieq(name, TG_SLICE("Server"));
    case 10: return tg_slice_ieq(name, TG_SLICE("Connection"));
    case 14: return tg_slice_ieq(name, TG_SLICE("Content-Length"));
    case 17: return tg_slice_ieq(name, TG_SLICE("Transfer-Encoding"));
    default: return false;
  }
}

/* --- the head ------------------------------------------------------------------------------------- */

static char *put_decimal(char *out, uint64_t number) {
  char digits[20];
  size_t at = sizeof digits;
  do digits[--at] = (char)('0' + number % 10);
  while (number /= 10);
  memcpy(out, digits + at, sizeof digits - at);
  return out + (sizeof digits - at);
}

static char *put_start(char *out, int status) {
  struct tg_slice start = rows[status - 100].start;
  if (start.len) return tg_head_put(out, start);
  char *end = TG_HEAD_PUT(out, UNKNOWN_START);
  put_decimal(out + UNKNOWN_DIGITS, (uint64_t)status);
  return end;
}

static char *put_framing(char *out, const struct tg_response_head *head) {
  /* RFC 9110 section 8.6 and RFC 9112 section 6.1: never in 1xx and 204, whatever was asked for. */
  if (head->status >= 200 && head->status != 204 && head->length != TG_LENGTH_NONE) {
    if (head->length == TG_LENGTH_CHUNKED) {
      out = TG_HEAD_PUT(out, "Transfer-Encoding: chunked\r\n");
    } else {
      out = TG_HEAD_PUT(out, "Content-Length: ");
      out = put_decimal(out, head->length);
      out = TG_HEAD_PUT(out, "\r\n");
    }
  }
  if (head->close) return TG_HEAD_PUT(out, "Connection: close\r\n");
  if (head->keep_alive) return TG_HEAD_PUT(out, "Connection: keep-alive\r\n");
  if (head->upgrade) return TG_HEAD_PUT(out, "Connection: upgrade\r\n");
  return out;
}

/* Longest start line with Server, every line that put_framing may write, the names of Date and
 * Content-Type, and the blank line. */
#define FIXED_MAX 256

static tg_status check_head(const struct tg_response_head *head, size_t *room) {
  if (head->status < 100 || head->status > 599) return TG_EINVALID;
  if (!valid_value(head->content_type) || !valid_value(head->date)) return TG_EINVALID;
  size_t total = FIXED_MAX + head->content_type.len + head->date.len;
  for (size_t i = 0; i < head->field_count; i++) {
    const struct tg_response_field *field = &head->fields[i];
    if (!valid_name(field->name) || !valid_value(field->value)) return TG_EINVALID;
    if (__builtin_add_overflow(total, field->name.len + 4, &total) ||
        __builtin_add_overflow(total, field->value.len, &total))
      return TG_ENOMEM;
  }
  *room = total;
  return TG_OK;
}

tg_status tg_response_write_head(struct tg_buffer *out, const struct tg_response_head *head) {
  size_t room;
  tg_status status = check_head(head, &room);
  if (status == TG_OK) status = tg_buffer_reserve(out, room);
  if (status) return status;
  char *begin = tg_buffer_tail(out);
  char *at = put_start(begin, head->status);
  if (head->date.len) {
    at = TG_HEAD_PUT(at, "Date: ");
    at = tg_head_put(at, head->date);
    at = TG_HEAD_PUT(at, "\r\n");
  }
  if (head->content_type.len) {
    at = TG_HEAD_PUT(at, "Content-Type: ");
    at = tg_head_put(at, head->content_type);
    at = TG_HEAD_PUT(at, "\r\n");
  }
  at = put_framing(at, head);
  for (size_t i = 0; i < head->field_count; i++) {
    const struct tg_response_field *field = &head->fields[i];
    if (ours(field->name)) continue;
    at = tg_head_put(at, field->name);
    at = TG_HEAD_PUT(at, ": ");
    at = tg_head_put(at, field->value);
    at = TG_HEAD_PUT(at, "\r\n");
  }
  at = TG_HEAD_PUT(at, "\r\n");
  tg_buffer_wrote(out, (size_t)(at - begin));
  return TG_OK;
}

size_t tg_response_chunk_head(uint64_t size, char *out) {
  char digits[16];
  size_t at = sizeof digits;
  do digits[--at] = "0123456789abcdef"[size & 15];
  while (size >>= 4);
  size_t len = sizeof digits - at;
  memcpy(out, digits + at, len);
  memcpy(out + len, "\r\n", 2);
  return len + 2;
}

tg_status tg_response_write_end(struct tg_buffer *out, const struct tg_response_field *trailers,
                                size_t count) {
  size_t room = 5;
  for (size_t i = 0; i < count; i++) room += trailers[i].name.len + trailers[i].value.len + 4;
  tg_status status = tg_buffer_reserve(out, room);
  if (status) return status;
  char *begin = tg_buffer_tail(out);
  char *at = TG_HEAD_PUT(begin, "0\r\n");
  for (size_t i = 0; i < count; i++) {
    if (!tg_response_valid_field(trailers[i].name, trailers[i].value)) continue;
    at = tg_head_put(at, trailers[i].name);
    at = TG_HEAD_PUT(at, ": ");
    at = tg_head_put(at, trailers[i].value);
    at = TG_HEAD_PUT(at, "\r\n");
  }
  at = TG_HEAD_PUT(at, "\r\n");
  tg_buffer_wrote(out, (size_t)(at - begin));
  return TG_OK;
}

/* --- problem documents ---------------------------------------------------------------------------- */

static tg_status append_member(struct tg_buffer *out, struct tg_slice begin, struct tg_slice text) {
  tg_status status = tg_buffer_append(out, begin.ptr, begin.len);
  return status ? status : tg_escape_append(out, text);
}

static tg_status append_problem(struct tg_buffer *out, const struct tg_problem *problem) {
  struct tg_slice type = problem->type.len ? problem->type : TG_SLICE("about:blank");
  struct tg_slice title = problem->title.len ? problem->title : tg_response_reason(problem->status);
  tg_status status = append_member(out, TG_SLICE("{\"type\":"), type);
  if (status == TG_OK) status = append_member(out, TG_SLICE(",\"title\":"), title);
  if (status == TG_OK) status = tg_buffer_format(out, ",\"status\":%d", problem->status);
  if (status == TG_OK && problem->detail.len)
    status = append_member(out, TG_SLICE(",\"detail\":"), problem->detail);
  if (status == TG_OK && problem->instance.len)
    status = append_member(out, TG_SLICE(",\"instance\":"), problem->instance);
  if (status == TG_OK && problem->members.len) {
    status = tg_buffer_append(out, ",", 1);
    if (status == TG_OK) status = tg_buffer_append(out, problem->members.ptr, problem->members.len);
  }
  if (status == TG_OK) status = tg_buffer_append(out, "}", 1);
  return status;
}

tg_status tg_response_write_problem(struct tg_buffer *out, const struct tg_problem *problem) {
  size_t before = tg_buffer_size(out);
  tg_status result = append_problem(out, problem);
  /* Growing may have moved the unread bytes to the front, so the old end is counted from the head.
   */
  if (result) out->len = out->head + before;
  return result;
}
