/* The rules that a whole head has to keep: target, Host, framing, Connection and Expect.
 *
 * They are written against what the parser lets through, and judge the complete head in a fixed
 * order, so that the verdict does not depend on how the bytes arrived. What two servers could read
 * in two ways is refused here (RFC 9112 sections 3 and 6, and section 11.2 on smuggling). */
#include "http/request.h"

#include "http/framing.h"
#include "http/url.h"

struct tg_slice tg_request_find(const struct tg_request *request, struct tg_slice name) {
  for (uint32_t i = 0; i < request->field_count; i++)
    if (tg_slice_ieq(request->fields[i].name, name)) return request->fields[i].value;
  return tg_slice(NULL, 0);
}

struct tg_slice tg_request_find_known(const struct tg_request *request, enum tg_field_name known) {
  for (uint32_t i = 0; i < request->field_count; i++)
    if (request->fields[i].known == known) return request->fields[i].value;
  return tg_slice(NULL, 0);
}

enum tg_field_name tg_request_field_name(struct tg_slice name) {
#define IS(text, known) return tg_slice_ieq(name, TG_SLICE(text)) ? (known) : TG_FIELD_OTHER
  switch (name.len) {
    case 4: IS("host", TG_FIELD_HOST);
    case 6:
      switch (name.ptr[0] | 0x20) {
        case 'a': IS("accept", TG_FIELD_ACCEPT);
        case 'c': IS("cookie", TG_FIELD_COOKIE);
        case 'e': IS("expect", TG_FIELD_EXPECT);
        default: return TG_FIELD_OTHER;
      }
    case 7: IS("upgrade", TG_FIELD_UPGRADE);
    case 10: IS("connection", TG_FIELD_CONNECTION);
    case 12: IS("content-type", TG_FIELD_CONTENT_TYPE);
    case 14: IS("content-length", TG_FIELD_CONTENT_LENGTH);
    case 17: IS("transfer-encoding", TG_FIELD_TRANSFER_ENCODING);
    default: return TG_FIELD_OTHER;
  }
#undef IS
}

static bool refuse(struct tg_request_fault *fault, int status, const char *text) {
  *fault = (struct tg_request_fault){.status = status, .text = text};
  return false;
}

/* --- target ------------------------------------------------------------------------------------ */

enum { BYTE_BAD = 1, BYTE_PERCENT = 2, BYTE_STEP = 4, BYTE_FRAGMENT = 8, BYTE_QUERY = 16 };

/* What a byte of a target means for the checks that follow; STEP: a dot segment may be made of it.
 */
static const uint8_t byte_marks[256] = {
    [0 ... 0x20] = BYTE_BAD, [0x7f ... 0xff] = BYTE_BAD, ['%'] = BYTE_PERCENT, ['.'] = BYTE_STEP,
    ['\\'] = BYTE_STEP,      ['#'] = BYTE_FRAGMENT,      ['?'] = BYTE_QUERY,
};

static unsigned marks_of(struct tg_slice s) {
  unsigned marks = 0;
  for (size_t i = 0; i < s.len; i++) marks |= byte_marks[(unsigned char)s.ptr[i]];
  return marks;
}

/* Takes "http://authority" off an absolute-form target (RFC 9112 section 3.2.2). */
static bool take_authority(struct tg_request *request, struct tg_slice *rest,
                           struct tg_request_fault *fault) {
  size_t scheme = 0;
  if (rest->len >= 7 && tg_slice_ieq(tg_slice(rest->ptr, 7), TG_SLICE("http://"))) scheme = 7;
  if (rest->len >= 8 && tg_slice_ieq(tg_slice(rest->ptr, 8), TG_SLICE("https://"))) scheme = 8;
  if (!scheme)
    return refuse(fault, 400, "the request target is neither a path nor an http or https URL");
  *rest = tg_slice_skip(*rest, scheme);
  size_t len = 0;
  while (len < rest->len && rest->ptr[len] != '/' && rest->ptr[len] != '?') len++;
  request->host = tg_slice(rest->ptr, len);
  *rest = tg_slice_skip(*rest, len);
  if (!tg_url_valid_authority(request->host))
    return refuse(fault, 400, "the host of the request target is malformed");
  return true;
}

static bool split_path(struct tg_request *request, struct tg_slice rest, unsigned marks,
                       struct tg_arena *arena, struct tg_request_fault *fault) {
  const char *mark = marks & BYTE_QUERY ? memchr(rest.ptr, '?', rest.len) : NULL;
  if (mark) {
    size_t len = (size_t)(mark - rest.ptr);
    request->query = tg_slice_skip(rest, len + 1);
    rest.len = len;
  }
  if (rest.len == 0) rest = TG_SLICE("/");
  request->raw_path = request->path = rest;
  if (!(marks & (BYTE_PERCENT | BYTE_STEP))) return true;
  tg_status status = tg_url_normalise(arena, rest, &request->path);
  if (status == TG_OK) return true;
  if (status == TG_ENOMEM) return refuse(fault, 500, "out of memory");
  return refuse(fault, 400, "the path is malformed or leads out of the root");
}

