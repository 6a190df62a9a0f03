/* Replacing a file in one step; see fs_draft.h. */
#include "await/fs_draft.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE ((size_t)1024 * 1024) /* between two looks at whether anybody waits */

tg_status tg_fs_random_name(char out[17]) {
  unsigned char bytes[8];
  if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) return TG_EIO;
  for (size_t i = 0; i < sizeof bytes; i++) snprintf(out + 2 * i, 3, "%02x", bytes[i]);
  return TG_OK;
}

tg_status tg_fs_write_all(struct tg_fs_job *job, int fd, const char *bytes, size_t len) {
  while (len) {
    if (tg_fs_job_dropped(job)) return TG_ECANCELLED;
    ssize_t n = write(fd, bytes, len < PIECE ? len : PIECE);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -errno;
    bytes += n;
    len -= (size_t)n;
  }
  return TG_OK;
}

/* The way on from a link, as far as it goes; then `st` is about the file at its end, and st_nlink
 * is 0 where there is none. */
static tg_status follow(struct tg_fs_draft *draft, const char *path, struct stat *st) {
  *st = (struct stat){0};
  bool is_there = lstat(path, st) == 0;
  if (!is_there && errno != ENOENT) return -errno;
  bool is_link = is_there && S_ISLNK(st->st_mode);
  draft->path = is_link ? realpath(path, NULL) : strdup(path);
  if (!draft->path) return -errno;
  if (is_link && stat(draft->path, st)) return -errno;
  if (!is_there || S_ISREG(st->st_mode)) return TG_OK;
  return S_ISDIR(st->st_mode) ? -EISDIR : TG_FS_NOT_REGULAR;
}

static tg_status set_rights(int fd, const struct stat *old, int mode) {
  bool replaces = old->st_nlink > 0;
  /* Only root may give files away; for others the new file is theirs. */
  if (replaces && (old->st_uid != geteuid() || old->st_gid != getegid()))
    (void)!fchown(fd, old->st_uid, old->st_gid);
  if (mode < 0 && !replaces) return TG_OK;
  mode_t wanted = mode < 0 ? old->st_mode & 07777 : (mode_t)mode & 07777;
  return fchmod(fd, wanted) ? -errno : TG_OK;
}

tg_status tg_fs_draft_open(struct tg_fs_draft *draft, const char *path, int mode) {
  struct stat old;
  char digits[17];
  draft->fd = -1;
  tg_status status = follow(draft, path, &old);
  if (!status) status = tg_fs_random_name(digits);
  if (status) return status;
  const char *slash = strrchr(draft->path, '/');
  size_t len = slash ? (size_t)(slash - draft->path) : 0;
  draft->folder = strndup(len ? draft->path : "/", len ? len : 1);
  char name[PATH_MAX];
  int n = snprintf(name, sizeof name, "%.*s/.tidegate-%s.tmp", (int)len, draft->path, digits);
  if (n >= (int)sizeof name) return -ENAMETOOLONG;
  draft->name = strdup(name);
  if (!draft->folder || !draft->name) return TG_ENOMEM;
  draft->fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
  return draft->fd < 0 ? -errno : set_rights(draft->fd, &old, mode);
}

static tg_status sync_path(const char *folder) {
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -errno;
  tg_status status = fsync(fd) ? -errno : TG_OK;
  close(fd);
  return status;
}

tg_status tg_fs_draft_commit(struct tg_fs_draft *draft, struct tg_fs_job *job, bool sync_folder) {
  int rc = close(draft->fd);
  draft->fd = -1;
  if (rc) {
    tg_status status = -errno;
    (void)unlink(draft->name);
    return status;
  }
  if (!tg_fs_job_commit(job) || rename(draft->name, draft->path)) {
    tg_status status = tg_fs_job_dropped(job) ? TG_ECANCELLED : -errno;
    (void)unlink(draft->name);
    return status;
  }
  return sync_folder ? sync_path(draft->folder) : TG_OK;
}

void tg_fs_draft_deinit(struct tg_fs_draft *draft) {
  if (draft->fd >= 0 && draft->name) {
    (void)unlink(draft->name);
    close(draft->fd);
  }
  free(draft->path);
  free(draft->folder);
  free(draft->name);
  *draft = (struct tg_fs_draft){.fd = -1};
}
