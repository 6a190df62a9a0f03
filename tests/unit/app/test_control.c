/* The control socket, client and server in one program: the server's loop in the test's thread, the
 * client's blocking questions in another. What the process does with a command is written here. */
#include "app/control.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "app/process.h"
#include "app/status_report.h"
#include "base/check.h"
#include "temp_dir.h"

struct fixture {
  struct temp_dir *dir;
  struct tg_options options;
  struct tg_process process;
  struct tg_generation generation;
  struct tg_control_server *server;
  uv_async_t asked;
  /* the client */
  const char *request;
  size_t request_len;
  tg_status status;
  struct tg_buffer answer;
  /* what the process was asked */
  unsigned stops;
  bool keep_waiting;
  tg_reload_cb reload_done;
  void *reload_owner;
  const struct tg_load_errors *errors;
};

static struct fixture *fixture_of(struct tg_process *process) {
  return TG_CONTAINER(process, struct fixture, process);
}

void tg_process_reload(struct tg_process *process, tg_reload_cb done, void *owner) {
  struct fixture *fixture = fixture_of(process);
  fixture->reload_done = done;
  fixture->reload_owner = owner;
  if (fixture->keep_waiting)
    tg_loop_stop(&process->control);
  else
    done(owner, 7, fixture->errors);
}

void tg_process_stop(struct tg_process *process) {
  fixture_of(process)->stops++;
}

tg_status tg_process_status(struct tg_process *process, struct tg_buffer *out) {
  (void)process;
  return tg_buffer_format(out, "{\"generation\":7}\n");
}

static void on_asked(uv_async_t *async) {
  struct fixture *fixture = async->data;
  tg_loop_stop(&fixture->process.control);
}

static int setup(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  if (!fixture || temp_dir_setup((void **)&fixture->dir) != 0) return -1;
  signal(SIGPIPE, SIG_IGN);
  fixture->options.dir = fixture->dir->path;
  fixture->process.options = &fixture->options;
  fixture->process.main_pid = getpid();
  fixture->generation.route_count = 5;
  fixture->generation.own_count = 3;
  fixture->process.current = &fixture->generation;
  *state = fixture;
  if (tg_loop_init(&fixture->process.control, 0) != TG_OK) return -1;
  fixture->asked.data = fixture;
  return uv_async_init(&fixture->process.control.uv, &fixture->asked, on_asked);
}

static int teardown(void **state) {
  struct fixture *fixture = *state;
  if (fixture->server) tg_control_close(fixture->server);
  uv_close((uv_handle_t *)&fixture->asked, NULL);
  tg_loop_deinit(&fixture->process.control);
  tg_buffer_deinit(&fixture->answer);
  int status = temp_dir_teardown((void **)&fixture->dir);
  free(fixture);
  return status;
}

static void open_server(struct fixture *fixture) {
  tg_status status;
  fixture->server = tg_control_open(&fixture->process, &status);
  assert_int_equal(status, TG_OK);
  assert_non_null(fixture->server);
}

static void *ask_on_thread(void *arg) {
  struct fixture *fixture = arg;
  fixture->status = tg_control_ask(&fixture->options, fixture->request, 20, &fixture->answer);
  uv_async_send(&fixture->asked);
  return NULL;
}

/* What goes over the wire byte by byte, then what comes back until the end. */
static void *send_on_thread(void *arg) {
  struct fixture *fixture = arg;
  char pid_file[4096], path[4096];
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  tg_control_paths(&fixture->options, pid_file, path);
  memcpy(address.sun_path, path, strlen(path) + 1);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  bool alive = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
  for (size_t sent = 0; alive && sent < fixture->request_len;) {
    size_t piece = fixture->request_len - sent > 8000 ? 8000 : 1;
    alive = send(fd, fixture->request + sent, piece, MSG_NOSIGNAL) == (ssize_t)piece;
    sent += piece;
  }
  ssize_t n;
  char bytes[512];
  while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0)
    if (tg_buffer_append(&fixture->answer, bytes, (size_t)n)) break;
  close(fd);
  uv_async_send(&fixture->asked);
  return NULL;
}

/* Runs `client` on a thread and the server's loop until the client has ended. */
static void talk(struct fixture *fixture, void *(*client)(void *), const char *request,
                 size_t len) {
  pthread_t thread;
  fixture->request = request;
  fixture->request_len = len;
  tg_buffer_clear(&fixture->answer);
  assert_int_equal(pthread_create(&thread, NULL, client, fixture), 0);
  tg_loop_run(&fixture->process.control);
  pthread_join(thread, NULL);
}

