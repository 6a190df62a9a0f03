/* Spoils system calls of a program under test, by LD_PRELOAD: what a kernel under pressure does now
 * and then, done often.
 *
 *   gcc -O1 -shared -fPIC -o faultio.so faultio.c -ldl
 *   FAULTIO=short=1,eagain=30,eintr=5 LD_PRELOAD=./faultio.so program
 *
 * Options (percent of calls unless said otherwise; anything absent is off):
 *   short=N   a read or write on a socket moves at most N bytes
 *   eagain=P  a read or write on a stream socket that is non-blocking fails with EAGAIN
 *   enobufs=P a write on a stream socket that is non-blocking fails with ENOBUFS
 *   eintr=P   a read, write or accept on a socket fails with EINTR
 *   abort=P   accept fails with ECONNABORTED
 *   emfile=P  accept fails with EMFILE
 *   seed=N    another sequence of faults
 *
 * Only sockets of the families that carry HTTP are touched, and only those that are non-blocking: a
 * blocking descriptor never sees EAGAIN in nature. A fault that leaves bytes in the kernel does not
 * lose an event for a level-triggered poller, which is how the program waits. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static struct { int shorten, eagain, enobufs, eintr, abort, emfile; } option;
static unsigned long seed = 1;

static int number(const char *text, const char *key) {
  size_t len = strlen(key);
  while (text && *text) {
    if (strncmp(text, key, len) == 0 && text[len] == '=') return atoi(text + len + 1);
    text = strchr(text, ',');
    if (text) text++;
  }
  return 0;
}

__attribute__((constructor)) static void start(void) {
  const char *text = getenv("FAULTIO");
  option.shorten = number(text, "short");
  option.eagain = number(text, "eagain");
  option.enobufs = number(text, "enobufs");
  option.eintr = number(text, "eintr");
  option.abort = number(text, "abort");
  option.emfile = number(text, "emfile");
  if (number(text, "seed")) seed = (unsigned long)number(text, "seed");
}

/* splitmix64 over an atomic counter: the same in every thread, no lock. */
static int strikes(int percent) {
  if (percent <= 0) return 0;
  unsigned long x = __atomic_add_fetch(&seed, 0x9E3779B97F4A7C15ul, __ATOMIC_RELAXED);
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ul;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBul;
  return (int)((x ^ (x >> 31)) % 100) < percent;
}

static int is_target(int fd) {
  int saved = errno, type = 0, yes = 0;
  socklen_t len = sizeof type;
  struct sockaddr_storage name;
  socklen_t name_len = sizeof name;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM &&
      getsockname(fd, (struct sockaddr *)&name, &name_len) == 0)
    yes = (name.ss_family == AF_INET || name.ss_family == AF_INET6) &&
          (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
  errno = saved;
  return yes;
}

/* 0: go on, else the errno to fail with. */
static int fault(int fd) {
  if (!option.eagain && !option.eintr) return 0;
  if (!is_target(fd)) return 0;
  if (strikes(option.eagain)) return EAGAIN;
  if (strikes(option.eintr)) return EINTR;
  return 0;
}

static size_t cut(int fd, size_t len) {
  size_t most = (size_t)option.shorten;
  return most && len > most && is_target(fd) ? most : len;
}

/* The same for what is sent. */
static int fault_of_write(int fd) {
  if (option.enobufs && is_target(fd) && strikes(option.enobufs)) return ENOBUFS;
  return fault(fd);
}

#define REAL(type, name, ...)       \
  static type (*real)(__VA_ARGS__); \
  if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

#define SPOIL_WITH(fault, fd) \
  do {                        \
    int error = fault(fd);    \
    if (error) {              \
      errno = error;          \
      return -1;              \
    }                         \
  } while (0)
#define SPOIL(fd)       SPOIL_WITH(fault, fd)
#define SPOIL_WRITE(fd) SPOIL_WITH(fault_of_write, fd)

ssize_t read(int fd, void *buf, size_t len) {
  REAL(ssize_t, read, int, void *, size_t);
  SPOIL(fd);
  return real(fd, buf, cut(fd, len));
}

ssize_t write(int fd, const void *buf, size_t len) {
  REAL(ssize_t, write, int, const void *, size_t);
  SPOIL_WRITE(fd);
  return real(fd, buf, cut(fd, len));
}

