/* The pid file: who runs here, and where its control socket is.
 *
 * Held by a lock that the kernel drops with the process, so that no leftover ever blocks a start,
 * and no pid of an unrelated process is mistaken for ours. */
#ifndef TG_APP_PID_FILE_H
#define TG_APP_PID_FILE_H

#include <sys/types.h>

#include "base/status.h"

/* Takes the file and writes it with `pid`, the process that signals go to. *fd holds the lock.
 * TG_EEXISTS: a live process has it; or a negative errno. */
TG_MUST_CHECK tg_status tg_pid_file_take(const char *path, const char *socket_path, pid_t pid,
                                         int *fd);

/* Removes the file and lets the lock go. */
void tg_pid_file_give(const char *path, int fd);

/* The pid in the file, and its socket (may be ""), if a process holds it; 0 when nobody does. */
pid_t tg_pid_file_read(const char *path, char socket_path[4096]);

#endif
