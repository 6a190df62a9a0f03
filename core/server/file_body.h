/* A body that lies in a file: which parts of it are sent, with what text between them, and how they
 * come to a sink.
 *
 * One file has one body: the whole of it, a range, or several (multipart/byteranges, RFC 9110
 * section 14.6). The sender joins it to any sink. Where the sink takes files, and the bytes lie in
 * the page cache, they are never copied; what would have to wait for a disk is read on the pool
 * first, a window at a time, so that no loop does. Of a sink that takes bytes alone (a worker's,
 * TLS) each window is read into memory. */
#ifndef TG_SERVER_FILE_BODY_H
#define TG_SERVER_FILE_BODY_H

#include "base/body.h"
#include "base/buffer.h"
#include "http/range.h"
#include "loop/loop.h"
#include "loop/open_file.h"
#include "loop/pool.h"

struct tg_file_part {
  size_t text_at, text_len; /* in the body's text: sent before the bytes */
  uint64_t at, len;
};

struct tg_file_body {
  struct tg_open_file *file; /* a reference */
  uint64_t length;           /* of all that is sent */
  struct tg_buffer text;
  unsigned count;
  struct tg_file_part *parts; /* `one`, or memory of its own */
  struct tg_file_part one;
};

#define TG_FILE_BOUNDARY 24 /* hexadecimal digits that separate parts */

/* Plans to send `len` bytes from `at`. Takes the caller's reference of `file`. */
void tg_file_body_init(struct tg_file_body *body, struct tg_open_file *file, uint64_t at,
                       uint64_t len);

/* Plans several ranges of a file of `size` bytes instead, each part with its media type; `boundary`
 * is made, and ends with NUL. TG_ENOMEM, or what the system's source of random numbers says. */
TG_MUST_CHECK tg_status tg_file_body_split(struct tg_file_body *body, uint64_t size,
                                           struct tg_slice type, const struct tg_range *ranges,
                                           unsigned count, char boundary[TG_FILE_BOUNDARY + 1]);

/* Lets go of the file; idempotent. */
void tg_file_body_deinit(struct tg_file_body *body, struct tg_loop *loop);

struct tg_file_fetch;

struct tg_file_sender {
  struct tg_loop *loop;
  const struct tg_file_body *body;
  struct tg_sink *sink;
  unsigned part; /* the one under way */
  uint64_t done_of_part;
  bool text_sent;
  bool waits;                  /* for room */
  bool asks;                   /* whether there is room, right now */
  tg_status room;              /* the answer */
  struct tg_file_fetch *fetch; /* on the pool */
  /* Called once, later: TG_OK when the sink has taken all of it; TG_EIO when the file was shorter;
   * else what the sink or the system said. */
  void (*done)(struct tg_file_sender *sender, tg_status status);
};

/* Begins. TG_EAGAIN: `done` will be called; else it is done already, and this is the status. The
 * body and the sink stay until then. */
TG_MUST_CHECK tg_status tg_file_sender_start(struct tg_file_sender *sender, struct tg_loop *loop,
                                             const struct tg_file_body *body, struct tg_sink *sink);

/* Stops; `done` will not be called. */
void tg_file_sender_cancel(struct tg_file_sender *sender);

#endif