ssize_t recv(int fd, void *buf, size_t len, int flags) {
  REAL(ssize_t, recv, int, void *, size_t, int);
  SPOIL(fd);
  return real(fd, buf, cut(fd, len), flags);
}

ssize_t send(int fd, const void *buf, size_t len, int flags) {
  REAL(ssize_t, send, int, const void *, size_t, int);
  SPOIL_WRITE(fd);
  return real(fd, buf, cut(fd, len), flags);
}

/* The first piece that is not empty, cut: what a short scattered call comes to. */
static struct iovec first_piece(int fd, const struct iovec *pieces, size_t count) {
  struct iovec one = {NULL, 0};
  for (size_t i = 0; i < count && one.iov_len == 0; i++) one = pieces[i];
  one.iov_len = cut(fd, one.iov_len);
  return one;
}

ssize_t readv(int fd, const struct iovec *pieces, int count) {
  REAL(ssize_t, readv, int, const struct iovec *, int);
  SPOIL(fd);
  if (!option.shorten || !is_target(fd)) return real(fd, pieces, count);
  struct iovec one = first_piece(fd, pieces, (size_t)count);
  return real(fd, &one, 1);
}

ssize_t writev(int fd, const struct iovec *pieces, int count) {
  REAL(ssize_t, writev, int, const struct iovec *, int);
  SPOIL_WRITE(fd);
  if (!option.shorten || !is_target(fd)) return real(fd, pieces, count);
  struct iovec one = first_piece(fd, pieces, (size_t)count);
  return real(fd, &one, 1);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
  REAL(ssize_t, recvmsg, int, struct msghdr *, int);
  SPOIL(fd);
  if (!option.shorten || !is_target(fd) || message->msg_iovlen == 0)
    return real(fd, message, flags);
  struct iovec one = first_piece(fd, message->msg_iov, message->msg_iovlen);
  struct msghdr brief = *message;
  brief.msg_iov = &one;
  brief.msg_iovlen = 1;
  ssize_t got = real(fd, &brief, flags);
  message->msg_namelen = brief.msg_namelen;
  message->msg_controllen = brief.msg_controllen;
  message->msg_flags = brief.msg_flags;
  return got;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  REAL(ssize_t, sendmsg, int, const struct msghdr *, int);
  SPOIL_WRITE(fd);
  if (!option.shorten || !is_target(fd) || message->msg_iovlen == 0)
    return real(fd, message, flags);
  struct iovec one = first_piece(fd, message->msg_iov, message->msg_iovlen);
  struct msghdr brief = *message;
  brief.msg_iov = &one;
  brief.msg_iovlen = 1;
  return real(fd, &brief, flags);
}

static int accept_fault(int fd) {
  if (!is_target(fd)) return 0;
  if (strikes(option.emfile)) return EMFILE;
  if (strikes(option.abort)) return ECONNABORTED;
  if (strikes(option.eintr)) return EINTR;
  return 0;
}

int accept4(int fd, struct sockaddr *name, socklen_t *len, int flags) {
  REAL(int, accept4, int, struct sockaddr *, socklen_t *, int);
  int error = accept_fault(fd);
  if (error) {
    errno = error;
    return -1;
  }
  return real(fd, name, len, flags);
}

int accept(int fd, struct sockaddr *name, socklen_t *len) {
  REAL(int, accept, int, struct sockaddr *, socklen_t *);
  int error = accept_fault(fd);
  if (error) {
    errno = error;
    return -1;
  }
  return real(fd, name, len);
}

/* libuv of some ages calls the kernel by number for what the C library once lacked. */
long syscall(long number_of, ...) {
  REAL(long, syscall, long, ...);
  va_list list;
  __builtin_va_start(list, number_of);
  long a[6];
  for (int i = 0; i < 6; i++) a[i] = __builtin_va_arg(list, long);
  __builtin_va_end(list);
  if (number_of == SYS_accept4) {
    int error = accept_fault((int)a[0]);
    if (error) {
      errno = error;
      return -1;
    }
  }
  return real(number_of, a[0], a[1], a[2], a[3], a[4], a[5]);
}
