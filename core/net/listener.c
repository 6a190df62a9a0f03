/* Accepting by hand instead of by uv_listen: libuv retries a failing accept in a tight loop, and
 * it tells nobody that descriptors are short. */
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"

#define BATCH   64
#define PAUSE   (100 * TG_MILLISECOND)
#define BACKLOG 4096

static void set_flag(int fd, int level, int name) {
  int on = 1;
  (void)setsockopt(fd, level, name, &on, sizeof on);
}

static tg_status probe_unix(const struct tg_address *address) {
  struct stat st;
  if (lstat(address->addr.un.sun_path, &st) != 0) return TG_OK;
  if (!S_ISSOCK(st.st_mode)) return -EADDRINUSE;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  /* EAGAIN: somebody listens, whose queue is full */
  bool alive = connect(fd, &address->addr.any, address->len) == 0 || errno == EAGAIN;
  close(fd);
  if (alive) return -EADDRINUSE;
  return unlink(address->addr.un.sun_path) == 0 ? TG_OK
                                                : -errno; /* left behind by a dead process */
}

/* A socket without SO_REUSEPORT cannot be bound while another process listens. */
static tg_status probe_inet(const struct tg_address *address) {
  int fd = socket(address->addr.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  set_flag(fd, SOL_SOCKET, SO_REUSEADDR);
  if (address->addr.any.sa_family == AF_INET6) set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY);
  tg_status status = bind(fd, &address->addr.any, address->len) == 0 ? TG_OK : -errno;
  close(fd);
  return status;
}

static tg_status bind_fd(struct tg_address *address, int fd) {
  bool is_unix = tg_address_is_unix(address);
  if (!is_unix) {
    set_flag(fd, SOL_SOCKET, SO_REUSEADDR);
    set_flag(fd, SOL_SOCKET, SO_REUSEPORT);
    if (address->addr.any.sa_family == AF_INET6) set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY);
  }
  if (bind(fd, &address->addr.any, address->len) != 0) return -errno;
  if (listen(fd, BACKLOG) != 0) return -errno;
  if (is_unix) return TG_OK;
  socklen_t len = sizeof address->addr;
  if (getsockname(fd, &address->addr.any, &len) != 0) return -errno;
  address->len = len;
  return TG_OK;
}

tg_status tg_listener_bind(struct tg_address *address, bool first, int *fd) {
  if (first) {
    tg_status busy = tg_address_is_unix(address) ? probe_unix(address) : probe_inet(address);
    if (busy) return busy;
  }
  int made = socket(address->addr.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (made < 0) return -errno;
  tg_status status = bind_fd(address, made);
  if (status) {
    close(made);
    return status;
  }
  *fd = made;
  return TG_OK;
}

static int open_reserve(void) {
  return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_readable(uv_poll_t *uv, int status, int events);

static void on_resume(struct tg_wheel_node *node) {
  struct tg_listener *listener = TG_CONTAINER(node, struct tg_listener, resume);
  if (listener->reserve < 0) listener->reserve = open_reserve();
  uv_poll_start(&listener->poll, UV_READABLE, on_readable);
}

static void pause_accepting(struct tg_listener *listener) {
  if (!listener->open) return;
  uv_poll_stop(&listener->poll);
  tg_wheel_set(&listener->loop->wheel, &listener->resume, listener->loop->now,
               listener->loop->now + PAUSE);
}

static int accept_one(struct tg_listener *listener, struct tg_address *peer) {
  peer->len = sizeof peer->addr;
  int fd = accept4(listener->fd, &peer->addr.any, &peer->len, SOCK_NONBLOCK | SOCK_CLOEXEC);
  return fd >= 0 ? fd : -errno;
}

/* Gives up the reserve descriptor for long enough to tell one client that we are full. */
static void refuse_one(struct tg_listener *listener) {
  if (listener->reserve >= 0) close(listener->reserve);
  struct tg_address peer;
  int fd = accept_one(listener, &peer);
  if (fd >= 0) {
    listener->refused(listener, fd, &peer);
    close(fd);
  }
  listener->reserve = open_reserve();
}

/* Returns how many clients were looked at: fewer than `most` when there were no more. */
static int accept_batch(struct tg_listener *listener, int most) {
  int i = 0;
  for (; i < most && listener->open; i++) {
    struct tg_address peer;
    int fd = accept_one(listener, &peer);
    if (fd >= 0) {
      listener->accepted(listener, fd, &peer);
    } else if (fd == -EAGAIN) {
      break;
    } else if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM) {
      refuse_one(listener);
      pause_accepting(listener);
      break;
    }
    /* ECONNABORTED, EINTR and the errors of one dead client: the next one may be fine */
  }
  return i;
}

/* The kernel tells again while clients wait, so that none needs to be asked for in vain: one that
 * comes alone costs one call. More are taken at once where they come that close together. */
static void on_readable(uv_poll_t *uv, int status, int events) {
  struct tg_listener *listener = uv->data;
  uint64_t now = uv_now(&listener->loop->uv);
  (void)events;
  if (status) return;
  int most = listener->burst, got = accept_batch(listener, most);
  if (got < most)
    listener->burst = got ? got : 1;
  else if (now == listener->accepted_at)
    listener->burst = most * 2 < BATCH ? most * 2 : BATCH;
  listener->accepted_at = now;
}

static void close_descriptors(struct tg_listener *listener) {
  close(listener->fd);
  if (listener->reserve >= 0) close(listener->reserve);
  listener->fd = listener->reserve = -1;
}

static void on_closed(uv_handle_t *uv) {
  struct tg_listener *listener = uv->data;
  if (listener->closed) listener->closed(listener);
}

/* The descriptors go at once, not with the handle: what connects between the last accept and the
 * close is reset by the kernel. */
static void stop(struct tg_listener *listener) {
  listener->open = false;
  tg_wheel_remove(&listener->loop->wheel, &listener->resume);
  uv_poll_stop(&listener->poll);
  close_descriptors(listener);
  uv_close((uv_handle_t *)&listener->poll, on_closed);
}

tg_status tg_listener_open(struct tg_listener *listener, struct tg_loop *loop, int fd,
                           bool is_unix) {
  listener->loop = loop;
  listener->fd = fd;
  listener->burst = 1;
  listener->accepted_at = 0;
  if (!is_unix) set_flag(fd, IPPROTO_TCP, TCP_NODELAY); /* as those will have it that it accepts */
  listener->reserve = open_reserve();
  tg_wheel_node_init(&listener->resume, on_resume);
  tg_status status = uv_poll_init(&loop->uv, &listener->poll, fd);
  if (status) {
    close_descriptors(listener);
    return status;
  }
  listener->poll.data = listener;
  listener->open = true;
  status = uv_poll_start(&listener->poll, UV_READABLE, on_readable);
  if (status == TG_OK) return TG_OK;
  listener->closed = NULL;
  stop(listener);
  return status;
}

void tg_listener_close(struct tg_listener *listener) {
  if (!listener->open) return;
  accept_batch(listener, BACKLOG);
  if (listener->open) stop(listener);
}
