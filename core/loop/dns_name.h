/* Host names and addresses as text: what may be asked, and what needs no question.
 *
 * Used by the resolver and by the Lua functions that check their arguments. Pure: no server is
 * asked here. */
#ifndef TG_LOOP_DNS_NAME_H
#define TG_LOOP_DNS_NAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* Longest name as text, without the last dot (RFC 1035 section 2.3.4: 255 bytes in a message). */
#define TG_DNS_NAME_LEN 253

/* Longest text of an address: "ffff:...:255.255.255.255". */
#define TG_DNS_ADDRESS_TEXT 46

struct tg_dns_address {
  int family; /* AF_INET or AF_INET6 */
  uint8_t bytes[16];
  uint32_t ttl; /* seconds for which it holds */
};

/* Lower-cases a name into `out` without its last dot, a NUL behind it; *absolute: it had one. NULL,
 * or why it is none (static storage): length, labels, bytes outside of letters, digits, '-', '_',
 * and with `any` also '*' and '/'. */
const char *tg_dns_name_check(struct tg_slice name, bool any, char out[TG_DNS_NAME_LEN + 1],
                              bool *absolute);

/* Does the last label look like a number, as in 127.1? Then some programs take it for an address,
 * and no server has such a name. `name` as tg_dns_name_check has written it. */
bool tg_dns_name_is_numeric(const char *name);

/* "localhost" and all below it (RFC 6761 section 6.3). */
bool tg_dns_name_is_local(const char *name);

/* Reads an address, four numbers with dots or IPv6 without zone or brackets; ttl is left alone. */
bool tg_dns_address_read(struct tg_slice text, struct tg_dns_address *address);

/* Writes it and a NUL; returns the length. */
size_t tg_dns_address_write(const struct tg_dns_address *address, char out[TG_DNS_ADDRESS_TEXT]);

/* Bytes of an address: 4 or 16. */
size_t tg_dns_address_size(const struct tg_dns_address *address);

/* The name whose PTR records name the address: "1.0.0.127.in-addr.arpa" (RFC 1035 section 3.5,
 * RFC 3596 section 2.5). */
void tg_dns_address_reverse(const struct tg_dns_address *address, char out[TG_DNS_NAME_LEN + 1]);

#endif
