/* The one place where the process ends itself on a bug: see check.h. */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tg_check_failed(const char *cond, const char *file, int line, const char *func) {
  fprintf(stderr, "tidegate: bug: check failed: %s\n --> %s:%d in %s\n", cond, file, line, func);
  abort();
}

static void *must(void *ptr) {
  if (!ptr) {
    fputs("tidegate: out of memory at start\n", stderr);
    exit(1);
  }
  return ptr;
}

void *tg_check_malloc(size_t size) {
  return must(malloc(size ? size : 1));
}

void *tg_check_calloc(size_t count, size_t size) {
  return must(calloc(count ? count : 1, size));
}

char *tg_check_strdup(const char *text) {
  return must(strdup(text));
}
