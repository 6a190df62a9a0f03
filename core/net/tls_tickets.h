/* The keys of session tickets (RFC 5077, RFC 8446 section 4.6.1), shared by all loops of a server.
 *
 * A new key is made every TG_TLS_TICKET_TURN; tickets of the one before are still taken, and
 * renewed. So a session can be resumed for one to two turns, and who steals a key reads no more
 * than that: keys are never written anywhere. Counted; any thread. */
#ifndef TG_NET_TLS_TICKETS_H
#define TG_NET_TLS_TICKETS_H

#include <openssl/types.h>
#include <stdint.h>

#include "base/clock.h"

#define TG_TLS_TICKET_TURN (UINT64_C(3600) * TG_SECOND)

struct tg_tls_tickets;

/* NULL: no memory, or no random numbers. `now` is the clock, in monotonic nanoseconds. */
struct tg_tls_tickets *tg_tls_tickets_new(uint64_t (*now)(void));
struct tg_tls_tickets *tg_tls_tickets_hold(struct tg_tls_tickets *tickets);
void tg_tls_tickets_release(struct tg_tls_tickets *tickets);

/* What SSL_CTX_set_tlsext_ticket_key_evp_cb asks for, without the connection: the answer of that
 * callback. */
int tg_tls_tickets_use(struct tg_tls_tickets *tickets, unsigned char name[16], unsigned char iv[16],
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt);

#endif
