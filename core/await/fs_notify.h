/* inotify, and what it watches: the half of tg.fs.watch that touches the disk. All of it runs in
 * jobs on the pool, one at a time; nothing here knows a loop or a Lua state.
 *
 * A folder is watched for the names in it, with `recursive` each folder below it, too, as they come
 * and go. A single file is watched by its name in its folder, so that it is still the right one
 * when another takes its place. */
#ifndef TG_AWAIT_FS_NOTIFY_H
#define TG_AWAIT_FS_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"
#include "base/status.h"

struct tg_fs_event {
  struct tg_list link;
  const char *kind; /* "created", "changed", "deleted", "overflow"; static */
  char path[];      /* as the user wrote its beginning */
};

struct tg_notify_place;

struct tg_notify {
  int fd;      /* readable when something has happened; -1: closed */
  char *root;  /* folder, absolute */
  char *shown; /* the watched path, as the user wrote it */
  char *only;  /* the one name in it that matters; NULL: all */
  char *name;  /* of the root in the folder around it, */
  int around;  /* whose number this is; -1: none */
  bool recursive;
  bool ended; /* what was watched is gone */
  struct tg_notify_place *places;
  size_t count, cap;
};

/* Begins to watch `path` (absolute), which the user calls `shown`; copies both. */
TG_MUST_CHECK tg_status tg_notify_open(struct tg_notify *notify, const char *path,
                                       const char *shown, bool recursive);

/* Ends it and frees; also after tg_notify_open has failed. */
void tg_notify_close(struct tg_notify *notify);

/* Appends what has happened to `events`, malloc'ed. Without memory, or past the kernel's limits,
 * some of it is missing, and an "overflow" says so where there is memory for that. */
void tg_notify_drain(struct tg_notify *notify, struct tg_list *events);

#endif
