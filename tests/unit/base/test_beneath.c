/* Opening below a folder: what is found there, and what leads out of it. */
#include "base/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char top[64];
static int folder = -1;

static void write_file(const char *name) {
  int fd = openat(folder, name, O_WRONLY | O_CREAT, 0600);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, name, strlen(name)), strlen(name));
  close(fd);
}

static int setup(void **state) {
  (void)state;
  snprintf(top, sizeof top, "/tmp/tidegate-beneath-XXXXXX");
  if (!mkdtemp(top)) return -1;
  int above = open(top, O_PATH | O_DIRECTORY);
  if (mkdirat(above, "in", 0700) || mkdirat(above, "in/sub", 0700)) return -1;
  folder = openat(above, "in", O_PATH | O_DIRECTORY);
  write_file("a");
  write_file("sub/b");
  write_file("../secret");
  int links = symlinkat("sub/b", folder, "inner") | symlinkat("../secret", folder, "outer") |
              symlinkat("/etc/passwd", folder, "absolute") | symlinkat("..", folder, "sub/up") |
              symlinkat("../..", folder, "sub/upup") | symlinkat("loop", folder, "loop");
  close(above);
  return links;
}

static int teardown(void **state) {
  (void)state;
  char command[128];
  close(folder);
  snprintf(command, sizeof command, "rm -rf %s", top);
  return system(command);
}

static int try_open(const char *path, bool quick) {
  int fd = tg_beneath_open(folder, path, O_RDONLY, quick);
  if (fd >= 0) close(fd);
  return fd >= 0 ? 0 : fd;
}

static void test_open(void **state) {
  (void)state;
  static const struct {
    const char *path;
    int wanted;
  } rows[] = {
      {"a", 0},
      {"sub/b", 0},
      {"sub/../a", 0},
      {"none", -ENOENT},
      {"a/b", -ENOTDIR},
      {"../secret", -EXDEV},
      {"sub/../../secret", -EXDEV},
      {"/etc/passwd", -EXDEV},
      {"inner", 0},
      {"outer", -EXDEV},
      {"absolute", -EXDEV},
      {"sub/up/a", 0},
      {"sub/upup/secret", -EXDEV},
      {"loop", -ELOOP},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    assert_int_equal(try_open(rows[i].path, false), rows[i].wanted);
    int quick = try_open(rows[i].path, true);
    assert_true(quick == rows[i].wanted || quick == -EAGAIN);
  }
}

/* As a listing looks at what a link leads to. */
static void test_path_only(void **state) {
  (void)state;
  int fd = tg_beneath_open(folder, "inner", O_PATH, false);
  assert_true(fd >= 0);
  close(fd);
  assert_int_equal(tg_beneath_open(folder, "outer", O_PATH, false), -EXDEV);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_open), cmocka_unit_test(test_path_only)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
