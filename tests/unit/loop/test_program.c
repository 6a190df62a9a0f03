/* Programs as child processes: how they start, what they get, and every way in which they end. */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "loop/loop.h"
#include "loop/program.h"
#include "loop/thread.h"

struct rig {
  struct tg_loop loop;
  struct tg_program *program;
  int started, ended;
};

static void on_started(struct tg_program *program) {
  struct rig *rig = program->owner;
  rig->started++;
}

static void on_ended(struct tg_program *program) {
  struct rig *rig = program->owner;
  rig->ended++;
}

static void rig_open(struct rig *rig) {
  *rig = (struct rig){0};
  assert_int_equal(tg_loop_init(&rig->loop, 0), TG_OK);
}

static struct tg_program *make(struct rig *rig, const char *const *argv) {
  struct tg_program *program = tg_program_new(&rig->loop);
  assert_non_null(program);
  for (; *argv; argv++) assert_int_equal(tg_program_add_arg(program, tg_slice_cstr(*argv)), TG_OK);
  program->owner = rig;
  program->started = on_started;
  program->ended = on_ended;
  rig->program = program;
  return program;
}

#define SHELL(text) ((const char *const[]){"sh", "-c", text, NULL})

static void begin(struct rig *rig) {
  assert_int_equal(tg_program_start(rig->program), TG_OK);
  while (!rig->started) uv_run(&rig->loop.uv, UV_RUN_ONCE);
}

static void wait_for_end(struct rig *rig) {
  while (!rig->ended) uv_run(&rig->loop.uv, UV_RUN_ONCE);
}

static void rig_close(struct rig *rig) {
  if (rig->program) tg_program_release(rig->program);
  tg_loop_deinit(&rig->loop);
  assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left, not even a dead one */
}

static size_t read_all(int fd, char *to, size_t room) {
  size_t len = 0;
  ssize_t n;
  while ((n = read(fd, to + len, room - 1 - len)) > 0) len += (size_t)n;
  to[len] = 0;
  return len;
}

/* Runs a shell's text to its end and gives its output. */
static void output_of(const char *const *argv, char *out, size_t room,
                      void (*prepare)(struct tg_program *program)) {
  struct rig rig;
  rig_open(&rig);
  struct tg_program *program = make(&rig, argv);
  program->io[1] = TG_PROGRAM_PIPE;
  program->io[2] = TG_PROGRAM_STDOUT;
  if (prepare) prepare(program);
  begin(&rig);
  assert_int_equal(program->status, TG_OK);
  read_all(program->fds[1], out, room);
  wait_for_end(&rig);
  rig_close(&rig);
}

static bool is_alive(pid_t pid) {
  char path[64], line[256] = "";
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  FILE *file = fopen(path, "r");
  if (!file) return false;
  bool read_one = fgets(line, sizeof line, file) != NULL;
  fclose(file);
  const char *state = read_one ? strrchr(line, ')') : NULL;
  return state && state[2] != 'Z' && state[2] != 'X';
}

static void exit_codes_and_signals_are_told(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int code, number;
  } cases[] = {{"exit 0", 0, 0}, {"exit 7", 7, 0}, {"kill -9 $$", -1, 9}, {"kill -15 $$", -1, 15}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct rig rig;
    rig_open(&rig);
    make(&rig, SHELL(cases[i].text));
    begin(&rig);
    assert_int_equal(rig.program->status, TG_OK);
    assert_true(rig.program->pid > 0);
    wait_for_end(&rig);
    assert_int_equal(rig.program->exit_code, cases[i].code);
    assert_int_equal(rig.program->exit_signal, cases[i].number);
    assert_int_equal(tg_program_signal(rig.program, SIGTERM), UV_ESRCH);
    rig_close(&rig);
  }
}

static void set_folder(struct tg_program *program) {
  assert_int_equal(tg_program_set_cwd(program, TG_SLICE("/")), TG_OK);
  assert_int_equal(tg_program_add_env(program, TG_SLICE("WORD"), TG_SLICE("a=b c")), TG_OK);
  assert_int_equal(tg_program_add_env(program, TG_SLICE("HOME"), tg_slice(NULL, 0)), TG_OK);
}

static void set_empty(struct tg_program *program) {
  program->clear_env = true;
  assert_int_equal(tg_program_add_env(program, TG_SLICE("ONLY"), TG_SLICE("")), TG_OK);
}

static void folder_and_environment_are_as_asked(void **state) {
  (void)state;
  char out[4096];
  setenv("HOME", "/home", 1);
  setenv("OURS", "yes", 1);
  output_of(SHELL("echo \"$PWD|$WORD|${HOME-none}|$OURS\""), out, sizeof out, set_folder);
  assert_string_equal(out, "/|a=b c|none|yes\n");
  output_of((const char *const[]){"env", NULL}, out, sizeof out, set_empty);
  assert_string_equal(out, "ONLY=\n");
}

