/* One write in flight at most: while libuv holds it, later output gathers in `out` and follows as
 * the next. So a stream never holds more than two buffers, and order needs no queue of ours. */
#include "net/stream.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"

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
  stream->sent = 0;
  stream->reading = stream->full = stream->failed = stream->closing = stream->shut = false;
  tg_buffer_init(&stream->out);
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

static void on_closed(uv_handle_t *handle) {
  struct tg_stream *stream = handle->data;
  stream->events->closed(stream);
}

void tg_stream_close(struct tg_stream *stream) {
  if (stream->closing) return;
  stream->closing = true;
  stream->reading = false;
  tg_loop_job_remove(&stream->flush);
  tg_buffer_deinit(&stream->out);
  uv_close(&stream->uv.handle, on_closed);
}

void tg_stream_read_start(struct tg_stream *stream) {
  if (stream->reading || stream->closing) return;
  stream->reading = uv_read_start(&stream->uv.stream, on_alloc, on_read) == 0;
}

void tg_stream_read_stop(struct tg_stream *stream) {
  if (!stream->reading) return;
  stream->reading = false;
  uv_read_stop(&stream->uv.stream);
}

static void fail(struct tg_stream *stream, tg_status status) {
  if (stream->failed || stream->closing) return;
  stream->failed = true;
  tg_buffer_deinit(&stream->out);
  stream->events->broken(stream, status);
}

static void tell_drained(struct tg_stream *stream) {
  size_t queued = tg_stream_queued(stream);
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
  if (tg_buffer_size(&stream->out)) tg_stream_flush(stream);
  tell_drained(stream);
}

static void queue_rest(struct tg_stream *stream) {
  struct tg_stream_flight *flight = malloc(sizeof *flight);
  if (!flight) {
    fail(stream, TG_ENOMEM);
    return;
  }
  flight->bytes = stream->out;
  flight->req.data = stream;
  tg_buffer_init(&stream->out);
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

void tg_stream_flush(struct tg_stream *stream) {
  tg_loop_job_remove(&stream->flush);
  if (stream->flight || stream->closing || stream->failed) return;
  struct tg_slice bytes = tg_buffer_slice(&stream->out);
  if (bytes.len) {
    uv_buf_t buf =
        uv_buf_init((char *)bytes.ptr, (unsigned)(bytes.len > INT32_MAX ? INT32_MAX : bytes.len));
    int n = uv_try_write(&stream->uv.stream, &buf, 1);
    if (n < 0 && n != UV_EAGAIN && n != UV_EINTR) {
      fail(stream, n);
      return;
    }
    if (n > 0) {
      tg_buffer_consume(&stream->out, (size_t)n);
      stream->sent += (size_t)n;
    }
    if (tg_buffer_size(&stream->out)) {
      queue_rest(stream);
      return;
    }
    tg_loop_take_buffer(stream->loop, &stream->out);
  }
  tell_drained(stream);
}

size_t tg_stream_queued(const struct tg_stream *stream) {
  size_t flying = stream->flight ? uv_stream_get_write_queue_size(&stream->uv.stream) : 0;
  return tg_buffer_size(&stream->out) + flying;
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
  return uv_fileno(&stream->uv.handle, &fd) == 0 && ioctl(fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

void tg_stream_shut(struct tg_stream *stream) {
  uv_os_fd_t fd;
  if (stream->shut || stream->closing) return;
  stream->shut = true;
  if (uv_fileno(&stream->uv.handle, &fd) == 0) (void)shutdown(fd, SHUT_WR);
}

/* libuv reports a reset that comes with the last bytes as a plain end of file. */
bool tg_stream_hung_up(const struct tg_stream *stream) {
  uv_os_fd_t fd;
  if (uv_fileno(&stream->uv.handle, &fd)) return true;
  struct pollfd polled = {.fd = fd, .events = POLLIN};
  return poll(&polled, 1, 0) == 1 && (polled.revents & (POLLHUP | POLLERR));
}
