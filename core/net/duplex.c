/* All plain bytes come in by `tg_duplex_feed` and all bytes go out by `tg_duplex_send`, and nothing
 * else here knows the socket: TLS (duplex_secure.c) has its place between these and the handle.
 *
 * Reading goes on while the buffer has room, whether or not somebody waits: stopping after each
 * answer would cost two system calls a request, and the end of the stream would go unnoticed. The
 * handle is referenced while somebody waits for bytes, and only then is the loop held by it. */
#include "net/duplex.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "net/duplex_secure.h"

/* ---- life ---- */

struct tg_duplex *tg_duplex_new(struct tg_loop *loop, enum tg_duplex_kind kind) {
  struct tg_duplex *duplex = calloc(1, sizeof *duplex);
  if (!duplex) return NULL;
  duplex->loop = loop;
  int status = kind == TG_DUPLEX_TCP ? uv_tcp_init(&loop->uv, &duplex->uv.tcp)
                                     : uv_pipe_init(&loop->uv, &duplex->uv.pipe, 0);
  TG_CHECK(status == 0); /* neither makes a descriptor yet */
  duplex->uv.handle.data = duplex;
  uv_unref(&duplex->uv.handle);
  return duplex;
}

tg_status tg_duplex_attach(struct tg_duplex *duplex, int fd) {
  int status = duplex->uv.handle.type == UV_TCP ? uv_tcp_open(&duplex->uv.tcp, fd)
                                                : uv_pipe_open(&duplex->uv.pipe, fd);
  if (status) close(fd);
  return status;
}

static void on_closed(uv_handle_t *handle) {
  struct tg_duplex *duplex = handle->data;
  tg_buffer_deinit(&duplex->flying);
  tg_tls_free(duplex->tls);
  free(duplex);
}

static void stop(struct tg_duplex *duplex) {
  if (!duplex->reading) return;
  duplex->reading = false;
  uv_read_stop(&duplex->uv.stream);
}

static void tell_reader(struct tg_duplex *duplex) {
  struct tg_duplex_read *read = duplex->reader;
  if (!read || read->told) return;
  read->told = true;
  read->ready(read);
}

static void tell_writer(struct tg_duplex *duplex) {
  struct tg_duplex_room *room = duplex->writer;
  if (!room || room->told) return;
  room->told = true;
  room->ready(room);
}

void tg_duplex_deafen(struct tg_duplex *duplex) {
  struct tg_duplex_read *read = duplex->reader;
  stop(duplex);
  duplex->ended = TG_ECLOSED;
  tg_loop_take_buffer(duplex->loop, &duplex->in);
  if (!read) return;
  read->duplex = NULL;
  tell_reader(duplex);
  duplex->reader = NULL;
  uv_unref(&duplex->uv.handle);
}

void tg_duplex_close(struct tg_duplex *duplex) {
  TG_CHECK(!duplex->closing);
  duplex->closing = true;
  tg_duplex_deafen(duplex);
  if (duplex->writer) duplex->writer->duplex = NULL;
  tell_writer(duplex);
  tg_buffer_deinit(&duplex->out);
  if (duplex->tls) tg_duplex_secure_stop(duplex);
  uv_close(&duplex->uv.handle, on_closed);
}

/* ---- the answer to a request ---- */

static tg_status answer(struct tg_duplex_read *read, struct tg_slice bytes, size_t used) {
  read->bytes = bytes;
  read->used = used;
  return TG_OK;
}

static tg_status look_until(const struct tg_duplex *duplex, struct tg_duplex_read *read,
                            struct tg_slice in) {
  struct tg_slice delimiter = read->delimiter;
  size_t searched = in.len > read->scanned ? in.len - read->scanned : 0;
  const char *found =
      searched ? memmem(in.ptr + read->scanned, searched, delimiter.ptr, delimiter.len) : NULL;
  size_t len = found ? (size_t)(found - in.ptr) : in.len;
  if (found) {
    read->scanned = len;
    if (len > read->count) return TG_ETOO_LARGE;
    return answer(read, tg_slice(in.ptr, len), len + delimiter.len);
  }
  /* the last bytes may be the delimiter's first */
  read->scanned = len >= delimiter.len ? len - delimiter.len + 1 : 0;
  if (len >= delimiter.len && len - delimiter.len >= read->count) return TG_ETOO_LARGE;
  return duplex->ended ? duplex->ended : TG_EAGAIN;
}

