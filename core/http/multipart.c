/* The reader of multipart/form-data.
 *
 * A boundary holds no CR, so a match that fails can begin anew only at a CR: one memchr finds all
 * candidates, and no byte is looked at more than twice. What was matched when the input ended is
 * not kept but known: it is the beginning of the delimiter. */
#include "http/multipart.h"

#include "http/media.h"
#include "http/parameter.h"

enum state {
  STATE_PREAMBLE,
  STATE_DATA,
  STATE_OVER,      /* a delimiter has ended the part; nobody was told */
  STATE_BOUNDARY,  /* right behind a delimiter */
  STATE_DASH,      /* behind "-" */
  STATE_PADDING,   /* white space behind a boundary */
  STATE_RETURN,    /* CR behind it */
  STATE_HEAD,      /* in the head of a part */
  STATE_CLOSED,    /* behind the last boundary */
  STATE_CLOSED_CR, /* CR behind that */
  STATE_EPILOGUE,
  STATE_BAD,
};

static enum tg_multipart_event fail(struct tg_multipart *m, tg_status status, const char *why) {
  m->state = STATE_BAD;
  m->status = status;
  m->why = why;
  return TG_MULTIPART_BAD;
}

static enum tg_multipart_event fail_syntax(struct tg_multipart *m, const char *why) {
  return fail(m, TG_ESYNTAX, why);
}

/* ---- the boundary ---- */

/* RFC 2046 section 5.1.1: bchars, and no space at the end. */
static bool is_boundary(struct tg_slice s) {
  if (s.len == 0 || s.len > TG_MULTIPART_BOUNDARY_MAX || s.ptr[s.len - 1] == ' ') return false;
  for (size_t i = 0; i < s.len; i++) {
    unsigned char c = (unsigned char)s.ptr[i], low = c | 0x20;
    bool plain = (c >= '0' && c <= '9') || (low >= 'a' && low <= 'z');
    if (!plain && (c == 0 || !strchr("'()+_,-./:=? ", c))) return false;
  }
  return true;
}

static tg_status take_boundary(struct tg_multipart *m, const struct tg_parameter *parameter) {
  char *plain = m->text; /* free until the first part */
  if (parameter->text.len > sizeof m->text) return TG_ESYNTAX;
  size_t len = parameter->text.len;
  if (parameter->quoted)
    len = tg_parameter_unquote(parameter->text, plain);
  else
    memcpy(plain, parameter->text.ptr, len);
  if (!is_boundary(tg_slice(plain, len))) return TG_ESYNTAX;
  memcpy(m->delimiter, "\r\n--", 4);
  memcpy(m->delimiter + 4, plain, len);
  m->delimiter_len = 4 + len;
  return TG_OK;
}

tg_status tg_multipart_init(struct tg_multipart *m, struct tg_slice type, uint64_t fields,
                            uint64_t files) {
  m->part = (struct tg_multipart_part){0};
  m->status = TG_OK;
  m->why = "the Content-Type names no boundary, or none that is allowed";
  m->fields_left = fields;
  m->files_left = files;
  m->state = STATE_PREAMBLE;
  m->delimiter_len = 0;
  m->matched = m->implied = 2; /* as if a line had ended before the first byte */
  if (!tg_media_matches(type, TG_SLICE("multipart/form-data"))) return TG_EUNSUPPORTED;
  const char *semicolon = memchr(type.ptr, ';', type.len);
  struct tg_slice rest = tg_slice_skip(type, semicolon ? (size_t)(semicolon - type.ptr) : type.len);
  struct tg_parameter parameter;
  enum tg_parameter_step step;
  while ((step = tg_parameter_next(&rest, &parameter)) == TG_PARAMETER_TAKEN) {
    if (!tg_slice_ieq(parameter.name, TG_SLICE("boundary"))) continue;
    if (m->delimiter_len || take_boundary(m, &parameter)) return TG_ESYNTAX;
  }
  return step == TG_PARAMETER_END && m->delimiter_len ? TG_OK : TG_ESYNTAX;
}

