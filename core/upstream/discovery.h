/* Looking up one name of a group again and again: "api.internal:80", whose addresses are peers, or
 * "srv:_http._tcp.api.internal", whose records are.
 *
 * Runs on the home loop of the groups. The next lookup comes when the answer has used up its TTL,
 * within the bounds of the rules. A name that cannot be looked up, or is not there any more, keeps
 * what was found last: peers that do not work are found out by requests and health checks, and a
 * name server that does not answer must not take working ones away. */
#ifndef TG_UPSTREAM_DISCOVERY_H
#define TG_UPSTREAM_DISCOVERY_H

#include "upstream/roster.h"

struct tg_discovery;

/* Begins soon. The entry must outlive it. NULL: no memory. */
struct tg_discovery *tg_discovery_new(struct tg_group *group, struct tg_roster_entry *entry);

/* Gives up, and frees it. */
void tg_discovery_stop(struct tg_discovery *discovery);

#endif
