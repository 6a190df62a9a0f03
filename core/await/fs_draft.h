/* A draft: a file under a name of its own, in the folder of the file that it will replace.
 *
 * It is written by a job on the pool, and then takes the place of the old file in one step: readers
 * see the old one or the new one, whole. Whatever happens before, the draft is deleted. A symbolic
 * link stays: the file that it leads to is replaced. */
#ifndef TG_AWAIT_FS_DRAFT_H
#define TG_AWAIT_FS_DRAFT_H

#include <stddef.h>

#include "await/fs_job.h"

struct tg_fs_draft {
  char *path;   /* of what is replaced, links followed; NULL: not open */
  char *folder; /* around it */
  char *name;   /* of the draft itself */
  int fd;
};

/* Makes one for `path`, with the permissions and the owner of the file that is there already, or
 * with `mode` (-1: what the umask leaves of 0666). Fails where `path` is there and not regular. */
TG_MUST_CHECK tg_status tg_fs_draft_open(struct tg_fs_draft *draft, const char *path, int mode);

/* Puts it in the place of the file, unless the task was cancelled. With `sync_folder` the disk has
 * the new name when this returns. */
TG_MUST_CHECK tg_status tg_fs_draft_commit(struct tg_fs_draft *draft, struct tg_fs_job *job,
                                           bool sync_folder);

/* Deletes a draft that was not committed, and frees. */
void tg_fs_draft_deinit(struct tg_fs_draft *draft);

/* Fills `out` with 16 hexadecimal digits that nobody can guess, and a NUL. */
TG_MUST_CHECK tg_status tg_fs_random_name(char out[17]);

/* Writes all bytes at the position of `fd`, in pieces, as long as the task waits. */
TG_MUST_CHECK tg_status tg_fs_write_all(struct tg_fs_job *job, int fd, const char *bytes,
                                        size_t len);

#endif
