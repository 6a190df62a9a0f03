/* Lists of addresses and networks, "127.0.0.1 10.0.0.0/8 fd00::/8 unix": whom something is
 * believed. */
#ifndef TG_NET_NETWORK_H
#define TG_NET_NETWORK_H

#include <stdbool.h>

#include "base/slice.h"

/* Is the address ("192.0.2.1", "2001:db8::1", "unix") one of the list's, or in one of its networks?
 * Members are divided by spaces; what is malformed holds nobody. An IPv4 address that is mapped
 * into IPv6 is the same address. */
bool tg_network_list_has(struct tg_slice list, struct tg_slice address);

#endif
