/* uv_poll, armed for whoever waits and for nobody else: see descriptor.h. */
#include "net/descriptor.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"

static void on_event(uv_poll_t *poll, int status, int events);

static void arm(struct tg_descriptor *descriptor) {
  int events = (descriptor->reader ? UV_READABLE : 0) | (descriptor->writer ? UV_WRITABLE : 0);
  if (events)
    uv_poll_start(&descriptor->poll, events, on_event);
  else
    uv_poll_stop(&descriptor->poll);
}

static void tell(struct tg_descriptor *descriptor, struct tg_descriptor_wait **place, bool alive) {
  struct tg_descriptor_wait *wait = *place;
  *place = NULL;
  if (!wait) return;
  wait->descriptor = alive ? descriptor : NULL;
  wait->ready(wait);
}

/* An error is found by whoever reads or writes next. */
static void on_event(uv_poll_t *poll, int status, int events) {
  struct tg_descriptor *descriptor = poll->data;
  if (status || (events & UV_READABLE)) tell(descriptor, &descriptor->reader, true);
  if (status || (events & UV_WRITABLE)) tell(descriptor, &descriptor->writer, true);
  arm(descriptor);
}

tg_status tg_descriptor_new(struct tg_loop *loop, int fd, struct tg_descriptor **descriptor) {
  struct tg_descriptor *made = calloc(1, sizeof *made);
  int status = made ? uv_poll_init(&loop->uv, &made->poll, fd) : TG_ENOMEM;
  if (status) {
    free(made);
    close(fd);
    return status;
  }
  made->poll.data = made;
  made->loop = loop;
  made->fd = fd;
  *descriptor = made;
  return TG_OK;
}

static void on_closed(uv_handle_t *handle) {
  free(handle->data);
}

void tg_descriptor_close(struct tg_descriptor *descriptor) {
  tell(descriptor, &descriptor->reader, false);
  tell(descriptor, &descriptor->writer, false);
  uv_close((uv_handle_t *)&descriptor->poll, on_closed);
  close(descriptor->fd); /* at once: the next client must be refused */
}

void tg_descriptor_wait(struct tg_descriptor *descriptor, struct tg_descriptor_wait *wait,
                        bool writing) {
  struct tg_descriptor_wait **place = writing ? &descriptor->writer : &descriptor->reader;
  TG_CHECK(!*place);
  *place = wait;
  wait->descriptor = descriptor;
  wait->writing = writing;
  arm(descriptor);
}

void tg_descriptor_unwait(struct tg_descriptor_wait *wait) {
  struct tg_descriptor *descriptor = wait->descriptor;
  if (!descriptor) return;
  struct tg_descriptor_wait **place = wait->writing ? &descriptor->writer : &descriptor->reader;
  wait->descriptor = NULL;
  if (*place != wait) return;
  *place = NULL;
  arm(descriptor);
}