static bool check_target(struct tg_request *request, struct tg_arena *arena,
                         struct tg_request_fault *fault) {
  struct tg_slice target = request->target;
  unsigned marks = marks_of(target);
  if (marks & BYTE_FRAGMENT) return refuse(fault, 400, "the request target has a fragment");
  if ((marks & BYTE_BAD) || target.len == 0)
    return refuse(fault, 400, "the request target holds a byte that is not allowed");
  if (request->method == TG_METHOD_CONNECT) {
    if (!tg_url_valid_authority(target) || !memchr(target.ptr, ':', target.len))
      return refuse(fault, 400, "the target of CONNECT is not a host and a port");
    request->host = target;
    request->raw_path = request->path = TG_SLICE("/");
    return true;
  }
  if ((marks & BYTE_PERCENT) && !tg_url_well_encoded(target))
    return refuse(fault, 400, "the request target has a malformed percent-encoding");
  if (target.ptr[0] == '/') return split_path(request, target, marks, arena, fault);
  if (request->method == TG_METHOD_OPTIONS && tg_slice_eq(target, TG_SLICE("*"))) {
    request->raw_path = request->path = target;
    return true;
  }
  if (!take_authority(request, &target, fault)) return false;
  if (request->method == TG_METHOD_OPTIONS && target.len == 0) {
    request->raw_path = request->path = TG_SLICE("*"); /* RFC 9112 section 3.2.4 */
    return true;
  }
  return split_path(request, target, marks, arena, fault);
}

/* --- fields ------------------------------------------------------------------------------------ */

/* The fields that decide something, as found in one pass; NULL where absent. */
struct found {
  struct tg_framing framing;
  const struct tg_field *host, *expect, *upgrade;
  bool repeated_expect;
};

static bool find_fields(const struct tg_request *request, struct found *found,
                        struct tg_request_fault *fault) {
  for (uint32_t i = 0; i < request->field_count; i++) {
    const struct tg_field *field = &request->fields[i];
    switch (field->known) {
      case TG_FIELD_HOST:
        if (found->host) return refuse(fault, 400, "more than one Host");
        found->host = field;
        break;
      case TG_FIELD_CONTENT_LENGTH:
      case TG_FIELD_TRANSFER_ENCODING:
      case TG_FIELD_CONNECTION: {
        const char *why = tg_framing_note(&found->framing, field);
        if (why) return refuse(fault, 400, why);
        break;
      }
      case TG_FIELD_EXPECT:
        found->repeated_expect = found->expect != NULL;
        found->expect = field;
        break;
      case TG_FIELD_UPGRADE: found->upgrade = field; break;
      case TG_FIELD_OTHER:
      case TG_FIELD_CONTENT_TYPE:
      case TG_FIELD_COOKIE:
      case TG_FIELD_ACCEPT: break;
    }
  }
  return true;
}

static bool check_framing(struct tg_request *request, const struct tg_framing *framing,
                          struct tg_request_fault *fault) {
  if (framing->coding) {
    if (framing->length) return refuse(fault, 400, "both Content-Length and Transfer-Encoding");
    if (request->minor == 0) return refuse(fault, 400, "Transfer-Encoding in an HTTP/1.0 request");
    if (!tg_slice_ieq(framing->coding->value, TG_SLICE("chunked")))
      return refuse(fault, 400, "Transfer-Encoding is not chunked alone");
    request->chunked = request->has_body = true;
    return true;
  }
  if (!framing->length) return true;
  uint64_t length;
  const char *why = tg_framing_length(framing->length->value, &length);
  if (why) return refuse(fault, length == TG_FRAMING_LENGTH_MAX ? 413 : 400, why);
  request->content_length = length;
  request->has_body = length > 0;
  return true;
}

static bool check_host(struct tg_request *request, const struct found *found,
                       struct tg_request_fault *fault) {
  if (!found->host) {
    if (request->minor > 0) return refuse(fault, 400, "Host is missing");
    return true;
  }
  if (!tg_url_valid_authority(found->host->value)) return refuse(fault, 400, "Host is malformed");
  if (request->host.len == 0) request->host = found->host->value;
  return true;
}

static bool check_expect(struct tg_request *request, const struct found *found,
                         struct tg_request_fault *fault) {
  if (!found->expect || request->minor == 0) return true;
  if (found->repeated_expect || !tg_slice_ieq(found->expect->value, TG_SLICE("100-continue")))
    return refuse(fault, 417, "no expectation but 100-continue can be met");
  request->expect_continue = request->has_body;
  return true;
}

bool tg_request_check(struct tg_request *request, struct tg_arena *arena,
                      struct tg_request_fault *fault) {
  struct found found = {0};
  if (!find_fields(request, &found, fault)) return false;
  if (!check_framing(request, &found.framing, fault)) return false;
  if (!check_target(request, arena, fault)) return false;
  if (!check_host(request, &found, fault)) return false;
  if (request->method == TG_METHOD_NONE)
    return refuse(fault, 501, "the request method is not served here");
  if (!check_expect(request, &found, fault)) return false;
  request->keep_alive = !found.framing.close && (request->minor > 0 || found.framing.keep_alive);
  request->upgrade = request->minor > 0 && found.framing.upgrade && found.upgrade;
  if (request->method == TG_METHOD_CONNECT) {
    /* What follows the head belongs to a tunnel that will not be opened: nobody can say where the
     * next request would begin (RFC 9110 section 9.3.6). */
    request->has_body = request->chunked = request->expect_continue = false;
    request->keep_alive = false;
  }
  return true;
}