/* ---- bodies of parts ---- */

/* How many bytes of the delimiter from `from` on stand at the beginning of `s`? */
static size_t match(const struct tg_multipart *m, size_t from, struct tg_slice s) {
  size_t most = m->delimiter_len - from, n = 0;
  if (most > s.len) most = s.len;
  while (n < most && s.ptr[n] == m->delimiter[from + n]) n++;
  return n;
}

/* Goes on with what the last input had begun. True: it was the delimiter. */
static bool scan_on(struct tg_multipart *m, struct tg_slice *input, struct tg_slice *data) {
  size_t n = match(m, m->matched, *input);
  bool waits = n == input->len;
  *input = tg_slice_skip(*input, n);
  m->matched += n;
  if (m->matched == m->delimiter_len) {
    m->matched = m->implied = 0;
    return true;
  }
  if (waits) return false;
  *data = tg_slice(m->delimiter + m->implied, m->matched - m->implied);
  m->matched = m->implied = 0;
  return false;
}

/* Takes bytes up to the delimiter, or all; `data` are those in front of it. True: it was found. */
static bool scan(struct tg_multipart *m, struct tg_slice *input, struct tg_slice *data) {
  *data = tg_slice(NULL, 0);
  if (m->matched) {
    bool found = scan_on(m, input, data);
    if (found || data->len || m->matched) return found;
  }
  struct tg_slice all = *input;
  size_t at = 0;
  for (;;) {
    const char *start = at < all.len ? memchr(all.ptr + at, '\r', all.len - at) : NULL;
    if (!start) break;
    at = (size_t)(start - all.ptr);
    size_t n = match(m, 0, tg_slice_skip(all, at));
    bool found = n == m->delimiter_len;
    if (found || at + n == all.len) {
      m->matched = found ? 0 : n;
      *data = tg_slice(all.ptr, at);
      *input = tg_slice_skip(all, at + n);
      return found;
    }
    at += n;
  }
  *data = all;
  *input = tg_slice_skip(all, all.len);
  return false;
}

/* ---- heads of parts ---- */

static bool is_text(struct tg_slice s) {
  for (size_t i = 0; i < s.len; i++) {
    unsigned char c = (unsigned char)s.ptr[i];
    if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
  }
  return true;
}

static enum tg_multipart_event take_line(struct tg_multipart *m, struct tg_slice line) {
  size_t len = 0;
  while (len < line.len && tg_parameter_is_token((unsigned char)line.ptr[len])) len++;
  if (!len || len == line.len || line.ptr[len] != ':')
    return fail_syntax(m, "a line in the head of a part is no header field");
  if (m->part.field_count == TG_MULTIPART_FIELDS_MAX)
    return fail(m, TG_ETOO_LARGE, "a part has too many header fields");
  struct tg_slice value = tg_slice_trim(tg_slice_skip(line, len + 1));
  if (!is_text(value)) return fail_syntax(m, "a header field of a part holds control bytes");
  m->fields[m->part.field_count++] =
      (struct tg_multipart_field){.name = tg_slice(line.ptr, len), .value = value};
  return TG_MULTIPART_MORE;
}

/* Copies the meaning of a parameter into the text behind `used`. */
static struct tg_slice copy_text(struct tg_multipart *m, const struct tg_parameter *parameter,
                                 size_t *used) {
  char *to = m->text + *used;
  size_t len = parameter->text.len;
  if (parameter->quoted)
    len = tg_parameter_unquote(parameter->text, to);
  else
    memcpy(to, parameter->text.ptr, len);
  *used += len;
  return tg_slice(to, len);
}

/* RFC 7578 section 4.2: no path of the sender's machine means anything here. */
static struct tg_slice last_component(struct tg_slice s) {
  size_t at = s.len;
  while (at && s.ptr[at - 1] != '/' && s.ptr[at - 1] != '\\') at--;
  s = tg_slice_skip(s, at);
  bool dots = tg_slice_eq(s, TG_SLICE(".")) || tg_slice_eq(s, TG_SLICE(".."));
  return dots ? tg_slice(s.ptr, 0) : s;
}

