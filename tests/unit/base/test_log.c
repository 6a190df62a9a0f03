/* The log: order and completeness over threads, drops, refusing descriptors, rotation; and records.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/log_record.h"

#define LONG (20 * TG_SECOND)

struct fixture {
  char folder[64];
  char path[96];
  char other[96];
};

static int setup(void **state) {
  struct fixture *f = calloc(1, sizeof *f);
  strcpy(f->folder, "/tmp/tidegate-log-XXXXXX");
  if (!mkdtemp(f->folder)) return -1;
  snprintf(f->path, sizeof f->path, "%s/a.log", f->folder);
  snprintf(f->other, sizeof f->other, "%s/b.log", f->folder);
  *state = f;
  return 0;
}

static int teardown(void **state) {
  struct fixture *f = *state;
  unlink(f->path);
  unlink(f->other);
  rmdir(f->folder);
  free(f);
  return 0;
}

/* The file as text; the caller frees it. */
static char *read_file(const char *path) {
  int fd = open(path, O_RDONLY);
  assert_true(fd >= 0);
  struct stat st;
  assert_int_equal(fstat(fd, &st), 0);
  char *text = calloc(1, (size_t)st.st_size + 1);
  assert_int_equal(read(fd, text, (size_t)st.st_size), st.st_size);
  close(fd);
  return text;
}

static void assert_file(const char *path, const char *expected) {
  char *text = read_file(path);
  assert_string_equal(text, expected);
  free(text);
}

static struct tg_log *open_log(const char *path, size_t ring) {
  struct tg_log *log = tg_log_new(-1, ring);
  assert_non_null(log);
  assert_int_equal(tg_log_reopen(log, path), TG_OK);
  return log;
}

static void lines_arrive_in_order(void **state) {
  struct fixture *f = *state;
  struct tg_log *log = open_log(f->path, 0);
  tg_log_write(log, TG_SLICE("one\n"));
  tg_log_write(log, TG_SLICE(""));
  tg_log_write(log, TG_SLICE("two\n"));
  assert_int_equal(tg_log_flush(log, LONG), TG_OK);
  assert_file(f->path, "one\ntwo\n");
  tg_log_write(log, TG_SLICE("three\n"));
  tg_log_free(log, LONG); /* writes out what is left */
  assert_file(f->path, "one\ntwo\nthree\n");
}

#define THREADS 4
#define LINES   20000

struct writer {
  pthread_t thread;
  struct tg_log *log;
  int number;
};

static void *write_many(void *arg) {
  struct writer *writer = arg;
  for (int i = 0; i < LINES; i++) {
    char line[64];
    int len = snprintf(line, sizeof line, "%d %d\n", writer->number, i);
    tg_log_write(writer->log, tg_slice(line, (size_t)len));
  }
  return NULL;
}

/* A small ring, so that it wraps often, and every line is either in the file, whole and in its
 * thread's order, or counted as dropped. */
static void threads_lose_nothing_uncounted(void **state) {
  struct fixture *f = *state;
  struct tg_log *log = open_log(f->path, 4096);
  struct writer writers[THREADS];
  for (int i = 0; i < THREADS; i++) {
    writers[i] = (struct writer){.log = log, .number = i};
    assert_int_equal(pthread_create(&writers[i].thread, NULL, write_many, &writers[i]), 0);
  }
  for (int i = 0; i < THREADS; i++) pthread_join(writers[i].thread, NULL);
  assert_int_equal(tg_log_flush(log, LONG), TG_OK);
  uint64_t dropped = tg_log_dropped(log);
  assert_int_equal(tg_log_lost(log), 0);
  tg_log_free(log, LONG);
  char *text = read_file(f->path), *save = NULL;
  int last[THREADS] = {-1, -1, -1, -1};
  uint64_t seen = 0;
  for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
    int number, count;
    char rest;
    assert_int_equal(sscanf(line, "%d %d%c", &number, &count, &rest), 2);
    assert_in_range(number, 0, THREADS - 1);
    assert_true(count > last[number]);
    last[number] = count;
    seen++;
  }
  assert_int_equal(seen + dropped, THREADS * LINES);
  free(text);
}