static tg_status look_line(const struct tg_duplex *duplex, struct tg_duplex_read *read,
                           struct tg_slice in) {
  const char *end =
      in.len > read->scanned ? memchr(in.ptr + read->scanned, '\n', in.len - read->scanned) : NULL;
  size_t len = end ? (size_t)(end - in.ptr) : in.len;
  size_t used = end ? len + 1 : len;
  read->scanned = len;
  if (end && len && in.ptr[len - 1] == '\r') len--;
  if (end && len <= read->count) return answer(read, tg_slice(in.ptr, len), used);
  /* a \r at the end of what came may belong to the line's end */
  if (len > read->count && (end || in.ptr[len - 1] != '\r' || len - 1 > read->count))
    return TG_ETOO_LARGE;
  if (!duplex->ended) return TG_EAGAIN;
  if (duplex->ended == UV_EOF && len) return answer(read, in, used);
  return duplex->ended;
}

tg_status tg_duplex_look(struct tg_duplex *duplex, struct tg_duplex_read *read) {
  struct tg_slice in = tg_buffer_slice(&duplex->in);
  size_t len = in.len < read->count ? in.len : read->count;
  tg_status otherwise = duplex->ended ? duplex->ended : TG_EAGAIN;
  switch (read->want) {
    case TG_WANT_SOME:
      return len || !read->count ? answer(read, tg_slice(in.ptr, len), len) : otherwise;
    case TG_WANT_EXACTLY:
      return len == read->count ? answer(read, tg_slice(in.ptr, len), len) : otherwise;
    case TG_WANT_UNTIL: return look_until(duplex, read, in);
    case TG_WANT_LINE: return look_line(duplex, read, in);
    case TG_WANT_ALL: break;
  }
  if (in.len > read->count) return TG_ETOO_LARGE;
  return duplex->ended == UV_EOF ? answer(read, in, in.len) : otherwise;
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  (void)suggested;
  struct tg_duplex *duplex = handle->data;
  TG_CHECK(!duplex->loop->scratch_lent);
  duplex->loop->scratch_lent = true;
  *buf = uv_buf_init(duplex->loop->scratch, TG_LOOP_SCRATCH);
}

void tg_duplex_end(struct tg_duplex *duplex, tg_status status) {
  stop(duplex);
  duplex->ended = status;
  tell_reader(duplex);
}

void tg_duplex_feed(struct tg_duplex *duplex, struct tg_slice bytes) {
  tg_loop_lend_buffer(duplex->loop, &duplex->in);
  if (tg_buffer_append(&duplex->in, bytes.ptr, bytes.len)) {
    tg_duplex_end(duplex, TG_ENOMEM);
    return;
  }
  struct tg_duplex_read *read = duplex->reader;
  bool waits = read && !read->told && tg_duplex_look(duplex, read) == TG_EAGAIN;
  if (waits) return;
  if (tg_duplex_buffered(duplex) >= TG_DUPLEX_AHEAD) stop(duplex);
  tell_reader(duplex);
}

/* Bytes have come from the socket. */
static void receive(struct tg_duplex *duplex, struct tg_slice bytes) {
  if (duplex->tls)
    tg_duplex_secure_receive(duplex, bytes);
  else
    tg_duplex_feed(duplex, bytes);
}

/* libuv tells the end from a hang-up after a short read, which may have left bytes in the kernel,
 * or the reset that has come behind them. The kernel is asked itself: what it says is the end. */
static tg_status drain(struct tg_duplex *duplex) {
  uv_os_fd_t fd;
  if (uv_fileno(&duplex->uv.handle, &fd)) return UV_EOF;
  for (int failures = 0; failures < 16 && !duplex->ended;) {
    ssize_t n = read(fd, duplex->loop->scratch, TG_LOOP_SCRATCH);
    if (n == 0) break;
    if (n > 0) receive(duplex, tg_slice(duplex->loop->scratch, (size_t)n));
    if (n > 0) continue;
    if (errno != EAGAIN && errno != EINTR) return -errno;
    failures++;
  }
  return UV_EOF;
}

static void on_read(uv_stream_t *uv, ssize_t n, const uv_buf_t *buf) {
  struct tg_duplex *duplex = uv->data;
  duplex->loop->scratch_lent = false;
  if (duplex->closing) return;
  if (n > 0) receive(duplex, tg_slice(buf->base, (size_t)n));
  if (n == UV_EOF) n = drain(duplex);
  if (n >= 0 || duplex->ended) return;
  if (duplex->tls)
    tg_duplex_secure_end(duplex, (tg_status)n);
  else
    tg_duplex_end(duplex, (tg_status)n);
}