static const char *read_disposition(struct tg_multipart *m, struct tg_slice value) {
  struct tg_multipart_part *part = &m->part;
  struct tg_parameter parameter;
  enum tg_parameter_step step;
  size_t used = 0;
  bool named = false;
  size_t len = sizeof "form-data" - 1;
  if (value.len < len || !tg_slice_ieq(tg_slice(value.ptr, len), TG_SLICE("form-data")))
    return "the Content-Disposition of a part is not form-data";
  struct tg_slice rest = tg_slice_skip(value, len);
  while ((step = tg_parameter_next(&rest, &parameter)) == TG_PARAMETER_TAKEN) {
    bool is_name = tg_slice_ieq(parameter.name, TG_SLICE("name"));
    bool is_file = tg_slice_ieq(parameter.name, TG_SLICE("filename"));
    if (!is_name && !is_file) continue;
    if (is_name ? named : part->is_file) return "a part has two names";
    struct tg_slice text = copy_text(m, &parameter, &used);
    if (text.len && memchr(text.ptr, '\t', text.len))
      return "the name of a part holds control bytes";
    if (is_name) {
      named = true;
      part->name = text;
    } else {
      part->is_file = true;
      part->filename = last_component(text);
    }
  }
  if (step == TG_PARAMETER_BAD) return "the Content-Disposition of a part is malformed";
  return named ? NULL : "a part has no name";
}

/* Nothing is decoded (RFC 7578 section 4.7), so nothing that is encoded is let through. */
static bool is_identity(struct tg_slice coding) {
  return tg_slice_ieq(coding, TG_SLICE("7bit")) || tg_slice_ieq(coding, TG_SLICE("8bit")) ||
         tg_slice_ieq(coding, TG_SLICE("binary"));
}

static const char *read_fields(struct tg_multipart *m) {
  struct tg_multipart_part *part = &m->part;
  bool disposed = false;
  for (size_t i = 0; i < part->field_count; i++) {
    struct tg_slice name = m->fields[i].name, value = m->fields[i].value;
    const char *why = NULL;
    if (tg_slice_ieq(name, TG_SLICE("content-disposition"))) {
      why = disposed ? "a part has two Content-Dispositions" : read_disposition(m, value);
      disposed = true;
    } else if (tg_slice_ieq(name, TG_SLICE("content-type"))) {
      struct tg_slice type;
      if (part->type.ptr) why = "a part has two Content-Types";
      if (!tg_media_parse(value, &type)) why = "the Content-Type of a part is no media type";
      part->type = value;
    } else if (tg_slice_ieq(name, TG_SLICE("content-transfer-encoding")) && !is_identity(value)) {
      why = "a part has a Content-Transfer-Encoding, which forms do not have";
    }
    if (why) return why;
  }
  return disposed ? NULL : "a part has no Content-Disposition";
}

static enum tg_multipart_event begin_part(struct tg_multipart *m) {
  const char *why = read_fields(m);
  if (why) return fail_syntax(m, why);
  uint64_t *left = m->part.is_file ? &m->files_left : &m->fields_left;
  if (!*left)
    return fail(m, TG_ETOO_LARGE,
                m->part.is_file ? "the form has too many files" : "the form has too many fields");
  --*left;
  m->part.fields = m->fields;
  m->state = STATE_DATA;
  m->matched = m->implied = 2; /* the line end before a delimiter may be that of the head */
  return TG_MULTIPART_PART;
}

static void begin_head(struct tg_multipart *m) {
  m->part = (struct tg_multipart_part){0};
  m->head_len = m->line = 0;
  m->state = STATE_HEAD;
}

