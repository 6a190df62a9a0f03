/* A locked list and an async handle. The lock is held for a pointer swap only; the owner takes all
 * letters at once and opens them without it. */
#include "loop/mailbox.h"

#include "base/check.h"

static void open_all(struct tg_mailbox *mailbox) {
  struct tg_list letters;
  tg_list_init(&letters);
  pthread_mutex_lock(&mailbox->lock);
  tg_list_move(&letters, &mailbox->letters);
  pthread_mutex_unlock(&mailbox->lock);
  struct tg_list *link;
  while ((link = tg_list_take_first(&letters))) {
    struct tg_letter *letter = TG_CONTAINER(link, struct tg_letter, link);
    letter->open(letter);
  }
}

static void on_async(uv_async_t *uv) {
  open_all(uv->data);
}

tg_status tg_mailbox_init(struct tg_mailbox *mailbox, uv_loop_t *uv) {
  tg_list_init(&mailbox->letters);
  mailbox->closed = false;
  pthread_mutex_init(&mailbox->lock, NULL);
  tg_status status = uv_async_init(uv, &mailbox->uv, on_async);
  mailbox->uv.data = mailbox;
  if (status) pthread_mutex_destroy(&mailbox->lock);
  return status;
}

void tg_mailbox_close(struct tg_mailbox *mailbox) {
  pthread_mutex_lock(&mailbox->lock);
  mailbox->closed = true;
  pthread_mutex_unlock(&mailbox->lock);
  open_all(mailbox);
  uv_close((uv_handle_t *)&mailbox->uv, NULL);
}

void tg_mailbox_deinit(struct tg_mailbox *mailbox) {
  TG_CHECK(mailbox->closed && tg_list_empty(&mailbox->letters));
  pthread_mutex_destroy(&mailbox->lock);
}

tg_status tg_mailbox_post(struct tg_mailbox *mailbox, struct tg_letter *letter) {
  pthread_mutex_lock(&mailbox->lock);
  bool closed = mailbox->closed;
  bool first = tg_list_empty(&mailbox->letters);
  if (!closed) tg_list_append(&mailbox->letters, &letter->link);
  /* Under the lock, because the owner may close the handle as soon as it is released. */
  if (!closed && first) uv_async_send(&mailbox->uv);
  pthread_mutex_unlock(&mailbox->lock);
  return closed ? TG_ECLOSED : TG_OK;
}
