/* A small file of the system that may change while we run: /etc/hosts, /etc/resolv.conf.
 *
 * It is looked at (one stat) no more than once a second, and read whole when it has changed. */
#ifndef TG_LOOP_WATCHED_FILE_H
#define TG_LOOP_WATCHED_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/buffer.h"

#define TG_WATCHED_FILE_MAX (16u << 20)

struct tg_watched_file {
  char path[512];
  uint64_t checked; /* monotonic nanoseconds; 0: never */
  dev_t dev;
  ino_t ino;
  off_t size;
  struct timespec changed;
};

void tg_watched_file_init(struct tg_watched_file *file, const char *path);

/* True when it is not what it was at the last call, as at the first; then `text` holds its bytes
 * (none where it cannot be read, at most TG_WATCHED_FILE_MAX). */
bool tg_watched_file_look(struct tg_watched_file *file, uint64_t now, struct tg_buffer *text);

#endif
