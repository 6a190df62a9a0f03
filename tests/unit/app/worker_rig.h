/* A small server whose routes all run on a worker pool: a loop thread, an application on the disk,
 * and clients that are the other ends of socket pairs. */
#ifndef TG_TEST_WORKER_RIG_H
#define TG_TEST_WORKER_RIG_H

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/generation.h"
#include "app/worker_pool.h"
#include "base/check.h"
#include "bind/handler.h"
#include "loop/thread.h"
#include "server/server.h"
#include "store/shared.h"

struct rig {
  struct tg_settings settings;
  struct tg_host host;
  struct tg_loop builder;
  struct tg_loop loop;
  struct tg_server server;
  pthread_t thread;
  struct tg_generation *generation; /* as the loop sees it */
  struct tg_worker_pool *pool;
  struct tg_vm *vm; /* the loop's own state, in tests of routes that do not block; else NULL */
  char dir[32];
};

/* ---- the application */

static void rig_write(const char *dir, const char *name, const char *text) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  FILE *file = fopen(path, "w");
  TG_CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void rig_make_app(struct rig *rig, const char *config, const char *routes) {
  char path[64];
  strcpy(rig->dir, "/tmp/tg-workers-XXXXXX");
  TG_CHECK(mkdtemp(rig->dir));
  snprintf(path, sizeof path, "%s/routes", rig->dir);
  TG_CHECK(mkdir(path, 0700) == 0);
  snprintf(path, sizeof path, "%s/gate", rig->dir);
  TG_CHECK(mkfifo(path, 0600) == 0);
  rig_write(rig->dir, "tidegate.lua", config);
  /* Routes find the fifo by a local of that name. */
  char text[8192];
  TG_CHECK((size_t)snprintf(text, sizeof text, "local GATE, MARK = '%s/gate', '%s/mark'\n%s",
                            rig->dir, rig->dir, routes) < sizeof text);
  rig_write(rig->dir, "routes/index.lua", text);
}

static void rig_remove_app(struct rig *rig) {
  static const char *const names[] = {
      "tidegate.lua", "routes/index.lua", "routes", "gate", "mark", ""};
  char path[64];
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    snprintf(path, sizeof path, "%s/%s", rig->dir, names[i]);
    (void)remove(path);
  }
}

/* Waits until a handler has opened the fifo to read. */
static inline int rig_reach_gate(const struct rig *rig) {
  char path[64];
  snprintf(path, sizeof path, "%s/gate", rig->dir);
  int gate = open(path, O_WRONLY | O_CLOEXEC);
  TG_CHECK(gate >= 0);
  return gate;
}

/* Lets it go on. */
static inline void rig_open_gate(int gate) {
  TG_CHECK(write(gate, "x", 1) == 1);
  close(gate);
}

static void rig_handle(struct tg_exchange *exchange) {
  struct tg_generation *generation = exchange->routing->owner;
  struct rig *rig = generation->process;
  if (exchange->route->pool >= 0) {
    tg_worker_pool_submit(rig->pool, generation, exchange);
    return;
  }
  struct tg_app_state *state = rig->vm->owner;
  tg_handler_start(rig->vm, exchange, state->run_refs[exchange->match.route]);
}

static struct tg_generation *rig_build(struct rig *rig, uint64_t number) {
  struct tg_build build = {.host = &rig->host,
                           .loop = &rig->builder,
                           .dir = rig->dir,
                           .number = number,
                           .loops = 1,
                           .handle = rig_handle};
  struct tg_load_errors errors;
  struct tg_generation *generation = tg_generation_build(&build, &errors);
  if (!generation) fprintf(stderr, "%s\n", errors.text);
  TG_CHECK(generation);
  tg_load_errors_deinit(&errors);
  generation->process = rig;
  tg_generation_free_vm(generation->vms[0]); /* the pool makes its own */
  return generation;
}

/* ---- the loop */

static const struct tg_routing *rig_acquire(struct tg_server *server) {
  struct rig *rig = server->owner;
  tg_generation_hold(rig->generation);
  return &rig->generation->routing;
}

static void rig_release(struct tg_server *server, const struct tg_routing *routing) {
  (void)server;
  tg_generation_release(routing->owner);
}

static void *rig_run(void *arg) {
  struct rig *rig = arg;
  tg_loop_run(&rig->loop);
  return NULL;
}

/* Something to do on the loop's thread, waited for. */
struct rig_errand {
  struct tg_letter letter;
  struct rig *rig;
  void (*run)(struct rig *rig, void *arg);
  void *arg;
  int done[2];
};

static void rig_on_errand(struct tg_letter *letter) {
  struct rig_errand *errand = TG_CONTAINER(letter, struct rig_errand, letter);
  errand->run(errand->rig, errand->arg);
  TG_CHECK(write(errand->done[1], "x", 1) == 1);
}

static void rig_send(struct rig *rig, void (*run)(struct rig *rig, void *arg), void *arg) {
  struct rig_errand errand = {
      .letter.open = rig_on_errand, .rig = rig, .run = run, .arg = arg, .done = {-1, -1}};
  char byte;
  TG_CHECK(pipe2(errand.done, O_CLOEXEC) == 0);
  TG_CHECK(tg_mailbox_post(&rig->loop.mailbox, &errand.letter) == TG_OK);
  TG_CHECK(read(errand.done[0], &byte, 1) == 1);
  close(errand.done[0]);
  close(errand.done[1]);
}

static inline void rig_publish_here(struct rig *rig, void *generation) {
  struct tg_generation *old = rig->generation;
  rig->generation = generation;
  if (old) tg_generation_release(old);
}

