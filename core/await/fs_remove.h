/* Deleting a file, or a folder with all that is in it. No symbolic link is followed, also where
 * somebody puts one in the way meanwhile. For jobs on the pool. */
#ifndef TG_AWAIT_FS_REMOVE_H
#define TG_AWAIT_FS_REMOVE_H

#include <stdbool.h>

#include "await/fs_job.h"

/* Deletes what is at `path`; -ENOTEMPTY for a folder with something in it unless `recursive`.
 * Stops, with a part of the folder left, when the task of `job` is cancelled. */
TG_MUST_CHECK tg_status tg_fs_remove(struct tg_fs_job *job, const char *path, bool recursive);

#endif
