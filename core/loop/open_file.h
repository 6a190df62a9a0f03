/* A file that is open for reading, held by all who still send of it; the last one closes it.
 *
 * Whether its bytes can be had without waiting for a disk is asked of the kernel each time: it
 * gives what lies in its page cache, or says that it would have to wait. What would is left to the
 * pool. Any thread; the descriptor's own offset is never used. */
#ifndef TG_LOOP_OPEN_FILE_H
#define TG_LOOP_OPEN_FILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct tg_loop;

struct tg_open_file {
  atomic_uint refs;
  int fd;
  bool is_large; /* giving its blocks back takes time, where it was deleted */
};

/* Takes `fd`, of a file of `size` bytes, over. NULL when memory is gone; then `fd` is still the
 * caller's. */
struct tg_open_file *tg_open_file_new(int fd, uint64_t size);

/* One more holder; returns its argument. */
struct tg_open_file *tg_open_file_hold(struct tg_open_file *file);

/* One less. The last one closes: on the pool, where that frees many blocks of a deleted file. */
void tg_open_file_release(struct tg_loop *loop, struct tg_open_file *file);

/* Reads up to `len` bytes; fewer only at the end of the file. `quick`: TG_EAGAIN where that would
 * wait for a disk. The number of bytes, or a status. */
ptrdiff_t tg_open_file_read(const struct tg_open_file *file, uint64_t at, char *out, size_t len,
                            bool quick);

/* Are these bytes likely to be in the page cache? A few of them are looked at, because the kernel
 * brings in and drops longer runs. False, too, where the file system cannot tell. */
bool tg_open_file_cached(const struct tg_open_file *file, uint64_t at, uint64_t len);

/* Reads the bytes for nothing but having them in the page cache. May wait. */
void tg_open_file_fetch(const struct tg_open_file *file, uint64_t at, uint64_t len);

/* Is a descriptor's file system a local one, on which opening what the kernel knows waits for
 * nothing? */
bool tg_open_file_local(int fd);

#endif
