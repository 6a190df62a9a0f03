/* See beneath.h. */
#include "base/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How often a path is tried that others are renaming parts of. */
#define TRIES 16

/* One part at a time; NAME_MAX is what a part can be. */
static int walk(int dir, const char *path, int flags) {
  char part[256];
  int at = dir;
  for (;;) {
    size_t len = strcspn(path, "/");
    const char *rest = path + len + strspn(path + len, "/");
    int fd;
    if (len >= sizeof part) {
      fd = -ENAMETOOLONG;
    } else {
      memcpy(part, path, len);
      part[len] = 0;
      if (len == 0 || strcmp(part, "..") == 0)
        fd = -EXDEV;
      else
        fd = openat(at, part,
                    *rest ? O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC : flags | O_NOFOLLOW);
      if (fd == -1) fd = -errno;
    }
    if (at != dir) close(at);
    if (fd < 0 || !*rest) return fd;
    at = fd;
    path = rest;
  }
}

int tg_beneath_open(int dir, const char *path, int flags, bool quick) {
  /* With O_PATH the call refuses flags that mean nothing. */
  flags |= flags & O_PATH ? O_CLOEXEC : O_CLOEXEC | O_NOCTTY;
  struct open_how how = {.flags = (unsigned)flags,
                         .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
  if (quick) how.resolve |= RESOLVE_CACHED | RESOLVE_NO_XDEV;
  for (int i = 0; i < TRIES; i++) {
    int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
    if (fd >= 0) return fd;
    if (quick) {
      /* Old kernels do not know RESOLVE_CACHED; another file system is not this thread's. */
      bool unsure = errno == EINVAL || errno == ENOSYS || errno == EPERM || errno == EXDEV;
      return unsure ? -EAGAIN : -errno;
    }
    if (errno == ENOSYS || errno == EPERM) return walk(dir, path, flags);
    if (errno != EAGAIN && errno != EINTR) return -errno;
  }
  return -EAGAIN;
}
