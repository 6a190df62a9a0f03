/* A temporary folder for one test, and short ways to put files into it. */
#ifndef TG_TEST_TEMP_DIR_H
#define TG_TEST_TEMP_DIR_H

#include <ftw.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct temp_dir {
  char path[64];
};

static inline int temp_dir_setup(void **state) {
  struct temp_dir *dir = calloc(1, sizeof *dir);
  if (!dir) return -1;
  strcpy(dir->path, "/tmp/tidegate-test-XXXXXX");
  *state = dir;
  return mkdtemp(dir->path) ? 0 : -1;
}

static inline int temp_dir_remove_one(const char *path, const struct stat *st, int kind,
                                      struct FTW *where) {
  (void)st, (void)kind, (void)where;
  return remove(path);
}

static inline int temp_dir_teardown(void **state) {
  struct temp_dir *dir = *state;
  int status = nftw(dir->path, temp_dir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
  free(dir);
  return status;
}

/* The path of `name` in the folder; four at most are valid at a time. */
static inline const char *temp_dir_path(const struct temp_dir *dir, const char *name) {
  static char paths[4][4096];
  static unsigned next;
  char *path = paths[next++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", dir->path, name);
  return path;
}

static inline void temp_dir_mkdir(const struct temp_dir *dir, const char *name) {
  if (mkdir(temp_dir_path(dir, name), 0755) != 0) perror(name), abort();
}

static inline void temp_dir_write(const struct temp_dir *dir, const char *name, const char *text) {
  FILE *file = fopen(temp_dir_path(dir, name), "w");
  if (!file || fputs(text, file) < 0 || fclose(file) != 0) perror(name), abort();
}

static inline void temp_dir_link(const struct temp_dir *dir, const char *target, const char *name) {
  if (symlink(target, temp_dir_path(dir, name)) != 0) perror(name), abort();
}

static inline void temp_dir_rename(const struct temp_dir *dir, const char *from, const char *to) {
  if (rename(temp_dir_path(dir, from), temp_dir_path(dir, to)) != 0) perror(from), abort();
}

#endif
