/* The server's side of the control socket, and the names of its files.
 *
 * A connection lives from accept to the close callbacks of its two handles, and, where it waits for
 * a reload, until that has told its outcome. Nothing that a client does, or leaves undone, costs
 * more than a connection for TG_CONTROL_SILENCE. */
#include "app/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "app/json_scan.h"
#include "app/pid_file.h"
#include "app/process.h"
#include "app/source_tree.h"
#include "app/status_report.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/escape.h"
#include "base/hash.h"

#define CONNECTIONS_MAX 64
#define READ_SIZE       4096

struct tg_control_server {
  struct tg_process *process;
  uv_pipe_t listener;
  struct tg_list connections;
  unsigned count;
  int pid_fd;
  char pid_file[4096];
  char socket_path[4096];
};

struct connection {
  struct tg_list link;
  struct tg_control_server *server; /* NULL once that is closed */
  struct tg_process *process;
  uv_pipe_t pipe;
  uv_timer_t timer;
  uv_write_t write;
  unsigned open; /* handles that are not closed yet */
  bool closing;
  bool waiting; /* for a reload */
  uint64_t asked;
  struct tg_buffer in, out;
};

/* --- names ------------------------------------------------------------------------------------ */

void tg_control_paths(const struct tg_options *options, char pid_file[4096],
                      char socket_path[4096]) {
  char *path = tg_source_path(options->pid_file ? options->pid_file : options->dir);
  snprintf(pid_file, 4096, "%s%s", path, options->pid_file ? "" : "/.tidegate/pid");
  free(path);
  int len = snprintf(socket_path, 4096, "%.4090s.sock", pid_file);
  if (len < (int)sizeof((struct sockaddr_un *)0)->sun_path) return;
  uint64_t hash = tg_hash(&(struct tg_hash_seed){0}, tg_slice_cstr(pid_file));
  snprintf(socket_path, 4096, "/tmp/tidegate-%u/%016llx.sock", (unsigned)geteuid(),
           (unsigned long long)hash);
}

/* Does it lie in the folder that we make below /tmp, where anybody could have been first? */
static bool is_below_tmp(const char *path) {
  char folder[64];
  int len = snprintf(folder, sizeof folder, "/tmp/tidegate-%u/", (unsigned)geteuid());
  return strncmp(path, folder, (size_t)len) == 0;
}

/* The folder of `path`, made with mode 0700 where it is missing and is one of our names. */
static tg_status make_private_folder(const char *path) {
  char folder[4096];
  snprintf(folder, sizeof folder, "%s", path);
  char *slash = strrchr(folder, '/');
  if (slash) *slash = 0;
  if (mkdir(folder, 0700) != 0 && errno != EEXIST) return -errno;
  struct stat st;
  if (lstat(folder, &st) != 0) return -errno;
  bool is_ours = S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 022);
  return is_ours || !is_below_tmp(path) ? TG_OK : -EPERM;
}

/* --- one connection --------------------------------------------------------------------------- */

static void free_if_done(struct connection *connection) {
  if (connection->open || connection->waiting) return;
  tg_buffer_deinit(&connection->in);
  tg_buffer_deinit(&connection->out);
  free(connection);
}

static void on_closed(uv_handle_t *handle) {
  struct connection *connection = handle->data;
  connection->open--;
  free_if_done(connection);
}

static void close_connection(struct connection *connection) {
  if (connection->closing) return;
  connection->closing = true;
  tg_list_remove(&connection->link);
  if (connection->server) connection->server->count--;
  connection->server = NULL;
  uv_close((uv_handle_t *)&connection->pipe, on_closed);
  uv_close((uv_handle_t *)&connection->timer, on_closed);
}

static void on_silence(uv_timer_t *timer) {
  close_connection(timer->data);
}

static void on_written(uv_write_t *write, int status) {
  (void)status;
  close_connection(write->data);
}

/* Sends what is in `out`, and ends. */
static void send_answer(struct connection *connection, tg_status made) {
  if (connection->closing) return;
  struct tg_slice bytes = tg_buffer_slice(&connection->out);
  uv_buf_t buf = uv_buf_init((char *)bytes.ptr, (unsigned)bytes.len);
  connection->write.data = connection;
  if (made || uv_write(&connection->write, (uv_stream_t *)&connection->pipe, &buf, 1, on_written) ||
      uv_timer_start(&connection->timer, on_silence, TG_CONTROL_SILENCE, 0))
    close_connection(connection);
}

