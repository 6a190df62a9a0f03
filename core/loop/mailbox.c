/* A stack of letters, changed by one atomic step at either end, and an eventfd that wakes the
 * owner. The owner takes all letters at once, and turns them round. */
#include "loop/mailbox.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"

static void open_all(struct tg_list *last) {
  struct tg_list *first = NULL;
  while (last) {
    struct tg_list *link = last;
    last = link->next;
    link->next = first;
    first = link;
  }
  while (first) {
    struct tg_letter *letter = TG_CONTAINER(first, struct tg_letter, link);
    first = first->next;
    tg_list_init(&letter->link);
    letter->open(letter); /* may free it */
  }
}

static void on_wake(uv_poll_t *uv, int status, int events) {
  struct tg_mailbox *mailbox = uv->data;
  uint64_t count;
  (void)status;
  (void)events;
  /* First, so that whoever posts after the exchange wakes us again. */
  (void)!read(mailbox->fd, &count, sizeof count);
  if (!mailbox->closed) open_all(atomic_exchange(&mailbox->last, NULL));
}

tg_status tg_mailbox_init(struct tg_mailbox *mailbox, uv_loop_t *uv) {
  mailbox->closed = false;
  atomic_init(&mailbox->last, NULL);
  mailbox->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (mailbox->fd < 0) return -errno;
  tg_status status = uv_poll_init(uv, &mailbox->uv, mailbox->fd);
  mailbox->uv.data = mailbox;
  if (status == TG_OK) {
    status = uv_poll_start(&mailbox->uv, UV_READABLE, on_wake);
    TG_CHECK(status == TG_OK); /* it fails for a closed descriptor only */
  } else {
    close(mailbox->fd);
  }
  return status;
}

void tg_mailbox_close(struct tg_mailbox *mailbox) {
  mailbox->closed = true;
  uv_close((uv_handle_t *)&mailbox->uv, NULL);
  open_all(atomic_exchange(&mailbox->last, &mailbox->closed_mark));
}

void tg_mailbox_deinit(struct tg_mailbox *mailbox) {
  TG_CHECK(mailbox->closed && atomic_load(&mailbox->last) == &mailbox->closed_mark);
  close(mailbox->fd);
}

tg_status tg_mailbox_post(struct tg_mailbox *mailbox, struct tg_letter *letter) {
  struct tg_list *last = atomic_load(&mailbox->last);
  do {
    if (last == &mailbox->closed_mark) return TG_ECLOSED;
    letter->link.next = last;
  } while (!atomic_compare_exchange_weak(&mailbox->last, &last, &letter->link));
  /* From here on the letter may be opened and gone. */
  uint64_t one = 1;
  if (!last) (void)!write(mailbox->fd, &one, sizeof one);
  return TG_OK;
}