static void a_full_ring_drops_and_counts(void **state) {
  struct fixture *f = *state;
  struct tg_log *log = tg_log_new(-1, 4096); /* nowhere to write yet: the ring fills */
  char line[1000];
  memset(line, 'x', sizeof line);
  line[sizeof line - 1] = '\n';
  for (int i = 0; i < 10; i++) tg_log_write(log, tg_slice(line, sizeof line));
  assert_int_equal(tg_log_dropped(log), 6);
  assert_int_equal(tg_log_flush(log, TG_MILLISECOND), TG_ETIMEOUT);
  assert_int_equal(tg_log_reopen(log, f->path), TG_OK);
  assert_int_equal(tg_log_flush(log, LONG), TG_OK);
  tg_log_write(log, TG_SLICE("after\n"));
  tg_log_free(log, LONG);
  char *text = read_file(f->path);
  assert_int_equal(strlen(text), 4006);
  assert_string_equal(text + 4000, "after\n");
  free(text);
}

static void a_log_without_a_place_ends_and_counts(void **state) {
  (void)state;
  struct tg_log *log = tg_log_new(-1, 0);
  tg_log_write(log, TG_SLICE("nobody reads this\n"));
  tg_log_free(log, LONG);
  tg_log_free(NULL, 0);
}

static void reopening_moves_to_the_new_file(void **state) {
  struct fixture *f = *state;
  struct tg_log *log = open_log(f->path, 0);
  tg_log_write(log, TG_SLICE("before\n"));
  assert_int_equal(tg_log_flush(log, LONG), TG_OK);
  assert_int_equal(rename(f->path, f->other), 0);
  assert_int_equal(tg_log_reopen(log, f->path), TG_OK);
  tg_log_write(log, TG_SLICE("after\n"));
  assert_int_equal(tg_log_reopen(log, "/nonexistent/folder/x.log"), -ENOENT);
  tg_log_write(log, TG_SLICE("still\n"));
  tg_log_free(log, LONG);
  assert_file(f->other, "before\n");
  assert_file(f->path, "after\nstill\n");
}

static void a_closed_pipe_loses_and_counts(void **state) {
  struct fixture *f = *state;
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  close(ends[0]);
  struct tg_log *log = tg_log_new(ends[1], 0);
  tg_log_write(log, TG_SLICE("a\nb\n"));
  assert_int_equal(tg_log_flush(log, LONG), TG_OK);
  assert_int_equal(tg_log_lost(log), 2);
  assert_int_equal(tg_log_reopen(log, f->path), TG_OK);
  tg_log_write(log, TG_SLICE("c\n"));
  tg_log_free(log, LONG);
  assert_file(f->path, "c\n");
  close(ends[1]);
}

static void a_full_disk_loses_and_counts(void **state) {
  (void)state;
  int fd = open("/dev/full", O_WRONLY);
  if (fd < 0) skip();
  struct tg_log *log = tg_log_new(fd, 0);
  for (int i = 0; i < 5; i++) tg_log_write(log, TG_SLICE("line\n"));
  assert_int_equal(tg_log_flush(log, LONG), TG_OK);
  assert_int_equal(tg_log_lost(log), 5);
  tg_log_free(log, LONG);
  close(fd);
}

/* A pipe that is full takes the first part of a long line only; when its reader goes on, the rest
 * comes. */
static void a_slow_reader_gets_everything(void **state) {
  (void)state;
  int ends[2];
  assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
  struct tg_log *log = tg_log_new(ends[1], 1 << 20);
  size_t len = 500000;
  char *line = malloc(len);
  memset(line, 'y', len);
  line[len - 1] = '\n';
  tg_log_write(log, tg_slice(line, len));
  assert_int_equal(tg_log_flush(log, 30 * TG_MILLISECOND), TG_ETIMEOUT);
  assert_int_equal(fcntl(ends[0], F_SETFL, 0), 0);
  char chunk[4096];
  size_t got = 0;
  while (got < len) {
    ssize_t n = read(ends[0], chunk, sizeof chunk);
    assert_true(n > 0);
    got += (size_t)n;
  }
  assert_int_equal(chunk[(got - 1) % sizeof chunk], '\n');
  assert_int_equal(tg_log_lost(log), 0);
  tg_log_free(log, LONG);
  free(line);
  close(ends[0]);
  close(ends[1]);
}

