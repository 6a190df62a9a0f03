/* See file_body.h.
 *
 * The sender goes from window to window in one function, `advance`, which returns where it has to
 * wait: for room in the sink, or for the pool. What comes back from the pool is either bytes, or
 * the word that they are in the page cache now. The fetch on the pool and the sender are two, so
 * that a sender that is cancelled goes at once, whatever the disk does. */
#include "server/file_body.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/check.h"

/* So many bytes at once to a sink that takes files. */
#define WINDOW ((uint64_t)1024 * 1024)
/* Up to here copying is cheaper than sendfile, and makes one packet with the head. */
#define COPY_MAX ((size_t)16 * 1024)
/* So many bytes at once to a sink that takes bytes. */
#define PIECE ((size_t)64 * 1024)

/* ---- the plan ---- */

void tg_file_body_init(struct tg_file_body *body, struct tg_open_file *file, uint64_t at,
                       uint64_t len) {
  body->file = file;
  body->length = len;
  body->text = (struct tg_buffer){0};
  body->count = 1;
  body->one = (struct tg_file_part){.at = at, .len = len};
  body->parts = &body->one;
}

static tg_status make_boundary(char out[TG_FILE_BOUNDARY + 1]) {
  unsigned char bytes[TG_FILE_BOUNDARY / 2];
  if (getrandom(bytes, sizeof bytes, GRND_NONBLOCK) != (ssize_t)sizeof bytes) return TG_EIO;
  for (size_t i = 0; i < sizeof bytes; i++) snprintf(out + 2 * i, 3, "%02x", bytes[i]);
  return TG_OK;
}

tg_status tg_file_body_split(struct tg_file_body *body, uint64_t size, struct tg_slice type,
                             const struct tg_range *ranges, unsigned count,
                             char boundary[TG_FILE_BOUNDARY + 1]) {
  struct tg_file_part *parts = calloc(count + 1, sizeof *parts);
  if (!parts) return TG_ENOMEM;
  tg_status status = make_boundary(boundary);
  body->parts = parts;
  body->length = 0;
  body->count = 0;
  for (unsigned i = 0; status == TG_OK && i < count; i++) {
    struct tg_file_part *part = &body->parts[body->count++];
    *part = (struct tg_file_part){.text_at = tg_buffer_size(&body->text),
                                  .at = ranges[i].first,
                                  .len = ranges[i].last - ranges[i].first + 1};
    status =
        tg_buffer_format(&body->text,
                         "\r\n--%s\r\nContent-Type: %.*s\r\nContent-Range: bytes "
                         "%llu-%llu/%llu\r\n\r\n",
                         boundary, (int)type.len, type.ptr, (unsigned long long)ranges[i].first,
                         (unsigned long long)ranges[i].last, (unsigned long long)size);
    part->text_len = tg_buffer_size(&body->text) - part->text_at;
    body->length += part->text_len + part->len;
  }
  struct tg_file_part *end = &body->parts[body->count++];
  *end = (struct tg_file_part){.text_at = tg_buffer_size(&body->text)};
  if (status == TG_OK) status = tg_buffer_format(&body->text, "\r\n--%s--\r\n", boundary);
  end->text_len = tg_buffer_size(&body->text) - end->text_at;
  body->length += end->text_len;
  return status;
}

void tg_file_body_deinit(struct tg_file_body *body, struct tg_loop *loop) {
  tg_buffer_deinit(&body->text);
  if (body->parts != &body->one) free(body->parts);
  body->parts = &body->one;
  body->count = 0;
  if (body->file) tg_open_file_release(loop, body->file);
  body->file = NULL;
}

/* ---- the pool ---- */

struct tg_file_fetch {
  struct tg_pool_job job;
  struct tg_file_sender *sender; /* NULL: cancelled */
  struct tg_loop *loop;
  struct tg_open_file *file;
  uint64_t at, len;
  ptrdiff_t got; /* bytes, where they are wanted */
  bool wants_bytes;
  char bytes[];
};

static tg_status advance(struct tg_file_sender *sender, struct tg_file_fetch *fetched);

static void end(struct tg_file_sender *sender, tg_status status) {
  if (status != TG_EAGAIN) sender->done(sender, status);
}

static void run_fetch(struct tg_pool_job *job) {
  struct tg_file_fetch *fetch = TG_CONTAINER(job, struct tg_file_fetch, job);
  if (fetch->wants_bytes)
    fetch->got = tg_open_file_read(fetch->file, fetch->at, fetch->bytes, (size_t)fetch->len, false);
  else
    tg_open_file_fetch(fetch->file, fetch->at, fetch->len);
}

static void on_fetched(struct tg_pool_job *job) {
  struct tg_file_fetch *fetch = TG_CONTAINER(job, struct tg_file_fetch, job);
  struct tg_file_sender *sender = fetch->sender;
  struct tg_loop *loop = fetch->loop;
  struct tg_open_file *file = fetch->file;
  if (sender) {
    sender->fetch = NULL;
    end(sender, advance(sender, fetch));
  }
  tg_open_file_release(loop, file);
  free(fetch);
}

