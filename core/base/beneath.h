/* Opening files below a folder, and nowhere else, whatever the path says.
 *
 * The kernel itself walks the path (openat2, Linux 5.6): a `..`, an absolute path or a symbolic
 * link that leads out of the folder fails, also one that is changed meanwhile. Where a kernel or a
 * sandbox does not have that call, the path is walked part by part, and no link is followed. */
#ifndef TG_BASE_BENEATH_H
#define TG_BASE_BENEATH_H

#include <stdbool.h>

/* Opens `path` below the folder `dir` (a descriptor), with the flags of open(2); O_CLOEXEC and
 * O_NOCTTY are added. The descriptor, or a negative errno: -EXDEV where the path leads out, also
 * -ELOOP where links are not followed. `quick`: only where nothing can wait for a disk or another
 * machine, because all of the path lies in the kernel's memory and on one file system; else
 * -EAGAIN, and the call is to be made again on a thread that may wait. */
int tg_beneath_open(int dir, const char *path, int flags, bool quick);

#endif
