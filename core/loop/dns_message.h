/* DNS messages (RFC 1035 section 4.1): reading the answers of a server, byte by byte.
 *
 * Used by the resolver to learn how long an answer holds, and by whoever wants its records. A
 * message is hostile: every offset is checked, names that point in circles are refused, and nothing
 * is written past the buffers below. Nothing is allocated; slices point into the message. */
#ifndef TG_LOOP_DNS_MESSAGE_H
#define TG_LOOP_DNS_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

enum tg_dns_type {
  TG_DNS_A = 1,
  TG_DNS_NS = 2,
  TG_DNS_CNAME = 5,
  TG_DNS_SOA = 6,
  TG_DNS_PTR = 12,
  TG_DNS_MX = 15,
  TG_DNS_TXT = 16,
  TG_DNS_AAAA = 28,
  TG_DNS_SRV = 33,
  TG_DNS_CAA = 257,
};

/* A name as text, in the worst case 255 bytes that are all written as \DDD, and a NUL. */
#define TG_DNS_NAME_TEXT 1024

enum tg_dns_section { TG_DNS_ANSWER, TG_DNS_AUTHORITY };

struct tg_dns_reader {
  struct tg_slice message;
  size_t at;
  unsigned answers, authorities; /* records that are left */
  unsigned code;                 /* the server's verdict (RCODE) */
  bool malformed;                /* the reader has met what is no record */
};

struct tg_dns_record {
  enum tg_dns_section section;
  uint16_t type;
  uint32_t ttl;  /* seconds, at most 2^31 - 1 */
  size_t at;     /* where its data begin within the message: names in them may point back */
  size_t length; /* of its data */
};

/* Begins to read; the message must outlive the reader. TG_ESYNTAX: not even a head and a question.
 */
TG_MUST_CHECK tg_status tg_dns_reader_init(struct tg_dns_reader *reader, struct tg_slice message);

/* The next record of class IN of the answer and authority sections; false at their end, and where
 * the message is malformed. */
bool tg_dns_reader_next(struct tg_dns_reader *reader, struct tg_dns_record *record);

/* Reads the name at *at as text without the last dot ("." for the root), a NUL behind it, and moves
 * *at past it. Bytes that are no printable ASCII are written as \DDD, dots and backslashes within
 * a label with a backslash before them (RFC 4343 section 2.1). TG_ESYNTAX. */
TG_MUST_CHECK tg_status tg_dns_name_read(struct tg_slice message, size_t *at,
                                         char out[TG_DNS_NAME_TEXT]);

/* What a message says to a question of `type`: TG_OK, TG_ENO_NAME, TG_ENO_DATA, TG_EDNS_SERVFAIL or
 * TG_EDNS_REFUSED. *ttl: how many seconds that holds, by its records or by the SOA record of the
 * zone (RFC 2308 section 5); 0 where nothing is said. */
tg_status tg_dns_message_judge(struct tg_slice message, uint16_t type, uint32_t *ttl);

/* Big-endian number of the data; the caller has checked the length. */
static inline uint16_t tg_dns_u16(struct tg_slice message, size_t at) {
  const unsigned char *p = (const unsigned char *)message.ptr + at;
  return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t tg_dns_u32(struct tg_slice message, size_t at) {
  return (uint32_t)tg_dns_u16(message, at) << 16 | tg_dns_u16(message, at + 2);
}

#endif