static tg_status start_fetch(struct tg_file_sender *sender, uint64_t at, uint64_t len, bool bytes) {
  struct tg_file_fetch *fetch = malloc(sizeof *fetch + (bytes ? (size_t)len : 0));
  if (!fetch) return TG_ENOMEM;
  *fetch = (struct tg_file_fetch){.sender = sender,
                                  .loop = sender->loop,
                                  .file = tg_open_file_hold(sender->body->file),
                                  .at = at,
                                  .len = len,
                                  .wants_bytes = bytes};
  tg_status status = tg_pool_submit(sender->loop, &fetch->job, run_fetch, on_fetched);
  if (status) {
    tg_open_file_release(sender->loop, fetch->file);
    free(fetch);
    return status;
  }
  sender->fetch = fetch;
  return TG_EAGAIN;
}

/* ---- the sender ---- */

static void on_room(void *owner, tg_status status) {
  struct tg_file_sender *sender = owner;
  sender->waits = false;
  sender->room = status;
  if (!sender->asks) end(sender, status ? status : advance(sender, NULL));
}

/* Gives bytes to the sink; `n` was read of `len`. */
static tg_status give(struct tg_file_sender *sender, const char *bytes, ptrdiff_t n, size_t len) {
  if (n < 0) return (tg_status)n;
  if ((size_t)n < len) return TG_EIO;
  sender->done_of_part += len;
  return sender->sink->write(sender->sink, tg_slice(bytes, len));
}

static tg_status copy(struct tg_file_sender *sender, uint64_t at, size_t len) {
  char bytes[COPY_MAX];
  ptrdiff_t n = tg_open_file_read(sender->body->file, at, bytes, len, true);
  return n == TG_EAGAIN ? start_fetch(sender, at, len, true) : give(sender, bytes, n, len);
}

/* The next window of a part: TG_OK when the sink has it, TG_EAGAIN when it has it and is full, or
 * the pool is asked (then sender->fetch is set). */
static tg_status send_window(struct tg_file_sender *sender, const struct tg_file_part *part,
                             struct tg_file_fetch *fetched) {
  uint64_t at = part->at + sender->done_of_part, left = part->len - sender->done_of_part;
  struct tg_open_file *file = sender->body->file;
  if (fetched && fetched->wants_bytes)
    return give(sender, fetched->bytes, fetched->got, (size_t)fetched->len);
  if (left <= COPY_MAX) return copy(sender, at, (size_t)left);
  if (!sender->sink->write_file) {
    size_t len = left < PIECE ? (size_t)left : PIECE;
    return start_fetch(sender, at, len, true);
  }
  uint64_t len = left < WINDOW ? left : WINDOW;
  if (!fetched && !tg_open_file_cached(file, at, len)) return start_fetch(sender, at, len, false);
  sender->done_of_part += len;
  return sender->sink->write_file(sender->sink, file, at, len);
}

static tg_status send_text(struct tg_file_sender *sender, const struct tg_file_part *part) {
  sender->text_sent = true;
  if (!part->text_len) return TG_OK;
  return sender->sink->write(sender->sink,
                             tg_slice(sender->body->text.data + part->text_at, part->text_len));
}

/* Goes on until the sink is full, the pool is asked, or all is done. */
static tg_status fill(struct tg_file_sender *sender, struct tg_file_fetch *fetched) {
  const struct tg_file_body *body = sender->body;
  tg_status status = TG_OK;
  while (status == TG_OK && sender->part < body->count) {
    const struct tg_file_part *part = &body->parts[sender->part];
    if (!sender->text_sent) {
      status = send_text(sender, part);
    } else if (sender->done_of_part < part->len) {
      status = send_window(sender, part, fetched);
      fetched = NULL;
    } else {
      sender->part++;
      sender->done_of_part = 0;
      sender->text_sent = false;
    }
  }
  return status;
}

/* Is the last byte in the sink? Then nobody needs to wait until that has room again. */
static bool is_over(const struct tg_file_sender *sender) {
  const struct tg_file_part *last = &sender->body->parts[sender->body->count - 1];
  return sender->part == sender->body->count - 1 && sender->text_sent &&
         sender->done_of_part == last->len;
}

static tg_status advance(struct tg_file_sender *sender, struct tg_file_fetch *fetched) {
  for (;;) {
    tg_status status = fill(sender, fetched);
    if (status != TG_EAGAIN || sender->fetch) return status;
    if (is_over(sender)) return TG_OK;
    /* The answer may come inside the call. */
    sender->waits = sender->asks = true;
    sender->sink->drained(sender->sink, on_room, sender);
    sender->asks = false;
    if (sender->waits) return TG_EAGAIN;
    if (sender->room) return sender->room;
    fetched = NULL;
  }
}

tg_status tg_file_sender_start(struct tg_file_sender *sender, struct tg_loop *loop,
                               const struct tg_file_body *body, struct tg_sink *sink) {
  sender->loop = loop;
  sender->body = body;
  sender->sink = sink;
  sender->part = 0;
  sender->done_of_part = 0;
  sender->text_sent = sender->waits = sender->asks = false;
  sender->fetch = NULL;
  return advance(sender, NULL);
}

void tg_file_sender_cancel(struct tg_file_sender *sender) {
  if (sender->waits) sender->sink->cancel(sender->sink);
  sender->waits = false;
  if (sender->fetch) sender->fetch->sender = NULL;
  sender->fetch = NULL;
}
