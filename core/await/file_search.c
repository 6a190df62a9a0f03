/* See file_search.h. */
#include "await/file_search.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/beneath.h"
#include "http/accept.h"
#include "http/file_path.h"
#include "loop/open_file.h"

static const struct {
  const char *name, *ending;
} codings[] = {[TG_CODING_BR] = {"br", ".br"},
               [TG_CODING_ZSTD] = {"zstd", ".zst"},
               [TG_CODING_GZIP] = {"gzip", ".gz"}};

const char *tg_file_coding_name(enum tg_file_coding coding) {
  return codings[coding].name;
}

void tg_file_search_codings(struct tg_file_search *search, const struct tg_request *request) {
  int weights[TG_CODING_NONE];
  search->coding_count = 0;
  for (int i = 0; i < TG_CODING_NONE; i++) {
    int weight =
        tg_accept_weight(request, TG_SLICE("Accept-Encoding"), tg_slice_cstr(codings[i].name));
    if (weight == 0) continue;
    unsigned at = search->coding_count++;
    for (; at && weights[at - 1] < weight; at--) {
      weights[at] = weights[at - 1];
      search->codings[at] = search->codings[at - 1];
    }
    weights[at] = weight;
    search->codings[at] = (enum tg_file_coding)i;
  }
}

/* ---- folders ---- */

static int open_folder(const char *path, bool quick) {
  struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_CACHED};
  int fd = quick ? (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how)
                 : open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) return fd;
  return quick && errno != ENOENT && errno != ENOTDIR ? TG_EAGAIN : -errno;
}

struct tg_file_folder *tg_file_folder_open(const char *path, bool quick, tg_status *status) {
  int fd = open_folder(path, quick);
  struct tg_file_folder *folder = fd < 0 ? NULL : malloc(sizeof *folder);
  *status = fd < 0 ? fd : folder ? TG_OK : TG_ENOMEM;
  if (!folder) {
    if (fd >= 0) close(fd);
    return NULL;
  }
  atomic_init(&folder->refs, 1);
  folder->fd = fd;
  folder->is_local = tg_open_file_local(fd);
  return folder;
}

struct tg_file_folder *tg_file_folder_hold(struct tg_file_folder *folder) {
  atomic_fetch_add(&folder->refs, 1);
  return folder;
}

void tg_file_folder_release(struct tg_file_folder *folder) {
  if (atomic_fetch_sub(&folder->refs, 1) != 1) return;
  close(folder->fd);
  free(folder);
}

/* ---- files ---- */

/* What cannot be there, or must not be known to be there, is not found. */
static tg_status status_of(int error) {
  switch (error) {
    case -EAGAIN: return TG_EAGAIN;
    case -ENOENT:
    case -ENOTDIR:
    case -EXDEV:
    case -ELOOP:
    case -ENAMETOOLONG:
    case -ENXIO:
    case -EINVAL: return TG_ENOT_FOUND;
    default: return error;
  }
}

static tg_status open_regular(const struct tg_file_search *search, const char *path, bool quick,
                              int *fd, struct stat *st) {
  /* O_NONBLOCK: a FIFO must not keep anybody until somebody writes to it. */
  int flags = O_RDONLY | O_NONBLOCK;
  *fd = search->folder ? tg_beneath_open(search->folder->fd, path, flags, quick)
                       : open(path, flags | O_CLOEXEC | O_NOCTTY);
  if (*fd < 0) return status_of(search->folder ? *fd : -errno);
  tg_status status = fstat(*fd, st)         ? -errno
                     : S_ISREG(st->st_mode) ? TG_OK
                     : S_ISDIR(st->st_mode) ? -EISDIR
                                            : TG_ENOT_FOUND;
  if (status) {
    close(*fd);
    *fd = -1;
  }
  return status;
}

/* The best twin takes the place of the file, unless it is older: then it is of an earlier one. */
static tg_status take_twin(struct tg_file_search *search, const char *path, bool quick) {
  char name[TG_FILE_PATH_MAX + 8];
  for (unsigned i = 0; i < search->coding_count; i++) {
    enum tg_file_coding coding = search->codings[i];
    struct stat st = {0};
    int fd;
    int len = snprintf(name, sizeof name, "%s%s", path, codings[coding].ending);
    if (len < 0 || (size_t)len >= sizeof name) continue;
    tg_status status = open_regular(search, name, quick, &fd, &st);
    if (status == TG_EAGAIN) return status;
    if (status) continue;
    if (st.st_mtim.tv_sec < search->st.st_mtim.tv_sec) {
      close(fd);
      continue;
    }
    close(search->fd);
    search->fd = fd;
    search->st = st;
    search->coding = coding;
    break;
  }
  return TG_OK;
}

tg_status tg_file_search_run(struct tg_file_search *search, bool quick) {
  char name[TG_FILE_PATH_MAX + 256];
  const char *path = search->path;
  size_t len = strlen(path);
  search->fd = -1;
  search->coding = TG_CODING_NONE;
  if (quick && (!search->folder || !search->folder->is_local)) return TG_EAGAIN;
  if (len == 0 || path[len - 1] == '/') {
    if (!search->index) return TG_ENOT_FOUND;
    int n = snprintf(name, sizeof name, "%s%s", path, search->index);
    if (n < 0 || (size_t)n >= sizeof name) return TG_ENOT_FOUND;
    path = name;
  }
  tg_status status = open_regular(search, path, quick, &search->fd, &search->st);
  if (status == TG_OK) status = take_twin(search, path, quick);
  /* An index that is a folder is no page. */
  if (status == -EISDIR && path == name) status = TG_ENOT_FOUND;
  if (status && search->fd >= 0) {
    close(search->fd);
    search->fd = -1;
  }
  return status;
}