static void refuse(struct connection *connection, const char *text) {
  send_answer(connection,
              tg_buffer_format(&connection->out, "{\"ok\":false,\"text\":\"%s\"}\n", text));
}

static tg_status write_errors(struct tg_buffer *out, const struct tg_load_errors *errors) {
  tg_status status = tg_buffer_format(
      out, "{\"ok\":false,\"errors\":%s,\"text\":", errors->json ? errors->json : "[]");
  if (!status)
    status = tg_escape_append(out, tg_slice_cstr(errors->text ? errors->text : "out of memory"));
  if (!status) status = tg_buffer_append(out, "}\n", 2);
  return status;
}

static void on_reloaded(void *owner, uint64_t generation, const struct tg_load_errors *errors) {
  struct connection *connection = owner;
  connection->waiting = false;
  if (connection->closing) {
    free_if_done(connection);
    return;
  }
  if (errors) {
    send_answer(connection, write_errors(&connection->out, errors));
    return;
  }
  const struct tg_generation *current = connection->process->current;
  double ms = (double)(tg_clock_now() - connection->asked) / 1e6;
  send_answer(connection, tg_buffer_format(&connection->out,
                                           "{\"ok\":true,\"generation\":%llu,\"routes\":%u,"
                                           "\"milliseconds\":%.1f}\n",
                                           (unsigned long long)generation,
                                           current ? current->own_count : 0, ms));
}

static void ask_reload(struct connection *connection) {
  connection->waiting = true;
  connection->asked = tg_clock_now();
  tg_process_reload(connection->process, on_reloaded, connection);
}

static void ask_status(struct connection *connection) {
  struct tg_buffer *out = &connection->out;
  tg_status status = tg_buffer_format(out, "{\"ok\":true,\"status\":");
  if (!status) status = tg_process_status(connection->process, out);
  while (out->len && out->data[out->len - 1] == '\n') out->len--; /* the answer is one line */
  if (!status) status = tg_buffer_append(out, "}\n", 2);
  send_answer(connection, status);
}

/* Answered first: stopping closes this server and its connections. */
static void ask_stop(struct connection *connection) {
  char text[64];
  int len = snprintf(text, sizeof text, "{\"ok\":true,\"pid\":%ld}\n",
                     (long)connection->process->main_pid);
  uv_buf_t buf = uv_buf_init(text, (unsigned)len);
  struct tg_process *process = connection->process;
  uv_try_write((uv_stream_t *)&connection->pipe, &buf, 1);
  close_connection(connection);
  tg_process_stop(process);
}

static const struct {
  const char *name;
  void (*ask)(struct connection *connection);
} commands[] = {{"reload", ask_reload}, {"status", ask_status}, {"stop", ask_stop}};

static void obey(struct connection *connection, struct tg_slice line) {
  struct tg_slice request = tg_json_scan_value(line);
  struct tg_slice command = tg_json_scan_find(request, "command");
  uv_read_stop((uv_stream_t *)&connection->pipe);
  uv_timer_stop(&connection->timer);
  if (command.len < 2 || command.ptr[0] != '"') {
    refuse(connection, "malformed request: a line of JSON with a command is expected");
    return;
  }
  struct tg_slice name = tg_slice(command.ptr + 1, command.len - 2);
  for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
    if (!tg_slice_eq(name, tg_slice_cstr(commands[i].name))) continue;
    commands[i].ask(connection);
    return;
  }
  refuse(connection, "unknown command: there are reload, status and stop");
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  (void)suggested;
  struct connection *connection = handle->data;
  bool has_room = tg_buffer_reserve(&connection->in, READ_SIZE) == TG_OK;
  *buf = has_room ? uv_buf_init(tg_buffer_tail(&connection->in), READ_SIZE) : uv_buf_init(NULL, 0);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  (void)buf;
  struct connection *connection = stream->data;
  if (n < 0) {
    close_connection(connection);
    return;
  }
  size_t before = tg_buffer_size(&connection->in);
  tg_buffer_wrote(&connection->in, (size_t)n);
  struct tg_slice got = tg_buffer_slice(&connection->in);
  const char *end = n && got.ptr ? memchr(got.ptr + before, '\n', (size_t)n) : NULL;
  size_t len = end ? (size_t)(end - got.ptr) : got.len;
  if (len > TG_CONTROL_REQUEST_MAX)
    close_connection(connection);
  else if (end)
    obey(connection, tg_slice(got.ptr, len));
}

