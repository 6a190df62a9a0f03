/* One write in flight at most: while libuv holds it, later output gathers in `out` and follows as
 * the next. So a stream of bytes never holds more than two buffers. Pieces of files stand in a list
 * behind `out`, each with a buffer for what comes after it, which is the next `out`.
 *
 * libuv tells when a socket is writable only to those who have given it something to write. So
 * where sendfile finds the socket full, a few bytes of the file take the place of a question: they
 * are copied and given to libuv, and when they are out, sendfile goes on. */
#include "net/stream.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "net/stream_secure.h"

/* Bytes of a file that are given to libuv where the socket is full: few, because each is copied
 * twice, and no packet of their own, because others stand before them. */
#define BRIDGE ((size_t)4 * 1024)
/* What one call of sendfile is asked for. */
#define SENDFILE_MAX ((size_t)1024 * 1024)

struct tg_stream_flight {
  uv_write_t req;
  struct tg_buffer bytes;
};

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  (void)suggested;
  struct tg_stream *stream = handle->data;
  TG_CHECK(!stream->loop->scratch_lent);
  stream->loop->scratch_lent = true;
  *buf = uv_buf_init(stream->loop->scratch, TG_LOOP_SCRATCH);
}

static void on_read(uv_stream_t *uv, ssize_t n, const uv_buf_t *buf) {
  struct tg_stream *stream = uv->data;
  if (TG_UNLIKELY(stream->tls)) {
    if (n)
      tg_stream_secure_read(stream, n < 0 ? (tg_status)n : TG_OK,
                            tg_slice(buf->base, n < 0 ? 0 : (size_t)n));
    stream->loop->scratch_lent = false;
    return;
  }
  if (n > 0) stream->events->read(stream, TG_OK, tg_slice(buf->base, (size_t)n));
  stream->loop->scratch_lent = false;
  if (n >= 0) return;
  stream->reading = false;
  if (!stream->closing) stream->events->read(stream, (tg_status)n, tg_slice(NULL, 0));
}

static void on_flush(struct tg_loop_job *job) {
  tg_stream_flush(TG_CONTAINER(job, struct tg_stream, flush));
}

tg_status tg_stream_open(struct tg_stream *stream, struct tg_loop *loop, int fd, bool is_unix,
                         const struct tg_stream_events *events) {
  stream->loop = loop;
  stream->events = events;
  stream->flight = NULL;
  stream->tls = NULL;
  stream->sent = 0;
  stream->reading = stream->full = stream->failed = stream->closing = stream->shut = false;
  tg_buffer_init(&stream->out);
  tg_list_init(&stream->files);
  stream->file_bytes = 0;
  tg_loop_job_init(&stream->flush, on_flush);
  tg_status status = is_unix ? uv_pipe_init(&loop->uv, &stream->uv.pipe, 0)
                             : uv_tcp_init(&loop->uv, &stream->uv.tcp);
  if (status) {
    close(fd);
    return status;
  }
  stream->uv.handle.data = stream;
  status = is_unix ? uv_pipe_open(&stream->uv.pipe, fd) : uv_tcp_open(&stream->uv.tcp, fd);
  /* Neither fails for a socket that accept4 has just made non-blocking. */
  TG_CHECK(status == 0);
  return TG_OK;
}

/* The first piece of a file is out, or given up: what follows it is next. */
static void drop_file(struct tg_stream *stream) {
  struct tg_stream_file *piece = TG_CONTAINER(stream->files.next, struct tg_stream_file, link);
  tg_loop_take_buffer(stream->loop, &stream->out);
  stream->out = piece->tail;
  stream->file_bytes -= piece->left;
  tg_list_remove(&piece->link);
  tg_open_file_release(stream->loop, piece->file);
  free(piece);
}

static void drop_output(struct tg_stream *stream) {
  while (!tg_list_empty(&stream->files)) {
    tg_buffer_deinit(&stream->out);
    drop_file(stream);
  }
  tg_buffer_deinit(&stream->out);
}

static void on_closed(uv_handle_t *handle) {
  struct tg_stream *stream = handle->data;
  tg_tls_free(stream->tls);
  stream->events->closed(stream);
}

void tg_stream_close(struct tg_stream *stream) {
  if (stream->closing) return;
  stream->closing = true;
  stream->reading = false;
  tg_loop_job_remove(&stream->flush);
  if (stream->tls) tg_stream_secure_stop(stream);
  drop_output(stream);
  uv_close(&stream->uv.handle, on_closed);
}

tg_status tg_stream_pull(struct tg_stream *stream) {
  return uv_read_start(&stream->uv.stream, on_alloc, on_read);
}

void tg_stream_read_start(struct tg_stream *stream) {
  if (stream->reading || stream->closing) return;
  if (TG_UNLIKELY(stream->tls))
    tg_stream_secure_read_start(stream);
  else
    stream->reading = tg_stream_pull(stream) == TG_OK;
}

