/* Who is in a group. */
#ifndef TG_UPSTREAM_ROSTER_H
#define TG_UPSTREAM_ROSTER_H

#include "upstream/group.h"

/* One peer as it should be. */
struct tg_roster_row {
  struct tg_slice address, authority, zone;
  uint32_t weight, priority, max_requests;
};

/* Makes the group's peers be these, and its rules those (held once more): who stays keeps what is
 * known of him, who is new warms up unless `first`, who is not listed takes no new request. Rows
 * that are no addresses are left out. group->change is held. TG_ENOMEM: nothing has changed. */
TG_MUST_CHECK tg_status tg_roster_settle(struct tg_group *group, struct tg_rules *rules,
                                         const struct tg_roster_row *rows, size_t count,
                                         bool first);

#endif