static void freeing_gives_up_at_its_deadline(void **state) {
  (void)state;
  int ends[2];
  assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
  struct tg_log *log = tg_log_new(ends[1], 1 << 20);
  size_t len = 500000;
  char *line = malloc(len);
  memset(line, 'z', len);
  tg_log_write(log, tg_slice(line, len)); /* nobody reads */
  uint64_t begin = tg_clock_now();
  tg_log_free(log, 50 * TG_MILLISECOND);
  assert_true(tg_clock_now() - begin < 10 * TG_SECOND);
  free(line);
  close(ends[0]);
  close(ends[1]);
}

/* The thread is inside a write that does not return; it ends, and frees, when the reader is gone.
 */
static void freeing_leaves_a_blocked_writer_behind(void **state) {
  (void)state;
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  struct tg_log *log = tg_log_new(ends[1], 1 << 20);
  size_t len = 500000;
  char *line = calloc(1, len);
  tg_log_write(log, tg_slice(line, len));
  uint64_t begin = tg_clock_now();
  tg_log_free(log, 20 * TG_MILLISECOND);
  assert_true(tg_clock_now() - begin < 10 * TG_SECOND);
  free(line);
  close(ends[0]); /* the other end stays open: the thread may be about to use it */
}

static void levels(void **state) {
  (void)state;
  struct tg_log *log = tg_log_new(-1, 0);
  assert_int_equal(tg_log_level(log), TG_LOG_INFO);
  assert_false(tg_log_enabled(log, TG_LOG_DEBUG));
  assert_true(tg_log_enabled(log, TG_LOG_INFO));
  tg_log_set_level(log, TG_LOG_OFF);
  assert_false(tg_log_enabled(log, TG_LOG_ERROR));
  assert_false(tg_log_enabled(log, TG_LOG_OFF));
  tg_log_free(log, LONG);
  for (int i = TG_LOG_DEBUG; i <= TG_LOG_OFF; i++) {
    enum tg_log_level level = TG_LOG_OFF;
    assert_true(tg_log_level_find(tg_log_level_name((enum tg_log_level)i), &level));
    assert_int_equal(level, i);
  }
  enum tg_log_level level;
  assert_false(tg_log_level_find(TG_SLICE("loud"), &level));
}

/* --- records ---------------------------------------------------------------------------------------- */

static void assert_line(struct tg_log_record *record, const char *expected) {
  struct tg_slice line = tg_log_record_line(record);
  if (!tg_slice_eq(line, tg_slice_cstr(expected)))
    fail_msg("made <%.*s> instead of <%s>", (int)line.len, line.ptr, expected);
}

#define WALL 1767323045678000000ull /* 2026-01-02T03:04:05.678Z */

static void json_records(void **state) {
  (void)state;
  struct tg_log_record r;
  tg_log_record_start(&r, TG_LOG_JSON, TG_LOG_WARN, WALL, TG_SLICE("a \"b\"\r\n\xFF"));
  tg_log_record_text(&r, "k\n", TG_SLICE("v\x1B[2J\xC2\x9B"));
  tg_log_record_int(&r, "i", INT64_MIN);
  tg_log_record_number(&r, "n", 0.1);
  tg_log_record_number(&r, "inf", -(double)INFINITY);
  tg_log_record_flag(&r, "f", false);
  tg_log_record_json(&r, "j", TG_SLICE("{\"x\":[1]}"));
  tg_log_record_text(&r, "level", TG_SLICE(""));
  assert_line(&r,
              "{\"time\":\"2026-01-02T03:04:05.678Z\",\"level\":\"warn\","
              "\"msg\":\"a \\\"b\\\"\\r\\n\xEF\xBF\xBD\",\"k\\n\":\"v\\u001b[2J\\u009b\","
              "\"i\":-9223372036854775808,\"n\":0.1,\"inf\":\"-inf\",\"f\":false,"
              "\"j\":{\"x\":[1]},\"level_\":\"\"}\n");
}