void tg_stream_read_stop(struct tg_stream *stream) {
  if (!stream->reading) return;
  if (TG_UNLIKELY(stream->tls)) {
    tg_stream_secure_read_stop(stream);
    return;
  }
  stream->reading = false;
  uv_read_stop(&stream->uv.stream);
}

static void fail(struct tg_stream *stream, tg_status status) {
  if (stream->failed || stream->closing) return;
  stream->failed = true;
  drop_output(stream);
  stream->events->broken(stream, status);
}

static void tell_drained(struct tg_stream *stream) {
  size_t queued = tg_stream_queued(stream);
  if (stream->tls && !stream->tls->secured) return; /* what went out was the handshake's */
  if (queued != 0 && !(stream->full && queued <= TG_STREAM_LOW)) return;
  stream->full = false;
  if (!stream->closing && !stream->failed) stream->events->drained(stream);
}

static void on_written(uv_write_t *req, int status) {
  struct tg_stream_flight *flight = TG_CONTAINER(req, struct tg_stream_flight, req);
  struct tg_stream *stream = req->data;
  stream->sent += tg_buffer_size(&flight->bytes);
  tg_buffer_deinit(&flight->bytes);
  free(flight);
  stream->flight = NULL;
  if (stream->closing) return;
  if (status) {
    fail(stream, status);
    return;
  }
  if (tg_buffer_size(&stream->out) || !tg_list_empty(&stream->files) || stream->tls)
    tg_stream_flush(stream);
  tell_drained(stream);
}

/* Gives bytes to libuv, which tells when they are out; takes the memory over. */
static void queue(struct tg_stream *stream, struct tg_buffer *bytes) {
  struct tg_stream_flight *flight = malloc(sizeof *flight);
  if (!flight) {
    tg_buffer_deinit(bytes);
    fail(stream, TG_ENOMEM);
    return;
  }
  flight->bytes = *bytes;
  flight->req.data = stream;
  tg_buffer_init(bytes);
  struct tg_slice rest = tg_buffer_slice(&flight->bytes);
  uv_buf_t buf = uv_buf_init((char *)rest.ptr, (unsigned)rest.len);
  stream->flight = flight;
  int status = uv_write(&flight->req, &stream->uv.stream, &buf, 1, on_written);
  if (status == 0) return;
  stream->flight = NULL;
  tg_buffer_deinit(&flight->bytes);
  free(flight);
  fail(stream, status);
}

/* Past libuv's own queue, which is empty here: send(2) costs less than the write(2) it would come
 * to. Bytes before a piece of a file wait for it, so that a short head makes no packet of its own.
 */
static ssize_t send_now(struct tg_stream *stream, struct tg_slice bytes) {
  int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
  uv_os_fd_t fd;
  if (TG_UNLIKELY(stream->file_bytes)) flags |= MSG_MORE;
  if (uv_fileno(&stream->uv.handle, &fd)) return UV_EBADF;
  ssize_t n = send(fd, bytes.ptr, bytes.len, flags);
  return n < 0 ? -errno : n;
}

/* Sends what is in a buffer; false when some of it has to wait, or the stream is broken. */
static bool send_out(struct tg_stream *stream, struct tg_buffer *out) {
  struct tg_slice bytes = tg_buffer_slice(out);
  if (!bytes.len) return true;
  if (bytes.len > INT32_MAX) bytes.len = INT32_MAX;
  ssize_t n = send_now(stream, bytes);
  if (n < 0 && n != UV_EAGAIN && n != UV_EINTR && n != UV_ENOBUFS) {
    fail(stream, (tg_status)n);
    return false;
  }
  if (n > 0) {
    tg_buffer_consume(out, (size_t)n);
    stream->sent += (size_t)n;
  }
  if (tg_buffer_size(out)) {
    queue(stream, out);
    return false;
  }
  tg_loop_take_buffer(stream->loop, out);
  return true;
}

static void bridge(struct tg_stream *stream, struct tg_stream_file *piece) {
  struct tg_buffer bytes = {0};
  size_t len = piece->left < BRIDGE ? (size_t)piece->left : BRIDGE;
  if (tg_buffer_reserve(&bytes, len)) {
    fail(stream, TG_ENOMEM);
    return;
  }
  ptrdiff_t n = tg_open_file_read(piece->file, piece->at, tg_buffer_tail(&bytes), len, false);
  if (n <= 0) {
    tg_buffer_deinit(&bytes);
    fail(stream, n < 0 ? (tg_status)n : TG_EIO);
    return;
  }
  tg_buffer_wrote(&bytes, (size_t)n);
  piece->at += (uint64_t)n;
  piece->left -= (uint64_t)n;
  stream->file_bytes -= (uint64_t)n;
  queue(stream, &bytes);
}

