/* reload, status and stop: questions to the process that runs. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "app/cli.h"
#include "app/control.h"
#include "app/json_scan.h"
#include "base/clock.h"

#define RELOAD_SECONDS 60.0
#define STATUS_SECONDS 10.0
#define STOP_SECONDS   30.0

/* Asks, and says on stderr why there is no answer. *exit gets the exit status for that. The answer
 * is the caller's to deinit in any case. */
static struct tg_slice ask(const struct tg_options *options, const char *request, double seconds,
                           struct tg_buffer *answer, int *exit) {
  tg_status status = tg_control_ask(options, request, seconds, answer);
  struct tg_slice value = status ? tg_slice(NULL, 0) : tg_json_scan_value(tg_buffer_slice(answer));
  *exit = TG_EXIT_OK;
  if (value.len) return value;
  *exit = status == TG_ENOT_FOUND ? TG_EXIT_NOT_RUNNING : TG_EXIT_FAILED;
  if (status == TG_ENOT_FOUND)
    fprintf(stderr, "error: no instance of %s is running\n",
            options->pid_file ? options->pid_file : options->dir);
  else
    fprintf(stderr, "error: the running instance did not answer: %s\n",
            tg_status_text(status ? status : TG_ESYNTAX));
  return value;
}

static bool is_ok(struct tg_slice answer) {
  return tg_slice_eq(tg_json_scan_find(answer, "ok"), TG_SLICE("true"));
}

static void print_text(FILE *out, struct tg_slice value) {
  struct tg_buffer text = {0};
  if (tg_json_scan_text(value, &text) == TG_OK) fwrite(text.data, 1, text.len, out);
  if (!text.len || text.data[text.len - 1] != '\n') fputc('\n', out);
  tg_buffer_deinit(&text);
}

static int word(struct tg_slice answer, const char *key, const char **ptr) {
  struct tg_slice value = tg_json_scan_find(answer, key);
  *ptr = value.len ? value.ptr : "?";
  return value.len ? (int)value.len : 1;
}

int tg_command_reload(const struct tg_options *options) {
  struct tg_buffer buffer = {0};
  int exit;
  double seconds = options->timeout > 0 ? options->timeout : RELOAD_SECONDS;
  struct tg_slice answer = ask(options, "{\"command\":\"reload\"}", seconds, &buffer, &exit);
  if (!exit && !is_ok(answer)) exit = TG_EXIT_FAILED;
  if (answer.len && options->json) {
    printf("%.*s\n", (int)answer.len, answer.ptr);
  } else if (answer.len && exit) {
    print_text(stderr, tg_json_scan_find(answer, "text"));
  } else if (answer.len && !options->quiet) {
    const char *generation, *routes, *ms;
    int generation_len = word(answer, "generation", &generation);
    int routes_len = word(answer, "routes", &routes);
    int ms_len = word(answer, "milliseconds", &ms);
    printf("reloaded: generation %.*s, %.*s routes, %.*s ms\n", generation_len, generation,
           routes_len, routes, ms_len, ms);
  }
  tg_buffer_deinit(&buffer);
  return exit;
}

/* One line a value, its way to it in front: "workers.default.size". */
static void print_values(const char *way, struct tg_slice value) {
  struct tg_slice key, inner;
  char text[256];
  unsigned index = 0;
  bool is_group = value.ptr[0] == '{' || value.ptr[0] == '[';
  if (!is_group) {
    printf("%-28s ", way);
    print_text(stdout, value);
    return;
  }
  while (tg_json_scan_next(&value, &key, &inner)) {
    const char *dot = way[0] ? "." : "";
    if (key.ptr)
      snprintf(text, sizeof text, "%s%s%.*s", way, dot, (int)key.len, key.ptr);
    else
      snprintf(text, sizeof text, "%s%s%u", way, dot, index++);
    print_values(text, inner);
  }
}

int tg_command_status(const struct tg_options *options) {
  struct tg_buffer buffer = {0};
  int exit;
  struct tg_slice answer = ask(options, "{\"command\":\"status\"}", STATUS_SECONDS, &buffer, &exit);
  struct tg_slice report = tg_json_scan_find(answer, "status");
  if (!exit && !report.len) {
    exit = TG_EXIT_FAILED;
    print_text(stderr, tg_json_scan_find(answer, "text"));
  } else if (!exit && options->json) {
    printf("%.*s\n", (int)report.len, report.ptr);
  } else if (!exit) {
    print_values("", report);
  }
  tg_buffer_deinit(&buffer);
  return exit;
}

/* By a descriptor of the process, which tells its end even where nobody collects it; old kernels
 * are asked again and again. */
static bool wait_for_end(pid_t pid, double seconds) {
  uint64_t deadline = tg_clock_now() + (uint64_t)(seconds * 1e9);
  int fd = (int)syscall(SYS_pidfd_open, pid, 0);
  if (fd < 0 && errno == ESRCH) return true;
  for (;;) {
    uint64_t now = tg_clock_now();
    if (now >= deadline) break;
    int ms = (int)((deadline - now) / TG_MILLISECOND) + 1;
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    if (fd < 0 && ms > 20) ms = 20;
    bool ended = poll(&poll_fd, 1, ms) > 0 || (fd < 0 && kill(pid, 0) != 0 && errno == ESRCH);
    if (!ended) continue;
    if (fd >= 0) close(fd);
    return true;
  }
  if (fd >= 0) close(fd);
  return false;
}

int tg_command_stop(const struct tg_options *options) {
  struct tg_buffer buffer = {0};
  int exit;
  double seconds = options->timeout > 0 ? options->timeout : STOP_SECONDS;
  pid_t pid = tg_control_pid(options);
  struct tg_slice answer = ask(options, "{\"command\":\"stop\"}", seconds, &buffer, &exit);
  if (!exit && !is_ok(answer)) {
    exit = TG_EXIT_FAILED;
    print_text(stderr, tg_json_scan_find(answer, "text"));
  } else if (!exit && pid && !wait_for_end(pid, seconds)) {
    exit = TG_EXIT_FAILED;
    fprintf(stderr, "error: process %ld still runs after %g s; again, `tidegate stop` forces it\n",
            (long)pid, seconds);
  } else if (!exit && !options->quiet) {
    fprintf(stderr, "stopped: process %ld\n", (long)pid);
  }
  tg_buffer_deinit(&buffer);
  return exit;
}
