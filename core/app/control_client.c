/* The client's side of the control socket: one blocking question. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "app/control.h"
#include "app/pid_file.h"
#include "base/clock.h"

#define ANSWER_MAX (64u << 20)

pid_t tg_control_pid(const struct tg_options *options) {
  char pid_file[4096], socket_path[4096];
  tg_control_paths(options, pid_file, socket_path);
  return tg_pid_file_read(pid_file, socket_path);
}

static tg_status connect_to(const char *path, int *fd) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (!path[0] || strlen(path) >= sizeof address.sun_path) return TG_ENOT_FOUND;
  memcpy(address.sun_path, path, strlen(path) + 1);
  *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (*fd < 0) return -errno;
  if (connect(*fd, (struct sockaddr *)&address, sizeof address) == 0) return TG_OK;
  tg_status status = errno == ENOENT || errno == ECONNREFUSED ? TG_ENOT_FOUND : -errno;
  close(*fd);
  return status;
}

static tg_status send_line(int fd, const char *request) {
  char line[TG_CONTROL_REQUEST_MAX + 2];
  int len = snprintf(line, sizeof line, "%s\n", request);
  if (len >= (int)sizeof line) return TG_ETOO_LARGE;
  for (int sent = 0; sent < len;) {
    ssize_t n = send(fd, line + sent, (size_t)(len - sent), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -errno;
    sent += (int)n;
  }
  return TG_OK;
}

static tg_status wait_readable(int fd, uint64_t deadline) {
  for (;;) {
    uint64_t now = tg_clock_now();
    if (now >= deadline) return TG_ETIMEOUT;
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    int n = poll(&poll_fd, 1, (int)((deadline - now) / TG_MILLISECOND) + 1);
    if (n > 0) return TG_OK;
    if (n < 0 && errno != EINTR) return -errno;
  }
}

/* Up to the line's end; an end of the stream before it means that the process has gone. */
static tg_status read_line(int fd, uint64_t deadline, struct tg_buffer *answer) {
  for (;;) {
    tg_status status = wait_readable(fd, deadline);
    if (!status) status = tg_buffer_reserve(answer, 4096);
    if (status) return status;
    ssize_t n = recv(fd, tg_buffer_tail(answer), 4096, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -errno;
    if (n == 0) return TG_ECLOSED;
    const char *end = memchr(tg_buffer_tail(answer), '\n', (size_t)n);
    tg_buffer_wrote(answer, end ? (size_t)(end - tg_buffer_tail(answer)) : (size_t)n);
    if (end) return TG_OK;
    if (tg_buffer_size(answer) > ANSWER_MAX) return TG_ETOO_LARGE;
  }
}

tg_status tg_control_ask(const struct tg_options *options, const char *request, double seconds,
                         struct tg_buffer *answer) {
  char pid_file[4096], socket_path[4096];
  int fd;
  tg_control_paths(options, pid_file, socket_path);
  if (!tg_pid_file_read(pid_file, socket_path)) return TG_ENOT_FOUND;
  uint64_t deadline = tg_clock_now() + (uint64_t)(seconds * 1e9);
  tg_status status = connect_to(socket_path, &fd);
  if (status) return status;
  status = send_line(fd, request);
  if (!status) status = read_line(fd, deadline, answer);
  close(fd);
  return status;
}
