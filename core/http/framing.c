#include "http/framing.h"

#include <stddef.h>

/* Connection is a list (RFC 9110 section 7.6.1); only the members that mean something here count.
 */
static void read_connection(struct tg_framing *framing, struct tg_slice value) {
  while (value.len) {
    const char *comma = memchr(value.ptr, ',', value.len);
    size_t len = comma ? (size_t)(comma - value.ptr) : value.len;
    struct tg_slice member = tg_slice_trim(tg_slice(value.ptr, len));
    framing->close |= tg_slice_ieq(member, TG_SLICE("close"));
    framing->keep_alive |= tg_slice_ieq(member, TG_SLICE("keep-alive"));
    framing->upgrade |= tg_slice_ieq(member, TG_SLICE("upgrade"));
    value = tg_slice_skip(value, comma ? len + 1 : len);
  }
}

const char *tg_framing_note(struct tg_framing *framing, const struct tg_field *field) {
  switch (field->known) {
    case TG_FIELD_CONTENT_LENGTH:
      if (framing->length) return "more than one Content-Length";
      framing->length = field;
      return NULL;
    case TG_FIELD_TRANSFER_ENCODING:
      if (framing->coding) return "more than one Transfer-Encoding";
      framing->coding = field;
      return NULL;
    case TG_FIELD_CONNECTION: read_connection(framing, field->value); return NULL;
    case TG_FIELD_OTHER:
    case TG_FIELD_HOST:
    case TG_FIELD_EXPECT:
    case TG_FIELD_CONTENT_TYPE:
    case TG_FIELD_COOKIE:
    case TG_FIELD_ACCEPT:
    case TG_FIELD_UPGRADE: return NULL;
  }
  return NULL;
}

const char *tg_framing_length(struct tg_slice value, uint64_t *length) {
  uint64_t number = 0;
  bool huge = false;
  *length = 0;
  if (value.len == 0) return "Content-Length is empty";
  for (size_t i = 0; i < value.len; i++) {
    if (value.ptr[i] < '0' || value.ptr[i] > '9') return "Content-Length is not a number";
    number = number * 10 + (uint64_t)(value.ptr[i] - '0');
    huge |= number > TG_FRAMING_LENGTH_MAX;
    if (huge) number = TG_FRAMING_LENGTH_MAX;
  }
  *length = number;
  return huge ? "Content-Length is larger than any body that is taken" : NULL;
}
