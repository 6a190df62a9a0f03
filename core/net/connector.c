/* An attempt is a socket that is polled until it is writable, on the heap, because libuv lets go of
 * its handle later, when nobody knows the connector any more. */
#include "net/connector.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"

#define STAGGER (250 * TG_MILLISECOND)

struct attempt {
  uv_poll_t poll;
  struct tg_list link;
  struct tg_connector *connector;
  int fd;
};

static void on_closed(uv_handle_t *handle) {
  free(TG_CONTAINER(handle, struct attempt, poll));
}

/* Lets go of the attempt; its descriptor is the caller's. */
static int drop(struct attempt *attempt) {
  tg_list_remove(&attempt->link);
  uv_close((uv_handle_t *)&attempt->poll, on_closed);
  return attempt->fd;
}

static void stop(struct tg_connector *connector) {
  struct tg_loop *loop = connector->loop;
  tg_timer_stop(&loop->timers, &connector->stagger);
  tg_loop_job_remove(&connector->later);
  while (!tg_list_empty(&connector->attempts))
    close(drop(TG_CONTAINER(connector->attempts.next, struct attempt, link)));
}

static void on_later(struct tg_loop_job *job) {
  struct tg_connector *connector = TG_CONTAINER(job, struct tg_connector, later);
  int fd = connector->fd;
  connector->fd = -1;
  connector->done(connector, fd < 0 ? connector->status : TG_OK, fd);
}

/* The result is told from the loop, also when it was there at once. */
static void finish(struct tg_connector *connector, int fd) {
  stop(connector);
  connector->fd = fd;
  tg_loop_post(connector->loop, &connector->later);
}

/* That a whole network is out of reach says the least: often it is only IPv6 that is missing. */
static void note(struct tg_connector *connector, tg_status status) {
  tg_status known = connector->status;
  bool vague = known == -ENETUNREACH || known == -EHOSTUNREACH || known == -EADDRNOTAVAIL;
  if (!known || vague) connector->status = status;
}

static void start_some(struct tg_connector *connector);

static void on_event(uv_poll_t *poll, int status, int events) {
  struct attempt *attempt = TG_CONTAINER(poll, struct attempt, poll);
  struct tg_connector *connector = attempt->connector;
  int error = 0;
  socklen_t len = sizeof error;
  (void)events;
  int fd = drop(attempt);
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len)) error = errno;
  if (!error && status) error = -status;
  if (!error) {
    finish(connector, fd);
    return;
  }
  close(fd);
  note(connector, -error);
  start_some(connector);
}

static tg_status watch(struct tg_connector *connector, int fd) {
  struct attempt *attempt = malloc(sizeof *attempt);
  if (!attempt) return TG_ENOMEM;
  *attempt = (struct attempt){.connector = connector, .fd = fd};
  tg_status status = uv_poll_init(&connector->loop->uv, &attempt->poll, fd);
  if (status) {
    free(attempt);
    return status;
  }
  tg_list_append(&connector->attempts, &attempt->link);
  /* Fails for no descriptor that is open. */
  TG_CHECK(uv_poll_start(&attempt->poll, UV_WRITABLE, on_event) == 0);
  return TG_OK;
}

static tg_status bind_own(const struct tg_address *own, int fd, int family) {
  int on = 1;
  if (!own || family == AF_UNIX) return TG_OK;
  if (own->addr.any.sa_family != family) return -EADDRNOTAVAIL;
  (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  return bind(fd, &own->addr.any, own->len) == 0 ? TG_OK : -errno;
}

/* TG_EAGAIN: under way; TG_OK: connected already, *fd is the socket. */
static tg_status start_one(struct tg_connector *connector, const struct tg_address *address,
                           int *connected) {
  int family = address->addr.any.sa_family, on = 1;
  int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (family != AF_UNIX) (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  tg_status unbound = bind_own(connector->own, fd, family);
  if (unbound) {
    close(fd);
    return unbound;
  }
  if (connect(fd, &address->addr.any, address->len) == 0) {
    *connected = fd;
    return TG_OK;
  }
  tg_status status = errno == EINPROGRESS ? watch(connector, fd) : -errno;
  if (status) close(fd);
  return status ? status : TG_EAGAIN;
}

static void start_next(struct tg_connector *connector) {
  struct tg_timers *timers = &connector->loop->timers;
  tg_status status = TG_ENO_DATA;
  tg_timer_stop(timers, &connector->stagger);
  while (connector->next < connector->count && status != TG_EAGAIN) {
    int fd = -1;
    status = start_one(connector, &connector->addresses[connector->next++], &fd);
    if (!status) {
      finish(connector, fd);
      return;
    }
    if (status != TG_EAGAIN) note(connector, status);
  }
  if (tg_list_empty(&connector->attempts)) finish(connector, -1);
}

static void on_stagger(struct tg_timer *timer);

/* Without memory for the timer the next attempt begins when this one has failed. */
static void start_some(struct tg_connector *connector) {
  start_next(connector);
  if (tg_list_empty(&connector->attempts) || connector->next == connector->count) return;
  uint64_t due = tg_loop_time(connector->loop) + STAGGER;
  (void)!tg_timer_start(&connector->loop->timers, &connector->stagger, due, on_stagger);
}

static void on_stagger(struct tg_timer *timer) {
  start_some(TG_CONTAINER(timer, struct tg_connector, stagger));
}

void tg_connector_start(struct tg_connector *connector, struct tg_loop *loop,
                        const struct tg_address *addresses, size_t count,
                        const struct tg_address *own,
                        void (*done)(struct tg_connector *connector, tg_status status, int fd)) {
  *connector = (struct tg_connector){.loop = loop,
                                     .done = done,
                                     .addresses = addresses,
                                     .count = count,
                                     .own = own,
                                     .status = count ? TG_OK : TG_ENO_DATA,
                                     .fd = -1};
  tg_list_init(&connector->attempts);
  tg_loop_job_init(&connector->later, on_later);
  start_some(connector);
}

void tg_connector_cancel(struct tg_connector *connector) {
  stop(connector);
  if (connector->fd >= 0) close(connector->fd);
  connector->fd = -1;
}
