/* See dns_message.h. Compressed names (RFC 1035 section 4.1.4) may only point backwards, each
 * pointer further than the one before: so every walk ends. */
#include "loop/dns_message.h"

#include <stdio.h>

#define HEAD          12u
#define CLASS_IN      1u
#define NAME_MAX_WIRE 255u

enum { RCODE_OK = 0, RCODE_NO_NAME = 3, RCODE_REFUSED = 5 };

static size_t put_label(char *out, const unsigned char *label, size_t len) {
  size_t n = 0;
  for (size_t i = 0; i < len; i++) {
    unsigned char c = label[i];
    if (c == '.' || c == '\\') {
      out[n++] = '\\';
      out[n++] = (char)c;
    } else if (c > ' ' && c < 0x7f) {
      out[n++] = (char)c;
    } else {
      n += (size_t)snprintf(out + n, 5, "\\%03u", c);
    }
  }
  return n;
}

/* One walk for both: with `out` the text is written, without it the name is only passed over. */
static tg_status walk_name(struct tg_slice message, size_t *at, char *out) {
  const unsigned char *bytes = (const unsigned char *)message.ptr;
  size_t pos = *at, lowest = *at, wire = 0, n = 0;
  bool jumped = false;
  for (;;) {
    if (pos >= message.len) return TG_ESYNTAX;
    size_t len = bytes[pos];
    if ((len & 0xc0) == 0xc0) {
      if (pos + 1 >= message.len) return TG_ESYNTAX;
      size_t target = (len & 0x3f) << 8 | bytes[pos + 1];
      if (!jumped) *at = pos + 2;
      jumped = true;
      if (target >= lowest) return TG_ESYNTAX;
      pos = lowest = target;
      continue;
    }
    if (len & 0xc0) return TG_ESYNTAX;
    wire += len + 1;
    if (wire > NAME_MAX_WIRE || pos + 1 + len > message.len) return TG_ESYNTAX;
    if (len == 0) break;
    if (out && n) out[n++] = '.';
    if (out) n += put_label(out + n, bytes + pos + 1, len);
    pos += len + 1;
  }
  if (!jumped) *at = pos + 1;
  if (!out) return TG_OK;
  if (n == 0) out[n++] = '.';
  out[n] = 0;
  return TG_OK;
}

tg_status tg_dns_name_read(struct tg_slice message, size_t *at, char out[TG_DNS_NAME_TEXT]) {
  return walk_name(message, at, out);
}

tg_status tg_dns_reader_init(struct tg_dns_reader *reader, struct tg_slice message) {
  *reader = (struct tg_dns_reader){.message = message, .at = HEAD};
  if (message.len < HEAD) return TG_ESYNTAX;
  reader->code = (unsigned char)message.ptr[3] & 0x0f;
  reader->answers = tg_dns_u16(message, 6);
  reader->authorities = tg_dns_u16(message, 8);
  for (unsigned questions = tg_dns_u16(message, 4); questions; questions--) {
    if (walk_name(message, &reader->at, NULL) || message.len - reader->at < 4) return TG_ESYNTAX;
    reader->at += 4;
  }
  return TG_OK;
}

static bool read_record(struct tg_dns_reader *reader, struct tg_dns_record *record,
                        unsigned *class_) {
  struct tg_slice message = reader->message;
  if (walk_name(message, &reader->at, NULL) || message.len - reader->at < 10) return false;
  size_t at = reader->at;
  uint32_t ttl = tg_dns_u32(message, at + 4);
  record->type = tg_dns_u16(message, at);
  *class_ = tg_dns_u16(message, at + 2);
  record->ttl = ttl > INT32_MAX ? 0 : ttl; /* RFC 2181 section 8 */
  record->length = tg_dns_u16(message, at + 8);
  record->at = at + 10;
  if (record->length > message.len - record->at) return false;
  reader->at = record->at + record->length;
  return true;
}

bool tg_dns_reader_next(struct tg_dns_reader *reader, struct tg_dns_record *record) {
  unsigned class_ = 0;
  do {
    if (reader->malformed || reader->answers + reader->authorities == 0) return false;
    record->section = reader->answers ? TG_DNS_ANSWER : TG_DNS_AUTHORITY;
    if (reader->answers)
      reader->answers--;
    else
      reader->authorities--;
    reader->malformed = !read_record(reader, record, &class_);
  } while (!reader->malformed && class_ != CLASS_IN);
  return !reader->malformed;
}

/* The last number of an SOA record. */
static uint32_t soa_minimum(struct tg_slice message, const struct tg_dns_record *record) {
  return record->length < 22 ? 0 : tg_dns_u32(message, record->at + record->length - 4);
}

tg_status tg_dns_message_judge(struct tg_slice message, uint16_t type, uint32_t *ttl) {
  struct tg_dns_reader reader;
  struct tg_dns_record record;
  uint32_t least = UINT32_MAX, negative = 0;
  bool found = false;
  *ttl = 0;
  if (tg_dns_reader_init(&reader, message)) return TG_EDNS_SERVFAIL;
  if (reader.code == RCODE_REFUSED) return TG_EDNS_REFUSED;
  if (reader.code != RCODE_OK && reader.code != RCODE_NO_NAME) return TG_EDNS_SERVFAIL;
  while (tg_dns_reader_next(&reader, &record)) {
    if (record.section == TG_DNS_ANSWER) {
      if (record.ttl < least) least = record.ttl;
      if (record.type == type) found = true;
    } else if (record.type == TG_DNS_SOA) {
      uint32_t minimum = soa_minimum(message, &record);
      negative = record.ttl < minimum ? record.ttl : minimum;
    }
  }
  if (reader.malformed) return TG_EDNS_SERVFAIL;
  *ttl = found ? least : negative;
  if (found && reader.code == RCODE_OK) return TG_OK;
  *ttl = negative;
  return reader.code == RCODE_NO_NAME ? TG_ENO_NAME : TG_ENO_DATA;
}