void tg_duplex_start(struct tg_duplex *duplex) {
  if (duplex->reading || duplex->ended) return;
  int status = uv_read_start(&duplex->uv.stream, on_alloc, on_read);
  duplex->reading = status == 0;
  if (status) duplex->ended = status;
}

void tg_duplex_wait(struct tg_duplex *duplex, struct tg_duplex_read *read) {
  TG_CHECK(!duplex->reader && !duplex->closing);
  tg_duplex_start(duplex);
  read->duplex = duplex;
  read->told = false;
  duplex->reader = read;
  uv_ref(&duplex->uv.handle);
  if (duplex->ended) tell_reader(duplex);
}

void tg_duplex_unwait(struct tg_duplex_read *read) {
  struct tg_duplex *duplex = read->duplex;
  read->duplex = NULL;
  if (!duplex) return;
  TG_CHECK(duplex->reader == read);
  duplex->reader = NULL;
  uv_unref(&duplex->uv.handle);
}

void tg_duplex_take(struct tg_duplex *duplex, struct tg_duplex_read *read) {
  tg_buffer_consume(&duplex->in, read->used);
  read->bytes = tg_slice(NULL, 0);
  read->used = read->scanned = 0;
  size_t left = tg_duplex_buffered(duplex);
  if (left == 0) tg_loop_take_buffer(duplex->loop, &duplex->in);
  /* half, so that a slow reader does not start and stop at every read */
  if (left <= TG_DUPLEX_AHEAD / 2) tg_duplex_start(duplex);
}

/* ---- writing ---- */

size_t tg_duplex_queued(const struct tg_duplex *duplex) {
  size_t flying = duplex->in_flight ? uv_stream_get_write_queue_size(&duplex->uv.stream) : 0;
  size_t held = duplex->tls ? tg_buffer_size(&duplex->tls->held) : 0;
  return tg_buffer_size(&duplex->out) + flying + held;
}

/* A pipe has no sides: it ends when its descriptor goes, whose number libuv keeps. */
static void on_shut(uv_shutdown_t *req, int status) {
  struct tg_duplex *duplex = TG_CONTAINER(req, struct tg_duplex, shutdown);
  uv_os_fd_t fd;
  if (status != UV_ENOTSOCK || uv_fileno(&duplex->uv.handle, &fd)) return;
  int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (null < 0) return;
  (void)dup3(null, fd, O_CLOEXEC);
  close(null);
}

void tg_duplex_finish_writing(struct tg_duplex *duplex) {
  /* a failure means that the other side has gone, which reading will say */
  if (duplex->shut && !duplex->broken && !tg_duplex_queued(duplex))
    (void)uv_shutdown(&duplex->shutdown, &duplex->uv.stream, on_shut);
}

void tg_duplex_break_off(struct tg_duplex *duplex, tg_status status) {
  duplex->broken = status;
  tg_buffer_deinit(&duplex->out);
  tell_writer(duplex);
}

void tg_duplex_tell_room(struct tg_duplex *duplex) {
  struct tg_duplex_room *room = duplex->writer;
  if (room && tg_duplex_queued(duplex) <= room->level) tell_writer(duplex);
}

static void send_queued(struct tg_duplex *duplex);

static void on_written(uv_write_t *req, int status) {
  struct tg_duplex *duplex = TG_CONTAINER(req, struct tg_duplex, write);
  duplex->in_flight = false;
  if (duplex->closing) return;
  tg_loop_take_buffer(duplex->loop, &duplex->flying);
  if (status) {
    tg_duplex_break_off(duplex, status);
    return;
  }
  if (tg_buffer_size(&duplex->out))
    send_queued(duplex);
  else
    tg_duplex_finish_writing(duplex);
  tg_duplex_tell_room(duplex);
}

/* One write in flight at most: what is written meanwhile gathers in `out` and follows as the next.
 */
static void send_queued(struct tg_duplex *duplex) {
  duplex->flying = duplex->out;
  tg_buffer_init(&duplex->out);
  struct tg_slice bytes = tg_buffer_slice(&duplex->flying);
  uv_buf_t buf = uv_buf_init((char *)bytes.ptr, (unsigned)bytes.len);
  int status = uv_write(&duplex->write, &duplex->uv.stream, &buf, 1, on_written);
  duplex->in_flight = status == 0;
  if (status == 0) return;
  tg_buffer_deinit(&duplex->flying);
  tg_duplex_break_off(duplex, status);
}