/* --- the server ------------------------------------------------------------------------------- */

static void on_connection(uv_stream_t *listener, int status) {
  struct tg_control_server *server = listener->data;
  struct connection *connection = status ? NULL : calloc(1, sizeof *connection);
  if (!connection) return;
  uv_loop_t *loop = listener->loop;
  connection->server = server;
  connection->process = server->process;
  connection->open = 2;
  connection->pipe.data = connection->timer.data = connection;
  tg_list_append(&server->connections, &connection->link);
  server->count++;
  TG_CHECK(uv_pipe_init(loop, &connection->pipe, 0) == 0);
  TG_CHECK(uv_timer_init(loop, &connection->timer) == 0);
  if (uv_accept(listener, (uv_stream_t *)&connection->pipe) || server->count > CONNECTIONS_MAX ||
      uv_read_start((uv_stream_t *)&connection->pipe, on_alloc, on_read) ||
      uv_timer_start(&connection->timer, on_silence, TG_CONTROL_SILENCE, 0))
    close_connection(connection);
}

/* The mode is given to the socket before it has a name, so that there is no moment in which others
 * could connect. */
static tg_status bind_socket(const char *path, int *fd) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
  memcpy(address.sun_path, path, strlen(path) + 1);
  *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (*fd < 0) return -errno;
  unlink(path);
  if (fchmod(*fd, 0600) == 0 && bind(*fd, (struct sockaddr *)&address, sizeof address) == 0 &&
      chmod(path, 0600) == 0)
    return TG_OK;
  tg_status status = -errno;
  close(*fd);
  return status;
}

static void on_listener_closed(uv_handle_t *handle) {
  free(handle->data);
}

static tg_status listen_on(struct tg_control_server *server) {
  int fd;
  tg_status status = bind_socket(server->socket_path, &fd);
  if (status) return status;
  status = uv_pipe_open(&server->listener, fd);
  if (status)
    close(fd);
  else
    status = uv_listen((uv_stream_t *)&server->listener, 16, on_connection);
  if (status) unlink(server->socket_path);
  return status;
}

/* Whose folders are ours to make: the default one, and the one below /tmp. */
static tg_status make_folders(const struct tg_control_server *server, bool is_default) {
  tg_status status = is_default ? make_private_folder(server->pid_file) : TG_OK;
  if (!status && is_below_tmp(server->socket_path))
    status = make_private_folder(server->socket_path);
  return status;
}

struct tg_control_server *tg_control_open(struct tg_process *process, tg_status *status) {
  struct tg_control_server *server = calloc(1, sizeof *server);
  *status = server ? TG_OK : TG_ENOMEM;
  if (!server) return NULL;
  server->process = process;
  tg_list_init(&server->connections);
  tg_control_paths(process->options, server->pid_file, server->socket_path);
  *status = make_folders(server, !process->options->pid_file);
  if (!*status)
    *status =
        tg_pid_file_take(server->pid_file, server->socket_path, process->main_pid, &server->pid_fd);
  if (*status) {
    free(server);
    return NULL;
  }
  TG_CHECK(uv_pipe_init(&process->control.uv, &server->listener, 0) == 0);
  server->listener.data = server;
  *status = listen_on(server);
  if (!*status) return server;
  tg_pid_file_give(server->pid_file, server->pid_fd);
  uv_close((uv_handle_t *)&server->listener, on_listener_closed);
  return NULL;
}

void tg_control_close(struct tg_control_server *server) {
  while (!tg_list_empty(&server->connections))
    close_connection(TG_CONTAINER(server->connections.next, struct connection, link));
  unlink(server->socket_path);
  tg_pid_file_give(server->pid_file, server->pid_fd);
  uv_close((uv_handle_t *)&server->listener, on_listener_closed);
}
