/* Finding the file that a path means: the steps of one search, on whatever thread.
 *
 * A search is made twice at most: quickly, on the loop's thread, where the kernel has all of the
 * path in its memory; else as a whole on the pool. It opens nothing but regular files, and never
 * waits at a FIFO or a device. */
#ifndef TG_AWAIT_FILE_SEARCH_H
#define TG_AWAIT_FILE_SEARCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "base/status.h"
#include "http/request.h"

/* Twins of a file that is there compressed, too, in the order in which they are preferred. */
enum tg_file_coding { TG_CODING_BR, TG_CODING_ZSTD, TG_CODING_GZIP, TG_CODING_NONE };

/* The folder that files are below. Shared by its root and the jobs on the pool. */
struct tg_file_folder {
  atomic_uint refs;
  int fd;
  bool is_local;
};

struct tg_file_search {
  /* what is looked for */
  const struct tg_file_folder *folder;         /* NULL: `path` is absolute, and may be anywhere */
  const char *path;                            /* decoded; empty or with '/' at its end: a folder */
  const char *index;                           /* name of a folder's own page; NULL: none */
  enum tg_file_coding codings[TG_CODING_NONE]; /* that the client takes, the best first */
  unsigned coding_count;
  /* what was found */
  int fd; /* -1: none */
  enum tg_file_coding coding;
  struct stat st;
};

/* Name of a coding in Content-Encoding. */
const char *tg_file_coding_name(enum tg_file_coding coding);

/* Fills `codings` from Accept-Encoding. */
void tg_file_search_codings(struct tg_file_search *search, const struct tg_request *request);

/* TG_OK: `fd` is open, the caller's. -EISDIR: a folder, where a file was asked for. TG_EAGAIN: not
 * quickly. TG_ENOT_FOUND; -EACCES; another negative errno. */
TG_MUST_CHECK tg_status tg_file_search_run(struct tg_file_search *search, bool quick);

/* A folder at an absolute path; NULL with *status. */
struct tg_file_folder *tg_file_folder_open(const char *path, bool quick, tg_status *status);
struct tg_file_folder *tg_file_folder_hold(struct tg_file_folder *folder);
void tg_file_folder_release(struct tg_file_folder *folder);

#endif
