/* call: one request through the whole of it, and no port.
 *
 * A child serves the application on a unix socket in a folder that only we can enter; the request
 * goes over that, and the child is told to stop. What is printed is what a client would get. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/cli.h"
#include "app/process.h"
#include "base/buffer.h"

#define START_SECONDS  60
#define ANSWER_SECONDS 60.0
#define HEAD_MAX       (1u << 20)

/* --- the child -------------------------------------------------------------------------------- */

struct child {
  pid_t pid;
  char folder[64];
  char address[96]; /* unix:FOLDER/socket */
  char pid_file[96];
};

static int start_child(struct child *child, const struct tg_options *options) {
  snprintf(child->folder, sizeof child->folder, "/tmp/tidegate-call-XXXXXX");
  if (!mkdtemp(child->folder)) {
    perror("error: no temporary folder");
    return TG_EXIT_FAILED;
  }
  snprintf(child->address, sizeof child->address, "unix:%s/socket", child->folder);
  snprintf(child->pid_file, sizeof child->pid_file, "%s/pid", child->folder);
  child->pid = fork();
  if (child->pid < 0) {
    perror("error: no process");
    rmdir(child->folder);
    return TG_EXIT_FAILED;
  }
  if (child->pid > 0) return TG_EXIT_OK;
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  struct tg_options serving = *options;
  serving.command = "run";
  serving.alone = serving.quiet = serving.silent = true;
  serving.loops = 1;
  serving.listen[0] = child->address;
  serving.listen_count = 1;
  serving.pid_file = child->pid_file;
  if (!serving.log_level) serving.log_level = options->verbose ? "info" : "warn";
  exit(tg_process_main(&serving));
}

/* There is no sign of a start but the socket itself. False when the child has ended: it has said
 * why. */
static bool connect_to_child(struct child *child, int *fd) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", child->address + strlen("unix:"));
  for (int i = 0; i < START_SECONDS * 200; i++) {
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd >= 0 && connect(*fd, (struct sockaddr *)&address, sizeof address) == 0) return true;
    if (*fd >= 0) close(*fd);
    int status;
    if (waitpid(child->pid, &status, WNOHANG) == child->pid) {
      child->pid = 0;
      return false;
    }
    poll(NULL, 0, 5);
  }
  fprintf(stderr, "error: the application does not start\n");
  return false;
}

static void stop_child(struct child *child) {
  int status;
  if (child->pid > 0) {
    kill(child->pid, SIGTERM);
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR) {
    }
  }
  unlink(child->address + strlen("unix:"));
  unlink(child->pid_file);
  rmdir(child->folder);
}

/* --- the request ------------------------------------------------------------------------------ */

static bool has_control(const char *text, bool with_space) {
  for (const unsigned char *at = (const unsigned char *)text; *at; at++)
    if ((*at < 0x20 && *at != '\t') || *at == 0x7F || (with_space && (*at == ' ' || *at == '\t')))
      return true;
  return false;
}

static bool has_header(const struct tg_options *options, const char *name) {
  size_t len = strlen(name);
  for (size_t i = 0; i < options->header_count; i++)
    if (strncasecmp(options->headers[i], name, len) == 0 && options->headers[i][len] == ':')
      return true;
  return false;
}

static int refuse(const char *what, const char *text) {
  fprintf(stderr, "error: %s: '%s'\n", what, text);
  return TG_EXIT_USAGE;
}

static int check_request(const struct tg_options *options) {
  if (!options->args[0][0] || has_control(options->args[0], true))
    return refuse("this is no method", options->args[0]);
  if (options->args[1][0] != '/' || has_control(options->args[1], true))
    return refuse("a path begins with / and has no spaces", options->args[1]);
  for (size_t i = 0; i < options->header_count; i++)
    if (has_control(options->headers[i], false) || !strchr(options->headers[i], ':'))
      return refuse("a header looks like 'Name: value'", options->headers[i]);
  return TG_EXIT_OK;
}

static tg_status write_request(const struct tg_options *options, struct tg_buffer *out) {
  tg_status status = tg_buffer_format(out, "%s %s HTTP/1.1\r\nConnection: close\r\n",
                                      options->args[0], options->args[1]);
  if (!status && !has_header(options, "Host"))
    status = tg_buffer_format(out, "Host: localhost\r\n");
  for (size_t i = 0; i < options->header_count && !status; i++)
    status = tg_buffer_format(out, "%s\r\n", options->headers[i]);
  size_t len = options->data ? strlen(options->data) : 0;
  if (!status && options->data && !has_header(options, "Content-Length"))
    status = tg_buffer_format(out, "Content-Length: %zu\r\n", len);
  if (!status) status = tg_buffer_append(out, "\r\n", 2);
  if (!status && len) status = tg_buffer_append(out, options->data, len);
  return status;
}

/* An answer may come, and the connection end, before all is sent: then reading tells the rest. */
static void send_all(int fd, struct tg_slice bytes) {
  while (bytes.len) {
    ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return;
    bytes = tg_slice_skip(bytes, (size_t)n);
  }
}

/* --- the answer ------------------------------------------------------------------------------- */

struct reader {
  int fd;
  struct tg_buffer in;
  bool ended;
};

