/* Escaping of untrusted text: see escape.h. */
#include "base/escape.h"

#include <stdint.h>

#include "base/utf8.h"

static size_t unicode_escape(unsigned code, char out[TG_ESCAPE_MAX]) {
  static const char hex[] = "0123456789abcdef";
  memcpy(out, "\\u00", 4);
  out[4] = hex[code >> 4 & 15];
  out[5] = hex[code & 15];
  return 6;
}

/* One character of `text` in its safe form; *used says how many bytes it was. */
static size_t escape_one(struct tg_slice text, char out[TG_ESCAPE_MAX], size_t *used) {
  unsigned char c = (unsigned char)text.ptr[0];
  *used = 1;
  if (c == '"' || c == '\\' || c == '\n' || c == '\r' || c == '\t') {
    out[0] = '\\';
    out[1] = c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\t' ? 't' : (char)c;
    return 2;
  }
  if (c < 0x20 || c == 0x7F) return unicode_escape(c, out);
  size_t len = tg_utf8_sequence(text.ptr, text.len);
  if (len == 0) {
    memcpy(out, "\xEF\xBF\xBD", 3);
    return 3;
  }
  *used = len;
  /* U+0080 to U+009F steer terminals just as C0 does. */
  if (c == 0xC2 && (unsigned char)text.ptr[1] < 0xA0)
    return unicode_escape((unsigned char)text.ptr[1], out);
  memcpy(out, text.ptr, len);
  return len;
}

static bool plain(unsigned char c) {
  return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
}

size_t tg_escape_json(struct tg_slice text, char *out, size_t room, size_t *used) {
  size_t in = 0, written = 0;
  while (in < text.len && written < room) {
    unsigned char c = (unsigned char)text.ptr[in];
    if (plain(c)) {
      out[written++] = (char)c;
      in++;
      continue;
    }
    char one[TG_ESCAPE_MAX];
    size_t took;
    size_t len = escape_one(tg_slice_skip(text, in), one, &took);
    if (room - written < len) break;
    memcpy(out + written, one, len);
    written += len;
    in += took;
  }
  *used = in;
  return written;
}

tg_status tg_escape_append(struct tg_buffer *buffer, struct tg_slice text) {
  if (text.len > SIZE_MAX / 16) return TG_ENOMEM;
  size_t worst = text.len * TG_ESCAPE_MAX + 2;
  tg_status status = tg_buffer_reserve(buffer, worst);
  if (status) return status;
  char *out = tg_buffer_tail(buffer);
  size_t used;
  *out = '"';
  size_t len = tg_escape_json(text, out + 1, worst - 2, &used);
  out[len + 1] = '"';
  tg_buffer_wrote(buffer, len + 2);
  return TG_OK;
}
