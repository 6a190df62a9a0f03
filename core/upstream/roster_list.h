/* The list of peers that follows from the entries of a group: made beside the one in use, and put
 * in its place in one step. For roster.c. */
#ifndef TG_UPSTREAM_ROSTER_LIST_H
#define TG_UPSTREAM_ROSTER_LIST_H

#include "upstream/group.h"

/* A peer as it should be. */
struct tg_roster_row {
  struct tg_slice address, authority, zone;
  uint32_t weight, priority, max_requests;
  bool fresh; /* where there is no such peer yet, it warms up */
};

/* Makes the group's peers be these, and its rules those (which are held once more): who stays keeps
 * all that is known of him, who is not listed takes no new request. Rows that are no addresses, and
 * those that were there already, are left out. group->change is held. TG_ENOMEM: nothing has
 * changed. */
TG_MUST_CHECK tg_status tg_roster_list_put(struct tg_group *group, struct tg_rules *rules,
                                           const struct tg_roster_row *rows, size_t count);

#endif
