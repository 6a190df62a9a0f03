/* A descriptor that is read and written by hand, and waited for: a listening or a UDP socket.
 *
 * It asks the kernel only while somebody waits, so that a queue which nobody takes from stays the
 * kernel's, bounded there. One waits for reading and one for writing at a time. On the heap,
 * independent of Lua, and of one loop; it lives until tg_descriptor_close, and frees itself when
 * libuv has let go of the handle. */
#ifndef TG_NET_DESCRIPTOR_H
#define TG_NET_DESCRIPTOR_H

#include <stdbool.h>
#include <uv.h>

#include "base/status.h"
#include "loop/loop.h"

struct tg_descriptor;

/* One wait, in the caller's storage. */
struct tg_descriptor_wait {
  /* The descriptor is ready, or was closed (then `descriptor` is NULL). Called at most once. */
  void (*ready)(struct tg_descriptor_wait *wait);
  struct tg_descriptor *descriptor;
  bool writing;
};

struct tg_descriptor {
  uv_poll_t poll;
  struct tg_loop *loop;
  int fd;
  struct tg_descriptor_wait *reader;
  struct tg_descriptor_wait *writer;
};

/* Takes over a non-blocking descriptor; closes it when this fails. */
TG_MUST_CHECK tg_status tg_descriptor_new(struct tg_loop *loop, int fd,
                                          struct tg_descriptor **descriptor);

/* Tells who waits, and closes. The pointer is dead after. */
void tg_descriptor_close(struct tg_descriptor *descriptor);

/* Calls wait->ready as soon as the descriptor can be read (or written, by `writing`). Nobody else
 * may wait for the same. */
void tg_descriptor_wait(struct tg_descriptor *descriptor, struct tg_descriptor_wait *wait,
                        bool writing);

/* Ends a wait that was not told; harmless after one that was. */
void tg_descriptor_unwait(struct tg_descriptor_wait *wait);

#endif