/* Number of bytes that the kernel took at once, or an error. */
static ssize_t send_now(struct tg_duplex *duplex, const struct tg_slice *parts, unsigned count) {
  uv_buf_t bufs[TG_DUPLEX_PARTS];
  TG_CHECK(count <= TG_DUPLEX_PARTS);
  for (unsigned i = 0; i < count; i++)
    bufs[i] = uv_buf_init((char *)parts[i].ptr, (unsigned)parts[i].len);
  int n = uv_try_write(&duplex->uv.stream, bufs, count);
  return n == UV_EAGAIN || n == UV_EINTR ? 0 : n;
}

static size_t length_of(const struct tg_slice *parts, unsigned count) {
  size_t len = 0;
  for (unsigned i = 0; i < count; i++) len += parts[i].len;
  return len;
}

static tg_status append(struct tg_duplex *duplex, const struct tg_slice *parts, unsigned count,
                        size_t sent) {
  tg_loop_lend_buffer(duplex->loop, &duplex->out);
  tg_status status = tg_buffer_reserve(&duplex->out, length_of(parts, count) - sent);
  for (unsigned i = 0; i < count && !status; i++) {
    size_t skip = sent < parts[i].len ? sent : parts[i].len;
    sent -= skip;
    status = tg_buffer_append(&duplex->out, parts[i].ptr + skip, parts[i].len - skip);
  }
  return status;
}

tg_status tg_duplex_send(struct tg_duplex *duplex, const struct tg_slice *parts, unsigned count) {
  size_t len = length_of(parts, count), sent = 0;
  if (duplex->broken) return duplex->broken;
  if (!duplex->in_flight && len) {
    ssize_t n = send_now(duplex, parts, count);
    if (n < 0) tg_duplex_break_off(duplex, (tg_status)n);
    if (n < 0) return (tg_status)n;
    sent = (size_t)n;
  }
  if (sent == len) return tg_duplex_queued(duplex) < TG_DUPLEX_HIGH ? TG_OK : TG_EAGAIN;
  tg_status status = append(duplex, parts, count, sent);
  /* half of it has gone: what follows would be read as its rest */
  if (status && sent) tg_duplex_break_off(duplex, status);
  if (status) return status;
  if (!duplex->in_flight) send_queued(duplex);
  if (duplex->broken) return duplex->broken;
  return tg_duplex_queued(duplex) < TG_DUPLEX_HIGH ? TG_OK : TG_EAGAIN;
}

tg_status tg_duplex_write(struct tg_duplex *duplex, const struct tg_slice *parts, unsigned count) {
  if (duplex->broken) return duplex->broken;
  if (duplex->shut || duplex->said_end || duplex->closing) return TG_ECLOSED;
  if (length_of(parts, count) > TG_DUPLEX_WRITE_MAX) return TG_ETOO_LARGE;
  return duplex->tls ? tg_duplex_secure_send(duplex, parts, count)
                     : tg_duplex_send(duplex, parts, count);
}

void tg_duplex_room_wait(struct tg_duplex *duplex, struct tg_duplex_room *room) {
  TG_CHECK(!duplex->writer && !duplex->closing);
  room->duplex = duplex;
  room->told = false;
  duplex->writer = room;
  if (duplex->broken || tg_duplex_queued(duplex) <= room->level) tell_writer(duplex);
}

void tg_duplex_room_end(struct tg_duplex_room *room) {
  struct tg_duplex *duplex = room->duplex;
  room->duplex = NULL;
  if (!duplex) return;
  TG_CHECK(duplex->writer == room);
  duplex->writer = NULL;
}

void tg_duplex_say_end(struct tg_duplex *duplex) {
  if (duplex->said_end || duplex->broken || duplex->closing) return;
  duplex->said_end = true;
  if (duplex->tls) tg_duplex_secure_say_end(duplex);
}

void tg_duplex_shut(struct tg_duplex *duplex) {
  if (duplex->shut || duplex->closing) return;
  tg_duplex_say_end(duplex);
  duplex->shut = true;
  tg_duplex_finish_writing(duplex);
}

/* ---- names ---- */

static tg_status name_of(const struct tg_duplex *duplex, struct tg_address *address,
                         int (*get)(int, struct sockaddr *, socklen_t *)) {
  uv_os_fd_t fd;
  *address = (struct tg_address){.len = sizeof address->addr};
  tg_status status = uv_fileno(&duplex->uv.handle, &fd);
  if (status) return status;
  return get(fd, &address->addr.any, &address->len) == 0 ? TG_OK : uv_translate_sys_error(errno);
}

tg_status tg_duplex_local(const struct tg_duplex *duplex, struct tg_address *address) {
  return name_of(duplex, address, getsockname);
}

tg_status tg_duplex_remote(const struct tg_duplex *duplex, struct tg_address *address) {
  return name_of(duplex, address, getpeername);
}