static void readable_records(void **state) {
  (void)state;
  struct tg_log_record r;
  setenv("TZ", "UTC", 1);
  tzset();
  tg_log_record_start(&r, TG_LOG_READABLE, TG_LOG_INFO, WALL, TG_SLICE("two\nlines"));
  tg_log_record_text(&r, "path", TG_SLICE("/a"));
  tg_log_record_text(&r, "q", TG_SLICE("a b"));
  tg_log_record_text(&r, "e", TG_SLICE(""));
  tg_log_record_int(&r, "status", 200);
  assert_line(&r, "03:04:05.678 info  two\\nlines path=/a q=\"a b\" e=\"\" status=200\n");
  tg_log_record_start(&r, TG_LOG_COLOUR, TG_LOG_ERROR, WALL, TG_SLICE("\x1B[0mno"));
  tg_log_record_flag(&r, "x", true);
  assert_line(&r,
              "\x1B[2m03:04:05.678\x1B[0m \x1B[31merror\x1B[0m \\u001b[0mno"
              "\x1B[2m x=\x1B[0mtrue\n");
}

static void records_take_the_form_of_their_log(void **state) {
  struct fixture *f = *state;
  struct tg_log *log = open_log(f->path, 0);
  struct tg_log_record r;
  tg_log_record_begin(&r, log, TG_LOG_INFO, TG_SLICE("one"));
  tg_log_record_end(&r, log);
  tg_log_set_form(log, TG_LOG_READABLE);
  tg_log_record_begin(&r, log, TG_LOG_INFO, TG_SLICE("two"));
  tg_log_record_end(&r, log);
  tg_log_free(log, LONG);
  char *text = read_file(f->path);
  assert_memory_equal(text, "{\"time\":\"", 9);
  assert_non_null(strstr(text, "\"msg\":\"one\"}\n"));
  assert_non_null(strstr(text, " info  two\n"));
  free(text);
}

static void long_values_are_cut_and_marked(void **state) {
  (void)state;
  static char big[100000];
  struct tg_log_record r;
  struct tg_slice text = tg_slice(big, sizeof big);
  memset(big, 'a', sizeof big);
  tg_log_record_start(&r, TG_LOG_JSON, TG_LOG_INFO, WALL, TG_SLICE("m"));
  tg_log_record_text(&r, "k", text);
  struct tg_slice line = tg_log_record_line(&r);
  assert_non_null(memmem(line.ptr, line.len, "a..[+95904 bytes]\"}\n", 20));
  /* Whatever comes, the line stays within its room, whole, and ends as it must. */
  for (int c = 0; c < 256; c += 5) {
    for (int form = TG_LOG_JSON; form <= TG_LOG_COLOUR; form++) {
      memset(big, c, sizeof big);
      tg_log_record_start(&r, (enum tg_log_form)form, TG_LOG_INFO, WALL,
                          tg_slice(big, (size_t)c * 40));
      for (size_t i = 0; i < 300; i++) {
        char key[301];
        memset(key, c, i);
        key[i] = 0;
        tg_log_record_text(&r, key, tg_slice(big, i * 7));
        tg_log_record_number(&r, key, 1e300 / 3);
      }
      line = tg_log_record_line(&r);
      assert_true(line.len <= TG_LOG_RECORD_MAX);
      assert_ptr_equal(memchr(line.ptr, '\n', line.len), line.ptr + line.len - 1);
      if (form == TG_LOG_JSON) assert_int_equal(line.ptr[line.len - 2], '}');
    }
  }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(lines_arrive_in_order),
      TEST(threads_lose_nothing_uncounted),
      TEST(a_full_ring_drops_and_counts),
      TEST(a_log_without_a_place_ends_and_counts),
      TEST(reopening_moves_to_the_new_file),
      TEST(a_closed_pipe_loses_and_counts),
      TEST(a_full_disk_loses_and_counts),
      TEST(a_slow_reader_gets_everything),
      TEST(freeing_gives_up_at_its_deadline),
      TEST(freeing_leaves_a_blocked_writer_behind),
      cmocka_unit_test(levels),
      cmocka_unit_test(json_records),
      cmocka_unit_test(readable_records),
      TEST(records_take_the_form_of_their_log),
      cmocka_unit_test(long_values_are_cut_and_marked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
