/* Who is in a group: the entries of tidegate.lua and of run time, what names among them were found
 * to be, and the list of peers that follows.
 *
 * An entry is a peer as somebody has listed it. One with an address is one peer; one with a name is
 * a peer for each address that the name has (discovery.h), and until that is known, one peer that
 * is looked up by whoever calls it. What was changed at run time holds over reloads, until
 * tidegate.lua itself says something new of that entry. */
#ifndef TG_UPSTREAM_ROSTER_H
#define TG_UPSTREAM_ROSTER_H

#include "upstream/group.h"

#define TG_ROSTER_MAX 4096 /* peers of a group; further ones are left out */

/* What a name was found to be. */
struct tg_roster_found {
  char address[64];    /* "10.0.0.1:80" */
  char authority[264]; /* "api.internal:80" */
  uint32_t weight;     /* 0: nothing is said */
  uint32_t priority;
};

enum tg_roster_kind { TG_ROSTER_ADDRESS, TG_ROSTER_NAME, TG_ROSTER_SERVICE };

struct tg_discovery;

struct tg_roster_entry {
  struct tg_peer_spec spec; /* texts behind the structure */
  enum tg_roster_kind kind;
  bool configured; /* by tidegate.lua; else it was added at run time */
  bool removed;    /* at run time; remembered while tidegate.lua has it */
  bool listed;     /* by the configuration that is being applied */
  bool fresh;      /* new in a group that serves: its peers warm up */
  bool known;      /* it was found at least once */
  struct tg_roster_found *found;
  size_t found_count;
  struct tg_discovery *discovery; /* the home loop's; NULL: none runs */
};

/* All of these take group->change, and leave the group as it was after an error. */

/* The entries and rules of tidegate.lua. Home thread. TG_ENOMEM. */
TG_MUST_CHECK tg_status tg_roster_apply(struct tg_group *group, const struct tg_group_spec *spec);

/* What an entry was found to be. Home thread. TG_ENOMEM. */
TG_MUST_CHECK tg_status tg_roster_settle(struct tg_group *group, struct tg_roster_entry *entry,
                                         const struct tg_roster_found *found, size_t count);

/* Any thread. TG_EEXISTS; TG_EOVERLOAD: the group is full; TG_ENOMEM. */
TG_MUST_CHECK tg_status tg_roster_add(struct tg_group *group, const struct tg_peer_spec *spec);

/* Any thread. TG_ENOT_FOUND: there is no such entry; TG_EINVALID: it is one of the addresses of a
 * name, which would bring it back; TG_ENOMEM. */
TG_MUST_CHECK tg_status tg_roster_remove(struct tg_group *group, struct tg_slice address);

/* Peers with this address, or listed by this name, take no new requests, or take them again. Any
 * thread. TG_ENOT_FOUND. */
TG_MUST_CHECK tg_status tg_roster_drain(struct tg_group *group, struct tg_slice address,
                                        bool drain);

/* The same for their weight, 1 to 65535. */
TG_MUST_CHECK tg_status tg_roster_weigh(struct tg_group *group, struct tg_slice address,
                                        uint32_t weight);

/* Begins to look up what is a name and is not looked up yet, and forgets entries that were taken
 * away. Home thread. */
void tg_roster_sweep(struct tg_group *group);

/* Ends all looking up. Home thread. */
void tg_roster_stop(struct tg_group *group);

#endif