static void assert_answer(const struct fixture *fixture, const char *expected) {
  struct tg_slice got = tg_buffer_slice(&fixture->answer);
  if (!tg_slice_starts(got, tg_slice_cstr(expected)))
    fail_msg("%.*s, not %s", (int)got.len, got.ptr, expected);
}

static void ask(struct fixture *fixture, const char *request, const char *expected) {
  talk(fixture, ask_on_thread, request, 0);
  assert_int_equal(fixture->status, TG_OK);
  assert_answer(fixture, expected);
}

/* ---------------------------------------------------------------------------------------------- */

static void test_commands_are_answered(void **state) {
  struct fixture *fixture = *state;
  open_server(fixture);
  ask(fixture, "{\"command\":\"status\"}", "{\"ok\":true,\"status\":{\"generation\":7}}");
  ask(fixture, " { \"x\": [1, {}] , \"command\" : \"reload\" } ",
      "{\"ok\":true,\"generation\":7,\"routes\":3,\"milliseconds\":");
  char expected[64];
  snprintf(expected, sizeof expected, "{\"ok\":true,\"pid\":%ld}", (long)getpid());
  ask(fixture, "{\"command\":\"stop\"}", expected);
  assert_int_equal(fixture->stops, 1);
}

static void test_a_failed_reload_tells_its_errors(void **state) {
  struct fixture *fixture = *state;
  struct tg_load_errors errors = {1, "error: \"x\"\n", "[{\"line\":3}]"};
  fixture->errors = &errors;
  open_server(fixture);
  ask(fixture, "{\"command\":\"reload\"}",
      "{\"ok\":false,\"errors\":[{\"line\":3}],\"text\":\"error: \\\"x\\\"\\n\"}");
}

static void test_garbage_is_refused(void **state) {
  struct fixture *fixture = *state;
  static const char *const lines[] = {
      "\n",
      "garbage\n",
      "{\"command\":}\n",
      "{\"command\":7}\n",
      "{\"command\":\"reload\"\n",
      "[]\n",
      "\"\n",
      "{\"command\":\"rm\"}\n",
      "GET / HTTP/1.1\r\n\r\n",
  };
  open_server(fixture);
  for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
    talk(fixture, send_on_thread, lines[i], strlen(lines[i]));
    assert_answer(fixture, "{\"ok\":false,\"text\":\"");
  }
  talk(fixture, send_on_thread, "\0\n", 2);
  assert_answer(fixture, "{\"ok\":false,\"text\":\"");
  assert_null(fixture->reload_done);
}

static void test_a_request_without_end_is_cut(void **state) {
  struct fixture *fixture = *state;
  size_t len = (size_t)TG_CONTROL_REQUEST_MAX * 4;
  char *spaces = malloc(len);
  assert_non_null(spaces);
  memset(spaces, ' ', len);
  open_server(fixture);
  talk(fixture, send_on_thread, spaces, len);
  assert_int_equal(tg_buffer_size(&fixture->answer), 0);
  free(spaces);
}

static void test_silence_is_ended(void **state) {
  struct fixture *fixture = *state;
  open_server(fixture);
  uint64_t before = tg_clock_now();
  talk(fixture, send_on_thread, "{\"command\"", 10);
  assert_int_equal(tg_buffer_size(&fixture->answer), 0);
  uint64_t took = tg_clock_now() - before;
  assert_in_range(took / TG_MILLISECOND, TG_CONTROL_SILENCE - 100, TG_CONTROL_SILENCE + 5000);
}

static void test_close_while_a_client_waits_for_a_reload(void **state) {
  struct fixture *fixture = *state;
  fixture->keep_waiting = true;
  open_server(fixture);
  pthread_t thread;
  fixture->request = "{\"command\":\"reload\"}";
  assert_int_equal(pthread_create(&thread, NULL, ask_on_thread, fixture), 0);
  tg_loop_run(&fixture->process.control);
  assert_non_null(fixture->reload_done);
  tg_control_close(fixture->server);
  fixture->server = NULL;
  tg_loop_run(&fixture->process.control);
  pthread_join(thread, NULL);
  assert_int_equal(fixture->status, TG_ECLOSED);
  fixture->reload_done(fixture->reload_owner, 8, NULL);
}