/* A loop's thread blocks signals, others ignore some, and libraries forget to set close-on-exec. */
static void *from_a_thread(void *out) {
  int leaked = dup(0), beyond = dup2(0, 200);
  output_of(SHELL("grep -E '^Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd | tr '\\n' ' '; "
                  "ps -o sid= -p $$ | tr -d ' '; echo $$"),
            out, 4096, NULL);
  close(leaked);
  close(beyond);
  return NULL;
}

static void nothing_of_ours_is_inherited(void **state) {
  (void)state;
  char out[4096];
  pthread_t thread;
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  assert_int_equal(tg_thread_start(&thread, "child", from_a_thread, out), TG_OK);
  pthread_join(thread, NULL);
  signal(SIGPIPE, SIG_DFL);
  signal(SIGHUP, SIG_DFL);
  unsigned long long blocked = 1, ignored = 1;
  int sid = 0, pid = 1;
  const char *form = "SigBlk: %llx SigIgn: %llx 0 1 2 3 %d %d"; /* 3 is ls's own */
  assert_int_equal(sscanf(out, form, &blocked, &ignored, &sid, &pid), 4);
  assert_int_equal(blocked, 0);
  /* 32 and 33 are the C library's, which sets them in every program that uses them */
  assert_int_equal(ignored & ~(3ull << 31), 0);
  assert_int_equal(sid, pid);
}

static void what_cannot_start_is_told(void **state) {
  (void)state;
  char plain[] = "/tmp/tidegate-child-XXXXXX";
  int fd = mkstemp(plain);
  assert_true(fd >= 0);
  assert_int_equal(fchmod(fd, 0755), 0);
  assert_int_equal(write(fd, "no program\n", 11), 11);
  close(fd);
  const struct {
    const char *program, *cwd;
    tg_status status;
    enum tg_program_fault fault;
  } cases[] = {{"no-such-program", NULL, UV_ENOENT, TG_PROGRAM_BAD_FILE},
               {"/no/such/program", NULL, UV_ENOENT, TG_PROGRAM_BAD_FILE},
               {"", NULL, UV_ENOENT, TG_PROGRAM_BAD_FILE},
               {"/etc/passwd", NULL, UV_EACCES, TG_PROGRAM_BAD_FILE},
               {"/", NULL, UV_EACCES, TG_PROGRAM_BAD_FILE},
               {plain, NULL, -ENOEXEC, TG_PROGRAM_BAD_FILE},
               {"true", "/no/such/folder", UV_ENOENT, TG_PROGRAM_BAD_CWD},
               {"true", "/etc/passwd", UV_ENOTDIR, TG_PROGRAM_BAD_CWD}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct rig rig;
    rig_open(&rig);
    make(&rig, (const char *const[]){cases[i].program, NULL});
    rig.program->io[0] = rig.program->io[1] = TG_PROGRAM_PIPE;
    if (cases[i].cwd)
      assert_int_equal(tg_program_set_cwd(rig.program, tg_slice_cstr(cases[i].cwd)), TG_OK);
    begin(&rig);
    assert_int_equal(rig.program->status, cases[i].status);
    assert_int_equal(rig.program->fault, cases[i].fault);
    assert_int_equal(rig.program->fds[0], -1);
    tg_program_end(rig.program, 0);
    rig_close(&rig);
  }
  unlink(plain);
}

/* Reads the number of a process that the child's shell has started in its group. */
static pid_t begin_with_grandchild(struct rig *rig, const char *text) {
  char out[64];
  struct tg_program *program = make(rig, SHELL(text));
  program->io[1] = TG_PROGRAM_PIPE;
  begin(rig);
  ssize_t n = read(program->fds[1], out, sizeof out - 1);
  assert_true(n > 0);
  out[n] = 0;
  pid_t pid = (pid_t)strtol(out, NULL, 10);
  assert_true(is_alive(pid));
  return pid;
}

static void wait_until_gone(pid_t pid) {
  for (int i = 0; is_alive(pid); i++) {
    assert_true(i < 5000);
    usleep(1000);
  }
}

static void the_group_ends_with_its_leader(void **state) {
  (void)state;
  struct rig rig;
  rig_open(&rig);
  pid_t grandchild = begin_with_grandchild(&rig, "trap '' TERM; sleep 1000 & echo $!; exit 3");
  wait_for_end(&rig);
  assert_int_equal(rig.program->exit_code, 3);
  wait_until_gone(grandchild);
  rig_close(&rig);
}

