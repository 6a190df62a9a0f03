/* The supervisor: a parent that does nothing but hold the listening sockets and start the serving
 * process anew when it dies.
 *
 * What nothing inside the serving process can survive (a crash in a C module, SIGKILL, SIGSTOP)
 * costs the requests under way and no more: new connections wait in the sockets, which stay open,
 * until the next process accepts them. One that dies again and again is started ever more slowly.
 */
#ifndef TG_APP_SUPERVISOR_H
#define TG_APP_SUPERVISOR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

#define TG_SUPERVISED_FDS_MAX 1024

struct tg_supervision {
  int channel;                    /* to the supervisor; -1: nobody supervises */
  unsigned restarts;              /* how often this process was started before */
  int fds[TG_SUPERVISED_FDS_MAX]; /* sockets that an earlier process had opened, in its order */
  size_t fd_count;
};

/* Starts `serve` in a child and watches it until it ends by itself; returns its exit status.
 * SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGUSR2 are passed on. Call before any thread is started. */
int tg_supervisor_run(int (*serve)(void *arg, struct tg_supervision *supervision), void *arg);

/* In the serving process: gives the supervisor copies of the listening sockets, which also says
 * that it serves now. */
TG_MUST_CHECK tg_status tg_supervision_keep(struct tg_supervision *supervision, const int *fds,
                                            size_t count);

#endif
