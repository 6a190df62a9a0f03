/* All groups of the process, by name. They are made and changed by tidegate.lua (tg_groups_apply,
 * at each reload) and at run time; whoever has found one may keep it as long as the registry. */
#ifndef TG_UPSTREAM_GROUPS_H
#define TG_UPSTREAM_GROUPS_H

#include "base/log.h"
#include "base/settings.h"
#include "upstream/group.h"

#define TG_GROUPS_MAX 1024

struct tg_groups;

/* NULL: no memory. `log` may be NULL; `clock` gives monotonic nanoseconds, NULL means tg_clock_now.
 */
struct tg_groups *tg_groups_new(struct tg_log *log, uint64_t (*clock)(void));

/* The loop of the calling thread is their home from now on: it looks names up and asks peers for
 * their health. `settings` are borrowed for the call, `version` as for tg_resolver_of. Without a
 * home, names are looked up by whoever calls such a peer. Before tg_groups_apply. */
void tg_groups_serve(struct tg_groups *groups, struct tg_loop *home,
                     const struct tg_settings *settings, uint64_t version);

/* Ends what runs on the home loop; before that is closed. Home thread. */
void tg_groups_stop(struct tg_groups *groups);

/* Nobody may use a group any more. NULL is allowed. */
void tg_groups_free(struct tg_groups *groups);

/* The group of that name, as generation number `generation` of the application knows it; NULL where
 * its tidegate.lua has none. Any thread. */
struct tg_group *tg_groups_find(struct tg_groups *groups, struct tg_slice name,
                                uint64_t generation);

/* Makes the groups be as a new generation says: a peer that stays keeps all that is known of it,
 * one that has gone takes no new request. Groups that are not listed any more stay for requests of
 * the generations before. Main thread. TG_ENOMEM: some of it was not done. TG_EOVERLOAD: too many.
 */
TG_MUST_CHECK tg_status tg_groups_apply(struct tg_groups *groups, const struct tg_group_spec *specs,
                                        size_t count, uint64_t generation);

/* The groups that the newest generation has, in order of their names: the one after `group`, with
 * NULL the first; NULL after the last. Any thread. */
struct tg_group *tg_groups_next(struct tg_groups *groups, const struct tg_group *group);

/* For the files of this folder. */
struct tg_loop *tg_groups_home(const struct tg_groups *groups);
struct tg_resolver *tg_groups_resolver(const struct tg_groups *groups);
bool tg_groups_serving(const struct tg_groups *groups);

/* Has the home thread look at what was changed. Any thread; NULL is allowed. */
void tg_groups_wake(struct tg_groups *groups);

#endif
