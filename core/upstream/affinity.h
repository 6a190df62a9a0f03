/* What of a request binds it to a peer: the key of a hash, and the cookie of a sticky group. */
#ifndef TG_UPSTREAM_AFFINITY_H
#define TG_UPSTREAM_AFFINITY_H

#include "http/request.h"
#include "upstream/group.h"

/* Fills hash and sticky of the pick as the rules ask for them; slices borrow from the request.
 * `client` is the address of who asks. A request without what the hash is made of has none. */
void tg_affinity_read(const struct tg_rules *rules, const struct tg_request *request,
                      struct tg_slice client, struct tg_pick *pick);

/* Writes the value of the Set-Cookie that binds a client to the peer; returns its length. */
#define TG_AFFINITY_COOKIE 256
size_t tg_affinity_cookie(const struct tg_rules *rules, const struct tg_peer *peer, bool secure,
                          char out[TG_AFFINITY_COOKIE]);

#endif