static void term_comes_first(void **state) {
  (void)state;
  struct rig rig;
  rig_open(&rig);
  pid_t grandchild =
      begin_with_grandchild(&rig, "trap 'exit 5' TERM; sleep 1000 & echo $!; wait; exit 6");
  uint64_t before = tg_clock_now();
  tg_program_end(rig.program, 60 * TG_SECOND);
  wait_for_end(&rig);
  assert_int_equal(rig.program->exit_code, 5);
  assert_true(tg_clock_now() - before < 30 * TG_SECOND);
  wait_until_gone(grandchild);
  rig_close(&rig);
}

static void kill_comes_after_the_grace(void **state) {
  (void)state;
  struct rig rig;
  rig_open(&rig);
  pid_t grandchild =
      begin_with_grandchild(&rig, "trap '' TERM; sleep 1000 & echo $!; while :; do wait; done");
  uint64_t before = tg_clock_now();
  tg_program_end(rig.program, 100 * TG_MILLISECOND);
  tg_program_end(rig.program, 60 * TG_SECOND); /* the earlier end holds */
  wait_for_end(&rig);
  assert_int_equal(rig.program->exit_signal, SIGKILL);
  assert_true(tg_clock_now() - before >= 100 * TG_MILLISECOND);
  wait_until_gone(grandchild);
  rig_close(&rig);
}

static void a_stopped_process_ends(void **state) {
  (void)state;
  struct rig rig;
  rig_open(&rig);
  make(&rig, SHELL("kill -STOP $$; exit 4"));
  begin(&rig);
  tg_program_end(rig.program, 60 * TG_SECOND);
  wait_for_end(&rig);
  assert_true(rig.program->exit_signal == SIGTERM || rig.program->exit_code == 4);
  rig_close(&rig);
}

static void one_that_is_ended_while_it_starts_does_not_stay(void **state) {
  (void)state;
  struct rig rig;
  rig_open(&rig);
  make(&rig, SHELL("sleep 1000"));
  assert_int_equal(tg_program_start(rig.program), TG_OK);
  tg_program_end(rig.program, 0);
  while (!rig.started) uv_run(&rig.loop.uv, UV_RUN_ONCE);
  if (rig.program->status == TG_OK) {
    wait_for_end(&rig);
    assert_int_equal(rig.program->exit_signal, SIGKILL);
  }
  rig_close(&rig);
}

static void the_loops_end_leaves_none(void **state) {
  (void)state;
  static const char *const texts[] = {"sleep 1000", "trap '' TERM; echo; while :; do sleep 1; done",
                                      "kill -STOP $$; sleep 1000"};
  struct rig rig;
  rig_open(&rig);
  pid_t pids[3];
  for (int i = 0; i < 3; i++) {
    rig.started = 0;
    make(&rig, SHELL(texts[i]));
    begin(&rig);
    pids[i] = rig.program->pid;
    tg_program_release(rig.program);
  }
  make(&rig, SHELL("sleep 1000")); /* has not even started */
  assert_int_equal(tg_program_start(rig.program), TG_OK);
  uint64_t before = tg_clock_now();
  rig_close(&rig);
  assert_true(tg_clock_now() - before < 30 * TG_SECOND);
  for (int i = 0; i < 3; i++) assert_false(is_alive(pids[i]));
}

static size_t descriptors(void) {
  size_t count = 0;
  DIR *dir = opendir("/proc/self/fd");
  while (readdir(dir)) count++;
  closedir(dir);
  return count;
}

static void many_leave_nothing(void **state) {
  (void)state;
  struct rig rig;
  rig_open(&rig);
  size_t before = 0;
  for (int i = 0; i < 100; i++) {
    if (i == 1) before = descriptors();
    rig.started = rig.ended = 0;
    make(&rig, (const char *const[]){"true", NULL});
    for (int k = 0; k < 3; k++) rig.program->io[k] = TG_PROGRAM_PIPE;
    begin(&rig);
    assert_int_equal(rig.program->status, TG_OK);
    wait_for_end(&rig);
    tg_program_release(rig.program);
    rig.program = NULL;
    uv_run(&rig.loop.uv, UV_RUN_NOWAIT);
  }
  assert_int_equal(descriptors(), before);
  rig_close(&rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(exit_codes_and_signals_are_told),
      cmocka_unit_test(folder_and_environment_are_as_asked),
      cmocka_unit_test(nothing_of_ours_is_inherited),
      cmocka_unit_test(what_cannot_start_is_told),
      cmocka_unit_test(the_group_ends_with_its_leader),
      cmocka_unit_test(term_comes_first),
      cmocka_unit_test(kill_comes_after_the_grace),
      cmocka_unit_test(a_stopped_process_ends),
      cmocka_unit_test(one_that_is_ended_while_it_starts_does_not_stay),
      cmocka_unit_test(the_loops_end_leaves_none),
      cmocka_unit_test(many_leave_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
