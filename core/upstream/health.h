/* Asking the peers of a group how they are, once for the whole process.
 *
 * Runs on the home loop of the groups: every `interval` each peer that is not being asked is asked
 * anew, by an HTTP request or, with `tcp`, by a connection alone. So many failures one after
 * another
 * (`fall`) take a peer out for all loops at once, so many good answers (`rise`) bring it back by a
 * slow start. A peer that was not asked yet counts as healthy. */
#ifndef TG_UPSTREAM_HEALTH_H
#define TG_UPSTREAM_HEALTH_H

#include "loop/loop.h"
#include "upstream/group.h"

struct tg_health;

/* Follows the rules of the group as they are now: begins, goes on, or ends. Home thread. */
void tg_health_follow(struct tg_group *group, struct tg_loop *home);

/* Gives up what is under way, and frees it; NULL is allowed. Home thread. */
void tg_health_free(struct tg_health *health);

#endif