/* Up to the end of a line. */
static enum tg_multipart_event read_head(struct tg_multipart *m, struct tg_slice *input) {
  const char *newline = memchr(input->ptr, '\n', input->len);
  size_t n = newline ? (size_t)(newline - input->ptr) + 1 : input->len;
  if (n > sizeof m->head - m->head_len)
    return fail(m, TG_ETOO_LARGE, "the head of a part is too large");
  memcpy(m->head + m->head_len, input->ptr, n);
  m->head_len += n;
  *input = tg_slice_skip(*input, n);
  if (!newline) return TG_MULTIPART_MORE;
  struct tg_slice line = tg_slice(m->head + m->line, m->head_len - m->line);
  m->line = m->head_len;
  if (line.len < 2 || line.ptr[line.len - 2] != '\r')
    return fail_syntax(m, "a line in the head of a part ends without CR");
  line.len -= 2;
  return line.len ? take_line(m, line) : begin_part(m);
}

/* ---- between parts ---- */

static enum tg_multipart_event step_boundary(struct tg_multipart *m, char c) {
  bool space = c == ' ' || c == '\t';
  switch (m->state) {
    case STATE_BOUNDARY:
    case STATE_PADDING:
      if (c == '-' && m->state == STATE_BOUNDARY)
        m->state = STATE_DASH;
      else if (c == '\r')
        m->state = STATE_RETURN;
      else if (space)
        m->state = STATE_PADDING;
      else
        return fail_syntax(m, "a boundary is followed by something else than a line end");
      break;
    case STATE_DASH:
      if (c != '-') return fail_syntax(m, "a boundary is followed by one '-'");
      m->state = STATE_CLOSED;
      break;
    case STATE_RETURN:
      if (c != '\n') return fail_syntax(m, "a boundary is followed by CR without LF");
      begin_head(m);
      break;
    case STATE_CLOSED:
      if (c == '\r')
        m->state = STATE_CLOSED_CR;
      else if (!space)
        return fail_syntax(m, "the last boundary is followed by something else than a line end");
      break;
    default:
      if (c != '\n') return fail_syntax(m, "the last boundary is followed by CR without LF");
      m->state = STATE_EPILOGUE;
  }
  return TG_MULTIPART_MORE;
}

static enum tg_multipart_event read_data(struct tg_multipart *m, struct tg_slice *input,
                                         struct tg_slice *data) {
  bool preamble = m->state == STATE_PREAMBLE;
  if (scan(m, input, data)) m->state = preamble ? STATE_BOUNDARY : STATE_OVER;
  return data->len && !preamble ? TG_MULTIPART_DATA : TG_MULTIPART_MORE;
}

enum tg_multipart_event tg_multipart_next(struct tg_multipart *m, struct tg_slice *input,
                                          struct tg_slice *data) {
  *data = tg_slice(NULL, 0);
  for (;;) {
    enum tg_multipart_event event = TG_MULTIPART_MORE;
    if (m->state == STATE_BAD) return TG_MULTIPART_BAD;
    if (m->state == STATE_OVER) {
      m->state = STATE_BOUNDARY;
      return TG_MULTIPART_OVER;
    }
    if (!input->len) return TG_MULTIPART_MORE;
    if (m->state == STATE_EPILOGUE) {
      *input = tg_slice_skip(*input, input->len);
    } else if (m->state == STATE_PREAMBLE || m->state == STATE_DATA) {
      event = read_data(m, input, data);
    } else if (m->state == STATE_HEAD) {
      event = read_head(m, input);
    } else {
      char c = input->ptr[0];
      *input = tg_slice_skip(*input, 1);
      event = step_boundary(m, c);
    }
    if (event != TG_MULTIPART_MORE) return event;
  }
}

tg_status tg_multipart_finish(struct tg_multipart *m) {
  if (m->state == STATE_CLOSED || m->state == STATE_EPILOGUE) return TG_OK;
  if (m->state != STATE_BAD) (void)fail_syntax(m, "the form ends before its last boundary");
  return m->status;
}