static void rig_accept_here(struct rig *rig, void *arg) {
  struct tg_address peer = {0};
  socklen_t len = sizeof peer.addr;
  TG_CHECK(getpeername(*(int *)arg, &peer.addr.any, &len) == 0);
  tg_server_accept(&rig->server, *(int *)arg, &peer, NULL);
}

static void rig_start(struct rig *rig, unsigned size, unsigned queue, uint64_t max_wait,
                      const char *config, const char *routes) {
  *rig = (struct rig){0};
  tg_settings_init(&rig->settings);
  rig_make_app(rig, config, routes);
  rig->host = (struct tg_host){.settings = &rig->settings,
                               .app_dir = rig->dir,
                               .log = tg_log_new(STDERR_FILENO, 0),
                               .shared = tg_shared_registry_new(tg_clock_now)};
  TG_CHECK(tg_loop_init(&rig->builder, 9) == TG_OK && tg_loop_init(&rig->loop, 0) == TG_OK);
  rig->generation = rig_build(rig, 1);
  tg_server_init(&rig->server, &rig->loop, &rig->settings);
  rig->server.owner = rig;
  rig->server.acquire = rig_acquire;
  rig->server.release = rig_release;
  struct tg_worker_limits limits = {
      .name = "default", .size = size, .queue = queue, .max_wait = max_wait};
  rig->pool = tg_worker_pool_new(&rig->host, &limits);
  TG_CHECK(rig->pool && tg_thread_start(&rig->thread, "loop", rig_run, rig) == TG_OK);
}

static void rig_on_drained(struct tg_server *server) {
  tg_loop_stop(server->loop);
}

static void rig_drain_here(struct rig *rig, void *arg) {
  (void)arg;
  rig->server.drained = rig_on_drained;
  tg_server_drain(&rig->server);
  tg_server_abort(&rig->server);
}

static void rig_stop_loop(struct rig *rig) {
  rig_send(rig, rig_drain_here, NULL);
  pthread_join(rig->thread, NULL);
}

/* The loop has ended; now the workers do. */
static void rig_stop_rest(struct rig *rig) {
  if (rig->pool) TG_CHECK(tg_worker_pool_close(rig->pool, 10 * TG_SECOND));
  if (rig->vm) tg_generation_free_vm(rig->vm);
  tg_server_deinit(&rig->server);
  tg_loop_deinit(&rig->loop);
  tg_generation_release(rig->generation);
  tg_loop_deinit(&rig->builder);
  tg_shared_registry_free(rig->host.shared);
  tg_log_free(rig->host.log, TG_SECOND);
  rig_remove_app(rig);
}

/* Ends all as a process would: the loop is drained first, then the workers end. */
static void rig_stop(struct rig *rig) {
  rig_stop_loop(rig);
  rig_stop_rest(rig);
}

/* ---- clients */

static int rig_connect(struct rig *rig) {
  int pair[2];
  TG_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
  TG_CHECK(fcntl(pair[1], F_SETFL, O_NONBLOCK) == 0);
  struct timeval most = {.tv_sec = 60};
  setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
  rig_send(rig, rig_accept_here, &pair[1]);
  return pair[0];
}

/* The same over TCP, for a client that can reset its connection. */
static inline int rig_connect_tcp(struct rig *rig) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof at;
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  TG_CHECK(bind(listener, (struct sockaddr *)&at, len) == 0 && listen(listener, 1) == 0);
  TG_CHECK(getsockname(listener, (struct sockaddr *)&at, &len) == 0);
  TG_CHECK(connect(client, (struct sockaddr *)&at, len) == 0);
  int served = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  TG_CHECK(served >= 0);
  close(listener);
  rig_send(rig, rig_accept_here, &served);
  return client;
}

static inline void rig_reset(int fd) {
  struct linger now = {.l_onoff = 1};
  TG_CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
  close(fd);
}

static void rig_write_all(int fd, const char *bytes, size_t len) {
  while (len) {
    ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
    TG_CHECK(n > 0);
    bytes += n;
    len -= (size_t)n;
  }
}

struct rig_answer {
  int status;
  char head[4096];
  char *body;
  size_t len;
};

/* Reads one answer with a Content-Length, or, chunked, all of its frames as they are. */
static void rig_read(int fd, struct rig_answer *answer) {
  size_t len = 0;
  *answer = (struct rig_answer){0};
  while (len < 4 || memcmp(answer->head + len - 4, "\r\n\r\n", 4) != 0) {
    TG_CHECK(len < sizeof answer->head - 1 && recv(fd, answer->head + len, 1, 0) == 1);
    len++;
  }
  answer->status = atoi(answer->head + 9);
  const char *field = strstr(answer->head, "Content-Length: ");
  size_t cap = field ? strtoul(field + 16, NULL, 10) : 8u << 20;
  answer->body = calloc(1, cap + 1);
  TG_CHECK(answer->body);
  while (answer->len < cap) {
    ssize_t n = recv(fd, answer->body + answer->len, cap - answer->len, 0);
    TG_CHECK(n > 0);
    answer->len += (size_t)n;
    if (!field && answer->len >= 5 && memcmp(answer->body + answer->len - 5, "0\r\n\r\n", 5) == 0)
      break;
  }
}

static void rig_request(int fd, const char *method, const char *path) {
  char head[256];
  int n = snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: t\r\n\r\n", method, path);
  rig_write_all(fd, head, (size_t)n);
}

static void rig_ask(int fd, const char *path, struct rig_answer *answer) {
  rig_request(fd, "GET", path);
  rig_read(fd, answer);
}

#endif
