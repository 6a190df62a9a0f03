/* The floor: what any HTTP server that uses epoll, read and write has to pay at least.
 *
 * One loop; a read is searched for blank lines, each is answered with a fixed text, the answers of
 * one read go out in one write. No limits, no errors, no memory of half a request: not a server.
 *
 *   cc -O2 -o floor floor.c && ./floor PORT */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const char answer[] =
    "HTTP/1.1 200 OK\r\nServer: floor\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    "Content-Type: application/json\r\nContent-Length: 27\r\n\r\n{\"message\":\"Hello, World!\"}";

static void serve(int fd) {
  char in[16384], out[sizeof answer * 64];
  ssize_t n = read(fd, in, sizeof in);
  if (n <= 0) {
    close(fd);
    return;
  }
  size_t len = 0, each = sizeof answer - 1;
  for (char *at = in;
       (at = memmem(at, (size_t)(in + n - at), "\r\n\r\n", 4)) && len + each < sizeof out;
       at += 4) {
    memcpy(out + len, answer, each);
    len += each;
  }
  if (write(fd, out, len) < 0) close(fd);
}

int main(int argc, char **argv) {
  int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0),
      poller = epoll_create1(0);
  struct sockaddr_in name = {.sin_family = AF_INET,
                             .sin_port = htons((unsigned short)atoi(argc > 1 ? argv[1] : "8081")),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&name, sizeof name) || listen(listener, 4096))
    return perror("floor"), 1;
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[256];
  epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    int count = epoll_wait(poller, events, 256, -1);
    for (int i = 0; i < count; i++) {
      if (events[i].data.fd != listener) {
        serve(events[i].data.fd);
        continue;
      }
      int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
      if (fd < 0) continue;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      event = (struct epoll_event){.events = EPOLLIN, .data.fd = fd};
      epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
  }
}
