/* Locking, writing and reading the pid file. The lock is one of an open file description: unlike
 * others it can be asked for without being taken, so that who looks never is in the way. */
#include "app/pid_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whoever held it may have removed the name between our open and our lock. */
static bool still_named(int fd, const char *path) {
  struct stat ours, named;
  return fstat(fd, &ours) == 0 && stat(path, &named) == 0 && ours.st_ino == named.st_ino &&
         ours.st_dev == named.st_dev;
}

static tg_status lock(const char *path, int *fd) {
  for (;;) {
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (*fd < 0) return -errno;
    struct stat st;
    tg_status status = TG_OK;
    if (fstat(*fd, &st) != 0 || !S_ISREG(st.st_mode))
      status = -EINVAL;
    else if (fcntl(*fd, F_OFD_SETLK, &(struct flock){.l_type = F_WRLCK}) != 0)
      status = errno == EAGAIN || errno == EACCES ? TG_EEXISTS : -errno;
    if (!status && still_named(*fd, path)) return TG_OK;
    close(*fd);
    if (status) return status;
  }
}

tg_status tg_pid_file_take(const char *path, const char *socket_path, pid_t pid, int *fd) {
  char text[4200];
  tg_status status = lock(path, fd);
  if (status) return status;
  int len = snprintf(text, sizeof text, "%ld\n%s\n", (long)pid, socket_path);
  if (len >= (int)sizeof text)
    status = -ENAMETOOLONG;
  else if (ftruncate(*fd, 0) != 0 || pwrite(*fd, text, (size_t)len, 0) != len)
    status = errno ? -errno : TG_EIO;
  if (status) tg_pid_file_give(path, *fd);
  return status;
}

void tg_pid_file_give(const char *path, int fd) {
  if (still_named(fd, path)) unlink(path);
  close(fd);
}

pid_t tg_pid_file_read(const char *path, char socket_path[4096]) {
  socket_path[0] = 0;
  char text[4200];
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return 0;
  struct flock held = {.l_type = F_RDLCK};
  bool is_held = fcntl(fd, F_OFD_GETLK, &held) == 0 && held.l_type != F_UNLCK;
  ssize_t len = is_held ? read(fd, text, sizeof text - 1) : -1;
  close(fd);
  if (len <= 0) return 0;
  text[len] = 0;
  char *end;
  long pid = strtol(text, &end, 10);
  if (pid <= 0 || *end != '\n') return 0;
  char *line = end + 1;
  line[strcspn(line, "\n")] = 0;
  snprintf(socket_path, 4096, "%s", line);
  return (pid_t)pid;
}