/* Sends of the first piece of a file; false when the rest has to wait, or the stream is broken. */
static bool send_file(struct tg_stream *stream) {
  struct tg_stream_file *piece = TG_CONTAINER(stream->files.next, struct tg_stream_file, link);
  uv_os_fd_t fd;
  if (uv_fileno(&stream->uv.handle, &fd)) return false;
  while (piece->left) {
    off_t at = (off_t)piece->at;
    size_t most = piece->left < SENDFILE_MAX ? (size_t)piece->left : SENDFILE_MAX;
    ssize_t n = sendfile(fd, piece->file->fd, &at, most);
    if (n > 0) {
      piece->at += (uint64_t)n;
      piece->left -= (uint64_t)n;
      stream->sent += (uint64_t)n;
      stream->file_bytes -= (uint64_t)n;
    } else if (n < 0 && errno == EAGAIN) {
      bridge(stream, piece);
      return false;
    } else if (n == 0 || errno != EINTR) {
      fail(stream, n == 0 ? TG_EIO : -errno); /* nothing more: the file has become shorter */
      return false;
    }
  }
  drop_file(stream);
  return true;
}

static void end_socket(struct tg_stream *stream) {
  uv_os_fd_t fd;
  if (uv_fileno(&stream->uv.handle, &fd) == 0) (void)shutdown(fd, SHUT_WR);
}

/* A piece is encrypted when the one before it is out. */
static void flush_secured(struct tg_stream *stream) {
  struct tg_tls *tls = stream->tls;
  do {
    tg_status status = tg_stream_secure_fill(stream);
    if (status == TG_EAGAIN) return; /* until more has been read */
    if (status) {
      fail(stream, status);
      return;
    }
    if (!send_out(stream, &tls->out)) return;
  } while (tls->secured && tg_buffer_size(&stream->out));
  if (!tg_buffer_size(&stream->out)) tg_loop_take_buffer(stream->loop, &stream->out);
  if (stream->shut) end_socket(stream);
  tell_drained(stream);
}

void tg_stream_flush(struct tg_stream *stream) {
  tg_loop_job_remove(&stream->flush);
  if (stream->flight || stream->closing || stream->failed) return;
  if (TG_UNLIKELY(stream->tls)) {
    flush_secured(stream);
    return;
  }
  if (!send_out(stream, &stream->out)) return;
  while (TG_UNLIKELY(!tg_list_empty(&stream->files)))
    if (!send_file(stream) || !send_out(stream, &stream->out)) return;
  tell_drained(stream);
}

tg_status tg_stream_append_file(struct tg_stream *stream, struct tg_open_file *file, uint64_t at,
                                uint64_t len) {
  if (stream->tls) return TG_EUNSUPPORTED;
  struct tg_stream_file *piece = malloc(sizeof *piece);
  if (!piece) return TG_ENOMEM;
  *piece = (struct tg_stream_file){.file = tg_open_file_hold(file), .at = at, .left = len};
  tg_list_append(&stream->files, &piece->link);
  stream->file_bytes += len;
  return TG_OK;
}

/* Pieces of files, and what stands between them. */
static size_t queued_files(const struct tg_stream *stream) {
  size_t bytes = (size_t)stream->file_bytes;
  for (const struct tg_list *link = stream->files.next; link != &stream->files; link = link->next)
    bytes += tg_buffer_size(&TG_CONTAINER(link, struct tg_stream_file, link)->tail);
  return bytes;
}

size_t tg_stream_queued(const struct tg_stream *stream) {
  size_t flying = stream->flight ? uv_stream_get_write_queue_size(&stream->uv.stream) : 0;
  size_t files = TG_UNLIKELY(!tg_list_empty(&stream->files)) ? queued_files(stream) : 0;
  size_t secured = TG_UNLIKELY(stream->tls) ? tg_buffer_size(&stream->tls->out) : 0;
  return tg_buffer_size(&stream->out) + flying + files + secured;
}

uint64_t tg_stream_sent(const struct tg_stream *stream) {
  if (!stream->flight) return stream->sent;
  return stream->sent + tg_buffer_size(&stream->flight->bytes) -
         uv_stream_get_write_queue_size(&stream->uv.stream);
}

bool tg_stream_full(struct tg_stream *stream) {
  if (tg_stream_queued(stream) >= TG_STREAM_HIGH) stream->full = true;
  return stream->full;
}

bool tg_stream_unread(const struct tg_stream *stream) {
  uv_os_fd_t fd;
  int bytes = 0;
  if (stream->tls && tg_tls_unread(stream->tls)) return true;
  return uv_fileno(&stream->uv.handle, &fd) == 0 && ioctl(fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

void tg_stream_shut(struct tg_stream *stream) {
  if (stream->shut || stream->closing) return;
  stream->shut = true;
  if (TG_UNLIKELY(stream->tls)) {
    tg_tls_end(stream->tls);
    tg_stream_flush(stream);
  } else {
    end_socket(stream);
  }
}

/* libuv reports a reset that comes with the last bytes as a plain end of file. */
bool tg_stream_hung_up(const struct tg_stream *stream) {
  uv_os_fd_t fd;
  if (uv_fileno(&stream->uv.handle, &fd)) return true;
  struct pollfd polled = {.fd = fd, .events = POLLIN};
  return poll(&polled, 1, 0) == 1 && (polled.revents & (POLLHUP | POLLERR));
}
