/* See open_file.h. */
#include "loop/open_file.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/check.h"
#include "loop/loop.h"
#include "loop/pool.h"

/* How far apart the bytes stand that are looked at: the kernel reads ahead about as much. */
#define STRIDE (256u * 1024)
#define PIECE  (64u * 1024)
#define LARGE  (1024u * 1024)

#define XFS_MAGIC  0x58465342
#define ZFS_MAGIC  0x2fc12fc1
#define F2FS_MAGIC 0xF2F52010

static long kind_of(int fd) {
  struct statfs fs;
  return fstatfs(fd, &fs) ? 0 : (long)fs.f_type;
}

static bool is_memory(long kind) {
  return kind == TMPFS_MAGIC || kind == RAMFS_MAGIC;
}

bool tg_open_file_local(int fd) {
  long kind = kind_of(fd);
  return is_memory(kind) || kind == EXT4_SUPER_MAGIC || kind == XFS_MAGIC ||
         kind == (long)BTRFS_SUPER_MAGIC || kind == F2FS_MAGIC || kind == ZFS_MAGIC ||
         kind == OVERLAYFS_SUPER_MAGIC;
}

struct tg_open_file *tg_open_file_new(int fd, uint64_t size) {
  struct tg_open_file *file = malloc(sizeof *file);
  if (!file) return NULL;
  atomic_init(&file->refs, 1);
  file->fd = fd;
  file->is_large = size > LARGE;
  return file;
}

struct tg_open_file *tg_open_file_hold(struct tg_open_file *file) {
  atomic_fetch_add_explicit(&file->refs, 1, memory_order_relaxed);
  return file;
}

struct closing {
  struct tg_pool_job job;
  int fd;
};

static void run_close(struct tg_pool_job *job) {
  close(TG_CONTAINER(job, struct closing, job)->fd);
}

static void on_closed(struct tg_pool_job *job) {
  free(TG_CONTAINER(job, struct closing, job));
}

void tg_open_file_release(struct tg_loop *loop, struct tg_open_file *file) {
  if (atomic_fetch_sub_explicit(&file->refs, 1, memory_order_acq_rel) != 1) return;
  int fd = file->fd;
  struct stat st;
  bool is_deleted = file->is_large && fstat(fd, &st) == 0 && st.st_nlink == 0;
  free(file);
  struct closing *closing = is_deleted ? malloc(sizeof *closing) : NULL;
  if (closing) {
    closing->fd = fd;
    if (tg_pool_submit(loop, &closing->job, run_close, on_closed) == TG_OK) return;
    free(closing);
  }
  close(fd);
}

static ssize_t read_some(const struct tg_open_file *file, uint64_t at, const struct iovec *piece,
                         bool quick) {
  ssize_t n;
  do n = preadv2(file->fd, piece, 1, (off_t)at, quick ? RWF_NOWAIT : 0);
  while (n < 0 && errno == EINTR);
  return n;
}

/* The check does not see that the kernel writes to `out`.
 * NOLINTNEXTLINE(readability-non-const-parameter) */
ptrdiff_t tg_open_file_read(const struct tg_open_file *file, uint64_t at, char *out, size_t len,
                            bool quick) {
  size_t got = 0;
  while (got < len) {
    struct iovec piece = {.iov_base = out + got, .iov_len = len - got};
    ssize_t n = read_some(file, at + got, &piece, quick);
    if (n < 0 && quick && errno == EOPNOTSUPP && is_memory(kind_of(file->fd))) {
      quick = false;
      continue;
    }
    if (n < 0) return quick && (errno == EAGAIN || errno == EOPNOTSUPP) ? TG_EAGAIN : -errno;
    if (n == 0) break;
    got += (size_t)n;
  }
  return (ptrdiff_t)got;
}

bool tg_open_file_cached(const struct tg_open_file *file, uint64_t at, uint64_t len) {
  char byte;
  for (uint64_t from = 0; from < len; from += STRIDE)
    if (tg_open_file_read(file, at + from, &byte, 1, true) < 0) return false;
  /* What ends between two of them; else whoever goes on asks for the byte behind the last one. */
  return len % STRIDE == 0 || tg_open_file_read(file, at + len - 1, &byte, 1, true) >= 0;
}

/* The bytes are read rather than asked for: a request to read ahead comes back before they are
 * there. */
void tg_open_file_fetch(const struct tg_open_file *file, uint64_t at, uint64_t len) {
  char *piece = malloc(PIECE);
  while (piece && len) {
    ptrdiff_t n = tg_open_file_read(file, at, piece, len < PIECE ? (size_t)len : PIECE, false);
    if (n <= 0) break;
    at += (uint64_t)n;
    len -= (uint64_t)n;
  }
  free(piece);
}
