/* A listening socket on one loop: accepts in bounded batches and survives a lack of descriptors.
 *
 * Sockets are bound at boot (tg_listener_bind), one for each loop by SO_REUSEPORT, so that the
 * kernel spreads connections; a unix socket is shared by all loops. When descriptors run out the
 * newest client is refused by means of a reserve descriptor, and accepting pauses for a moment
 * instead of spinning. */
#ifndef TG_NET_LISTENER_H
#define TG_NET_LISTENER_H

#include <stdbool.h>
#include <uv.h>

#include "loop/loop.h"
#include "net/address.h"

struct tg_listener;

/* Takes a connected, non-blocking descriptor. `peer` is borrowed. */
typedef void (*tg_listener_cb)(struct tg_listener *listener, int fd, const struct tg_address *peer);

struct tg_listener {
  uv_poll_t poll;
  struct tg_loop *loop;
  int fd;
  int reserve;
  int burst;            /* clients that are taken at once */
  uint64_t accepted_at; /* in milliseconds of uv_now */
  bool open;
  struct tg_wheel_node resume; /* accepting goes on after a pause */
  tg_listener_cb accepted;
  tg_listener_cb refused; /* no descriptor was left: answer in one try, without keeping it, and do
                             not close it */
  void *owner;
  void (*closed)(struct tg_listener *listener);
};

/* Binds and listens; *fd is the caller's. `first` says that nobody of this process has bound the
 * address yet: then another process that listens there is an error (EADDRINUSE) although
 * SO_REUSEPORT would share it. A port of 0 is replaced in `address` by the one that the kernel
 * chose. */
TG_MUST_CHECK tg_status tg_listener_bind(struct tg_address *address, bool first, int *fd);

/* Starts accepting on `fd`, which now belongs to the listener. Callbacks and owner must be set.
 * After an error `fd` is closed; the memory must stay until the loop is closed. */
TG_MUST_CHECK tg_status tg_listener_open(struct tg_listener *listener, struct tg_loop *loop, int fd,
                                         bool is_unix);

/* Accepts what the kernel has already established, then stops for good; the socket is closed when
 * this returns.
 * `closed` (may be NULL) is called when the memory may go. */
void tg_listener_close(struct tg_listener *listener);

#endif