static void test_files_have_their_modes_and_go(void **state) {
  struct fixture *fixture = *state;
  struct stat st;
  open_server(fixture);
  assert_int_equal(stat(temp_dir_path(fixture->dir, ".tidegate"), &st), 0);
  assert_int_equal(st.st_mode & 0777, 0700);
  assert_int_equal(stat(temp_dir_path(fixture->dir, ".tidegate/pid.sock"), &st), 0);
  assert_true(S_ISSOCK(st.st_mode));
  assert_int_equal(st.st_mode & 0777, 0600);
  assert_int_equal(tg_control_pid(&fixture->options), getpid());
  tg_control_close(fixture->server);
  fixture->server = NULL;
  assert_int_equal(stat(temp_dir_path(fixture->dir, ".tidegate/pid.sock"), &st), -1);
  assert_int_equal(stat(temp_dir_path(fixture->dir, ".tidegate/pid"), &st), -1);
  assert_int_equal(tg_control_pid(&fixture->options), 0);
}

static void test_nobody_there(void **state) {
  struct fixture *fixture = *state;
  struct tg_buffer answer = {0};
  assert_int_equal(tg_control_ask(&fixture->options, "{}", 1, &answer), TG_ENOT_FOUND);
  tg_buffer_deinit(&answer);
}

/* The first process dies without a word; its files are there, its lock is not. */
static void test_what_a_dead_process_left_is_replaced(void **state) {
  struct fixture *fixture = *state;
  pid_t child = fork();
  if (child == 0) {
    tg_status status;
    _exit(tg_control_open(&fixture->process, &status) ? 0 : 1);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  assert_int_equal(access(temp_dir_path(fixture->dir, ".tidegate/pid.sock"), F_OK), 0);
  assert_int_equal(tg_control_pid(&fixture->options), 0);
  open_server(fixture);
  ask(fixture, "{\"command\":\"status\"}", "{\"ok\":true");
}

/* The second opens the file anew, as another process would. */
static void test_a_live_process_is_not_replaced(void **state) {
  struct fixture *fixture = *state;
  open_server(fixture);
  tg_status status;
  assert_null(tg_control_open(&fixture->process, &status));
  assert_int_equal(status, TG_EEXISTS);
  ask(fixture, "{\"command\":\"status\"}", "{\"ok\":true");
}

static void test_long_folders(void **state) {
  struct fixture *fixture = *state;
  char name[128], pid_file[4096], path[4096], taken[4096];
  memset(name, 'n', 120);
  name[120] = 0;
  temp_dir_mkdir(fixture->dir, name);
  snprintf(taken, sizeof taken, "%s", temp_dir_path(fixture->dir, name));
  fixture->options.dir = taken;
  tg_control_paths(&fixture->options, pid_file, path);
  assert_true(strlen(path) < 108);
  assert_int_equal(strncmp(path, "/tmp/tidegate-", 14), 0);
  open_server(fixture);
  ask(fixture, "{\"command\":\"status\"}", "{\"ok\":true");
  tg_control_close(fixture->server);
  fixture->server = NULL;
  assert_int_equal(access(path, F_OK), -1);
}

static void test_a_pid_file_elsewhere(void **state) {
  struct fixture *fixture = *state;
  char path[128];
  struct stat st;
  snprintf(path, sizeof path, "%s/gate.pid", fixture->dir->path);
  fixture->options.pid_file = path;
  open_server(fixture);
  assert_int_equal(stat(temp_dir_path(fixture->dir, "gate.pid.sock"), &st), 0);
  assert_int_equal(st.st_mode & 0777, 0600);
  assert_int_equal(access(temp_dir_path(fixture->dir, ".tidegate"), F_OK), -1);
  ask(fixture, "{\"command\":\"status\"}", "{\"ok\":true");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_commands_are_answered),
      TEST(test_a_failed_reload_tells_its_errors),
      TEST(test_garbage_is_refused),
      TEST(test_a_request_without_end_is_cut),
      TEST(test_silence_is_ended),
      TEST(test_close_while_a_client_waits_for_a_reload),
      TEST(test_files_have_their_modes_and_go),
      TEST(test_nobody_there),
      TEST(test_what_a_dead_process_left_is_replaced),
      TEST(test_a_live_process_is_not_replaced),
      TEST(test_long_folders),
      TEST(test_a_pid_file_elsewhere),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