/* Gets more bytes; false at the end of the stream. */
static bool read_more(struct reader *reader) {
  if (reader->ended || tg_buffer_reserve(&reader->in, 16384)) return false;
  ssize_t n;
  do n = recv(reader->fd, tg_buffer_tail(&reader->in), 16384, 0);
  while (n < 0 && errno == EINTR);
  if (n < 0) fprintf(stderr, "error: no answer: %s\n", strerror(errno));
  if (n <= 0) {
    reader->ended = true;
    return false;
  }
  tg_buffer_wrote(&reader->in, (size_t)n);
  return true;
}

/* Bytes up to and with `mark`; valid until the next reading. */
static bool read_until(struct reader *reader, const char *mark, struct tg_slice *out) {
  for (;;) {
    struct tg_slice got = tg_buffer_slice(&reader->in);
    const char *at = got.len ? memmem(got.ptr, got.len, mark, strlen(mark)) : NULL;
    if (at) {
      *out = tg_slice(got.ptr, (size_t)(at - got.ptr) + strlen(mark));
      return true;
    }
    if (got.len > HEAD_MAX || !read_more(reader)) return false;
  }
}

/* `left` bytes to stdout; UINT64_MAX: to the end of the stream. */
static bool copy_body(struct reader *reader, uint64_t left) {
  bool to_end = left == UINT64_MAX;
  while (left) {
    struct tg_slice got = tg_buffer_slice(&reader->in);
    size_t n = got.len < left ? got.len : (size_t)left;
    if (n) fwrite(got.ptr, 1, n, stdout);
    if (n) fflush(stdout);
    tg_buffer_consume(&reader->in, n);
    if (!to_end) left -= n;
    if (left && !n && !read_more(reader)) return to_end;
  }
  return true;
}

static bool copy_chunks(struct reader *reader) {
  for (;;) {
    struct tg_slice line;
    if (!read_until(reader, "\r\n", &line)) return false;
    uint64_t size = strtoull(line.ptr, NULL, 16);
    tg_buffer_consume(&reader->in, line.len);
    if (!size) return true;
    if (!copy_body(reader, size) || !read_until(reader, "\r\n", &line)) return false;
    tg_buffer_consume(&reader->in, line.len);
  }
}

/* The value of a field in a head; {NULL, 0} where there is none. */
static struct tg_slice find_field(struct tg_slice head, const char *name) {
  size_t len = strlen(name);
  for (size_t i = 0; i + len + 2 < head.len; i++) {
    if (head.ptr[i] != '\n' || strncasecmp(head.ptr + i + 1, name, len) != 0 ||
        head.ptr[i + 1 + len] != ':')
      continue;
    const char *value = head.ptr + i + len + 2;
    const char *end = memchr(value, '\r', head.len - (size_t)(value - head.ptr));
    return end ? tg_slice_trim(tg_slice(value, (size_t)(end - value))) : tg_slice(NULL, 0);
  }
  return tg_slice(NULL, 0);
}

/* Interim answers (1xx) are passed over. */
static bool read_head(struct reader *reader, struct tg_slice *head, int *code) {
  for (;;) {
    if (!read_until(reader, "\r\n\r\n", head) || head->len < 12) return false;
    *code = (int)strtol(head->ptr + 9, NULL, 10);
    if (*code >= 200) return true;
    tg_buffer_consume(&reader->in, head->len);
  }
}

static int print_answer(struct reader *reader, const struct tg_options *options) {
  struct tg_slice head;
  int code = 0;
  if (!read_head(reader, &head, &code)) {
    fprintf(stderr, "error: the connection ended before an answer\n");
    return TG_EXIT_FAILED;
  }
  if (options->include) fwrite(head.ptr, 1, head.len, stdout);
  struct tg_slice length = find_field(head, "Content-Length");
  bool has_chunks = find_field(head, "Transfer-Encoding").len;
  bool has_body = strcmp(options->args[0], "HEAD") != 0 && code != 204 && code != 304;
  uint64_t left = length.len ? strtoull(length.ptr, NULL, 10) : UINT64_MAX;
  tg_buffer_consume(&reader->in, head.len);
  bool whole = !has_body || (has_chunks ? copy_chunks(reader) : copy_body(reader, left));
  if (!whole) fprintf(stderr, "error: the answer ended before its end\n");
  return whole && code < 400 ? TG_EXIT_OK : TG_EXIT_FAILED;
}

static int talk(int fd, const struct tg_options *options) {
  struct tg_buffer request = {0};
  struct reader reader = {.fd = fd};
  double seconds = options->timeout > 0 ? options->timeout : ANSWER_SECONDS;
  struct timeval silence = {.tv_sec = (time_t)seconds,
                            .tv_usec = (suseconds_t)((seconds - (double)(time_t)seconds) * 1e6)};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence);
  int exit = TG_EXIT_FAILED;
  if (write_request(options, &request) == TG_OK) {
    send_all(fd, tg_buffer_slice(&request));
    exit = print_answer(&reader, options);
  }
  tg_buffer_deinit(&request);
  tg_buffer_deinit(&reader.in);
  return exit;
}

int tg_command_call(const struct tg_options *options) {
  struct child child = {0};
  int fd, exit = check_request(options);
  if (!exit) exit = start_child(&child, options);
  if (exit) return exit;
  if (connect_to_child(&child, &fd)) {
    exit = talk(fd, options);
    close(fd);
  } else {
    exit = TG_EXIT_FAILED;
  }
  stop_child(&child);
  return exit;
}
