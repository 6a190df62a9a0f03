/* The only door between threads: letters are posted from any thread and opened on the owner's loop.
 *
 * A letter is embedded in what it carries; ownership goes with it. Letters are opened in the order
 * of posting. After tg_mailbox_close posting fails, and the sender keeps the letter.
 *
 * Nothing in here waits for another thread: a sender of low priority may be pushed aside at any
 * moment, most likely by the owner that it has just woken. So there is no lock, and no uv_async_t,
 * whose owner spins until the sender has returned. */
#ifndef TG_LOOP_MAILBOX_H
#define TG_LOOP_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <uv.h>

#include "base/list.h"
#include "base/status.h"

struct tg_letter {
  struct tg_list link; /* for whoever holds the letter: the mailbox, while it is posted */
  void (*open)(struct tg_letter *letter); /* on the owner's thread */
};

struct tg_mailbox {
  _Atomic(struct tg_list *) last; /* a stack by `next`: the latest letter first */
  struct tg_list closed_mark;     /* what `last` points to once the mailbox is closed */
  int fd;                         /* eventfd: letters have come */
  bool closed;                    /* the owner's own note */
  uv_poll_t uv;
};

TG_MUST_CHECK tg_status tg_mailbox_init(struct tg_mailbox *mailbox, uv_loop_t *uv);

/* Opens what is still there, refuses more, and begins to close the handle. Own thread. */
void tg_mailbox_close(struct tg_mailbox *mailbox);

/* Frees what other threads may still touch; after all of them have ended. */
void tg_mailbox_deinit(struct tg_mailbox *mailbox);

/* Any thread. TG_ECLOSED: the owner has ended; the caller keeps the letter. */
TG_MUST_CHECK tg_status tg_mailbox_post(struct tg_mailbox *mailbox, struct tg_letter *letter);

#endif
