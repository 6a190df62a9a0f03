/* Bytes over one connected socket: reading into a borrowed buffer, writing once a tick.
 *
 * Reads borrow the loop's scratch buffer, so that an idle stream holds none. Writes are appended to
 * `out` and go out together at the end of the tick, in one system call tried at once; what the
 * socket does not take waits, and the owner asks tg_stream_full before it makes more. Pieces of
 * files stand in the same queue, and go from the page cache to the socket (sendfile).
 *
 * A stream can be secured: from then on all of its bytes are TLS, and the owner sees the plain ones
 * of both directions as before. */
#ifndef TG_NET_STREAM_H
#define TG_NET_STREAM_H

#include <stdbool.h>
#include <uv.h>

#include "base/buffer.h"
#include "base/check.h"
#include "base/list.h"
#include "base/slice.h"
#include "base/status.h"
#include "loop/loop.h"
#include "loop/open_file.h"
#include "net/tls.h"

/* Queued bytes from which on the stream is full, and under which it has room again. */
#define TG_STREAM_HIGH (256 * 1024)
#define TG_STREAM_LOW  (64 * 1024)

struct tg_stream;
struct tg_stream_flight;

struct tg_stream_events {
  /* Bytes have come (valid inside the call), or status UV_EOF or an error with no bytes; after
   * those no more reads come. Of a secured stream also TG_ETLS, when the handshake or a record has
   * failed (tg_tls_complain says why), whether it is being read or not, and TG_ETLS_CUT, when the
   * other side's bytes have ended without saying so: some may be missing. */
  void (*read)(struct tg_stream *stream, tg_status status, struct tg_slice bytes);
  /* Queued bytes fell to TG_STREAM_LOW or below after having been full, or all are out
   * (tg_stream_queued is 0). */
  void (*drained)(struct tg_stream *stream);
  /* Writing failed; nothing more can be written. */
  void (*broken)(struct tg_stream *stream, tg_status status);
  /* The descriptor is closed: the memory may go. */
  void (*closed)(struct tg_stream *stream);
  /* The handshake is done. May be NULL. */
  void (*secured)(struct tg_stream *stream);
};

struct tg_stream {
  union {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  } uv;
  struct tg_loop *loop;
  const struct tg_stream_events *events;
  struct tg_buffer out;            /* not yet given to the kernel or to libuv */
  struct tg_list files;            /* pieces of files behind `out`, each with what follows it */
  uint64_t file_bytes;             /* of all of them, without what follows them */
  struct tg_stream_flight *flight; /* given to libuv, waiting for the socket */
  struct tg_loop_job flush;
  struct tg_tls *tls; /* NULL: bytes go as they are */
  uint64_t sent;      /* bytes that the kernel has taken, without those of the flight */
  bool reading;
  bool full;
  bool failed;
  bool closing;
  bool shut; /* our side was ended */
};

/* Takes the connected descriptor over (it is closed when this fails). */
TG_MUST_CHECK tg_status tg_stream_open(struct tg_stream *stream, struct tg_loop *loop, int fd,
                                       bool is_unix, const struct tg_stream_events *events);

/* All bytes are TLS from now on; before the first one in either direction, and before reading is
 * started. Takes `tls` over, whatever comes of it. What is written before the handshake is done
 * waits for it; `secured` tells of its end, and a failure comes as a read. */
TG_MUST_CHECK tg_status tg_stream_secure(struct tg_stream *stream, struct tg_tls *tls);

/* Drops what is queued and closes; events->closed follows. Idempotent. */
void tg_stream_close(struct tg_stream *stream);

void tg_stream_read_start(struct tg_stream *stream);
void tg_stream_read_stop(struct tg_stream *stream);

struct tg_stream_file {
  struct tg_list link;
  struct tg_open_file *file;
  uint64_t at, left;
  struct tg_buffer tail; /* output that follows it */
};

/* Where to append output; call tg_stream_flush_soon after. */
static inline struct tg_buffer *tg_stream_out(struct tg_stream *stream) {
  if (TG_UNLIKELY(!tg_list_empty(&stream->files)))
    return &TG_CONTAINER(stream->files.prev, struct tg_stream_file, link)->tail;
  tg_loop_lend_buffer(stream->loop, &stream->out);
  return &stream->out;
}

/* Appends `len` (> 0) bytes of a file, which is held until they are out; flush after that, too.
 * When the file turns out to be shorter, the stream is broken. TG_EUNSUPPORTED: it is secured. */
TG_MUST_CHECK tg_status tg_stream_append_file(struct tg_stream *stream, struct tg_open_file *file,
                                              uint64_t at, uint64_t len);

/* Sends what is in `out` at the end of this tick. */
static inline void tg_stream_flush_soon(struct tg_stream *stream) {
  tg_loop_post_flush(stream->loop, &stream->flush);
}

/* Sends now: for a writer that makes so much that waiting for the tick's end would cost memory. */
void tg_stream_flush(struct tg_stream *stream);

/* Bytes appended and not yet taken by the kernel. */
size_t tg_stream_queued(const struct tg_stream *stream);

/* Bytes that the kernel has taken so far: what tells a slow client from one that has stopped. */
uint64_t tg_stream_sent(const struct tg_stream *stream);

/* Should the owner stop making output until `drained`? Remembers that it was told so. */
bool tg_stream_full(struct tg_stream *stream);

/* After an end of file: has the peer gone altogether (a reset), and not only ended its side? */
bool tg_stream_hung_up(const struct tg_stream *stream);

/* Have bytes come that were not read yet? */
bool tg_stream_unread(const struct tg_stream *stream);

/* May the loop come to its end while the stream is open? A stream that is only kept for later. */
static inline void tg_stream_set_idle(struct tg_stream *stream, bool idle) {
  if (idle)
    uv_unref(&stream->uv.handle);
  else
    uv_ref(&stream->uv.handle);
}

/* Ends our side of the connection (FIN, after TLS's own end where it is secured); only when nothing
 * is queued. */
void tg_stream_shut(struct tg_stream *stream);

#endif
