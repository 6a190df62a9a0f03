/* The order in which addresses are tried (RFC 6724): those that this machine can reach first, then
 * those that suit the address it would use itself. */
#ifndef TG_LOOP_ADDRESS_ORDER_H
#define TG_LOOP_ADDRESS_ORDER_H

#include <stddef.h>

#include "loop/dns_name.h"

#define TG_ADDRESS_ORDER_MAX 64

/* Sorts at most TG_ADDRESS_ORDER_MAX addresses. Equally good ones stay in the order they have; so
 * do lists of IPv4 alone, whose order is the name server's choice. Costs four system calls an
 * address where there is something to choose. */
void tg_address_order(struct tg_dns_address *addresses, size_t count);

#endif
