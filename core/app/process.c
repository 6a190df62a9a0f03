/* The life of the process from its start to its end. All of it runs on the main thread; other
 * threads are told by letters and tell by letters. */
#include "app/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/builder.h"
#include "app/control.h"
#include "app/dispatch.h"
#include "app/loop_thread.h"
#include "app/reload.h"
#include "app/rights.h"
#include "app/shutdown.h"
#include "app/signals.h"
#include "app/tls_sites.h"
#include "app/watchdog.h"
#include "app/watcher.h"
#include "app/worker.h"
#include "base/check.h"
#include "base/log_record.h"
#include "loop/pool.h"
#include "net/tls_clients.h"
#include "net/tls_tickets.h"
#include "store/shared.h"
#include "upstream/gates.h"
#include "upstream/groups.h"

/* A disk, or a file system far away, keeps a thread waiting, not busy: more of them than cores. */
#define POOL_THREADS 16

void tg_process_say(struct tg_process *process, enum tg_log_level level, const char *message,
                    const char *key, const char *value) {
  struct tg_log_record record;
  if (!tg_log_enabled(process->host.log, level)) return;
  tg_log_record_begin(&record, process->host.log, level, tg_slice_cstr(message));
  if (key) tg_log_record_text(&record, key, tg_slice_cstr(value));
  tg_log_record_end(&record, process->host.log);
}

/* ---- boot ---- */

static int complain(int status, const char *format, const char *what) {
  fprintf(stderr, "tidegate: ");
  fprintf(stderr, format, what);
  fputc('\n', stderr);
  return status;
}

struct first_build {
  struct tg_process *process;
  struct tg_generation *generation;
};

static void on_first_built(void *owner, struct tg_generation *generation,
                           const struct tg_load_errors *errors, uint64_t took) {
  struct first_build *first = owner;
  (void)took;
  first->generation = generation;
  if (!generation) tg_dev_notes_set(&first->process->dev_notes, errors->text ? errors->text : "");
  if (!generation && !first->process->stopping)
    fputs(errors->text ? errors->text : "error: out of memory\n", stderr);
  tg_loop_stop(&first->process->control);
}

static struct tg_generation *build_first(struct tg_process *process, bool without_files) {
  struct first_build first = {.process = process};
  struct tg_build build;
  tg_reload_describe(process, &build);
  build.without_files = without_files;
  build.loops = process->options->loops > 0 ? process->options->loops : -1;
  tg_builder_build(process->builder, &build, &process->control, on_first_built, &first);
  if (!without_files && !process->options->user)
    tg_pool_start(process->pool_is_sized); /* while the builder is busy */
  /* The mailbox keeps the loop alive until the answer is there. */
  tg_loop_run(&process->control);
  return first.generation;
}

static void take_settings(struct tg_process *process, struct tg_generation *generation) {
  process->settings = generation->config.settings;
  process->loop_count = generation->vm_count;
  process->settings.loops = process->loop_count;
}

static int take_addresses(struct tg_process *process, struct tg_generation *generation) {
  const struct tg_options *options = process->options;
  size_t given = options->listen_count, count = 0;
  char **configured = generation->config.listen;
  if (!given)
    while (configured && configured[count]) count++;
  size_t total = given ? given : count ? count : 1;
  process->addresses = tg_check_calloc(total, sizeof *process->addresses);
  for (size_t i = 0; i < total; i++) {
    const char *text = given ? options->listen[i] : count ? configured[i] : "127.0.0.1:8080";
    const char *why = "";
    if (tg_address_parse(&process->addresses[i], tg_slice_cstr(text), &why)) {
      fprintf(stderr, "tidegate: cannot listen on %s: %s\n", text, why);
      return TG_EXIT_FAILED;
    }
  }
  process->address_count = total;
  return TG_EXIT_OK;
}

static void open_logs(struct tg_process *process, const struct tg_config *config) {
  const struct tg_options *options = process->options;
  enum tg_log_level level = TG_LOG_INFO;
  if (config->log_level[0]) (void)tg_log_level_find(tg_slice_cstr(config->log_level), &level);
  if (options->verbose) level = TG_LOG_DEBUG;
  if (options->quiet) level = TG_LOG_WARN;
  if (options->log_level) (void)tg_log_level_find(tg_slice_cstr(options->log_level), &level);
  tg_log_set_level(process->host.log, level);
  if (options->quiet || strcmp(config->log_access, "off") == 0) return;
  process->access_log = tg_log_new(STDOUT_FILENO, 0);
  if (!process->access_log) return;
  bool readable =
      strcmp(config->log_access, "text") == 0 || (!config->log_access[0] && isatty(STDOUT_FILENO));
  bool colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
  tg_log_set_form(process->access_log,
                  readable ? colour ? TG_LOG_COLOUR : TG_LOG_READABLE : TG_LOG_JSON);
}

static int open_loops(struct tg_process *process) {
  char why[256] = "";
  process->loops = tg_check_calloc(process->loop_count, sizeof(struct tg_loop_thread *));
  for (unsigned i = 0; i < process->loop_count; i++) {
    process->loops[i] = tg_check_calloc(1, sizeof(struct tg_loop_thread));
    tg_status status = tg_loop_thread_init(process->loops[i], process, i, why, sizeof why);
    if (status)
      return complain(status == -EADDRINUSE ? TG_EXIT_CONFLICT : TG_EXIT_FAILED, "%s", why);
  }
  return TG_EXIT_OK;
}

/* The supervisor keeps the sockets open should we die. */
static void share_sockets(struct tg_process *process) {
  int fds[TG_SUPERVISED_FDS_MAX];
  size_t count = 0;
  for (unsigned i = 0; i < process->loop_count; i++)
    for (size_t k = 0; k < process->address_count && count < TG_SUPERVISED_FDS_MAX; k++)
      fds[count++] = process->loops[i]->listeners[k].fd;
  if (tg_supervision_keep(process->supervision, fds, count))
    tg_process_say(process, TG_LOG_WARN, "the supervisor could not be given the sockets", NULL,
                   NULL);
}

static void announce(struct tg_process *process) {
  if (process->options->silent) return;
  for (size_t i = 0; i < process->address_count; i++) {
    char text[TG_ADDRESS_TEXT];
    tg_address_format(&process->addresses[i], text);
    fprintf(stderr, "tidegate: listening on %s%s\n",
            tg_address_is_unix(&process->addresses[i]) ? ""
            : tg_tls_sites_has(process->tls, i)        ? "https://"
                                                       : "http://",
            text);
  }
}

static void print_watched(void *owner, const char *path) {
  (void)owner;
  fprintf(stderr, "            %s\n", path);
}

static void print_banner(struct tg_process *process) {
  struct tg_generation *generation = atomic_load(&process->current);
  fprintf(stderr, "\n  %u routes, reloaded when you save; watching\n", generation->own_count);
  if (process->watcher) tg_watcher_each(process->watcher, print_watched, NULL);
  fprintf(stderr, "  in production: tidegate run --dir %s\n\n", process->options->dir);
}

static void open_watcher(struct tg_process *process) {
  if (!process->options->dev && !process->options->watch) return;
  process->watcher = tg_watcher_open(&process->control, process->host.app_dir,
                                     process->options->config, tg_reload_on_changed, process);
  if (!process->watcher) {
    tg_process_say(process, TG_LOG_WARN, "the folders cannot be watched; use `tidegate reload`",
                   NULL, NULL);
    return;
  }
  tg_watcher_set_hash(process->watcher, atomic_load(&process->current)->bundle->hash);
}

static int serve(struct tg_process *process, struct tg_generation *generation) {
  tg_status status = TG_OK;
  process->control_server = tg_control_open(process, &status);
  if (!process->control_server) {
    const char *pid_file = process->options->pid_file;
    if (status == TG_EEXISTS)
      return complain(TG_EXIT_CONFLICT, "an instance of %s is running already: `tidegate status`",
                      pid_file ? pid_file : process->options->dir);
    if (pid_file) {
      fprintf(stderr, "tidegate: cannot write the pid file %s: %s\n", pid_file,
              tg_status_text(status));
      return TG_EXIT_FAILED;
    }
    complain(0, "no control socket: %s; `tidegate reload` and `status` will not work",
             tg_status_text(status));
  }
  process->tls = tg_tls_sites_open(process, generation, &status);
  if (status) return complain(TG_EXIT_FAILED, "no TLS: %s", tg_status_text(status));
  int failed = open_loops(process);
  if (failed) return failed;
  if (tg_rights_end()) return complain(TG_EXIT_FAILED, "%s", "root's rights cannot be given up");
  open_logs(process, &generation->config);
  tg_reload_publish(process, generation);
  bool changed = process->build_again; /* SIGHUP has come meanwhile */
  for (unsigned i = 0; i < process->loop_count; i++) {
    TG_CHECK(tg_loop_thread_start(process->loops[i]) == TG_OK);
    process->loops_left++;
  }
  share_sockets(process);
  open_watcher(process);
  tg_tls_sites_watch(process->tls);
  announce(process);
  if (geteuid() == 0)
    tg_process_say(process, TG_LOG_INFO,
                   "running as root, scripts too; --user NAME gives those rights up", NULL, NULL);
  if (process->options->dev) print_banner(process);
  if (changed) tg_process_reload(process, NULL, NULL);
  tg_loop_run(&process->control);
  return process->exit_status;
}

/* ---- the whole life ---- */

/* The files of unix sockets that we listened on, also where another address was taken. */
static void remove_sockets(struct tg_process *process) {
  const struct tg_loop_thread *first = process->loops ? process->loops[0] : NULL;
  for (size_t i = 0; first && i < first->listener_count; i++)
    if (tg_address_is_unix(&process->addresses[i]))
      (void)unlink(process->addresses[i].addr.un.sun_path);
}

static void close_all(struct tg_process *process, struct tg_shutdown *signals) {
  bool clean = true;
  for (unsigned i = 0; i < process->pool_count; i++)
    clean = tg_worker_pool_close(process->pools[i], TG_SECOND) && clean;
  process->stopping = true;
  /* whoever waits for a reload is told before the socket goes */
  while (process->building) uv_run(&process->control.uv, UV_RUN_ONCE);
  if (process->control_server) tg_control_close(process->control_server);
  remove_sockets(process);
  struct tg_generation *current = atomic_exchange(&process->current, NULL);
  if (current) tg_generation_release(current);
  tg_groups_stop(process->host.groups);
  if (process->watcher) tg_watcher_close(process->watcher);
  tg_tls_sites_stop(process->tls);
  tg_builder_free(process->builder);
  tg_shutdown_close(process, signals);
  tg_log_free(process->access_log, TG_SECOND);
  tg_log_free(process->host.log, TG_SECOND);
  for (unsigned i = 0; process->loops && i < process->loop_count && process->loops[i]; i++)
    clean = tg_pool_settle(&process->loops[i]->loop, TG_SECOND) && clean;
  if (!clean) _exit(process->exit_status); /* a thread is stuck in C code: its memory stays */
  tg_watchdog_free(process->watchdog);
  tg_shared_registry_free(process->host.shared);
  tg_loop_deinit(&process->control);
  for (unsigned i = 0; process->loops && i < process->loop_count && process->loops[i]; i++) {
    tg_loop_thread_deinit(process->loops[i]);
    free(process->loops[i]);
  }
  tg_groups_free(process->host.groups); /* a loop that ends gives its mirrored requests up */
  tg_gates_free(process->host.gates);
  tg_tls_clients_free(process->host.tls_clients);
  free(process->loops);
  tg_tls_sites_free(process->tls);
  tg_tls_tickets_release(process->tickets);
  free(process->addresses);
  free(process->last_error);
  tg_dev_notes_deinit(&process->dev_notes);
  free((char *)process->host.app_dir);
}

/* Before anything of the application is read. */
static int lower_rights(const struct tg_process *process) {
  const char *name = process->options->user;
  tg_status status = name ? tg_rights_begin(name) : TG_OK;
  if (status == TG_ENOT_FOUND)
    return complain(TG_EXIT_FAILED, "--user: there is no user named %s", name);
  if (status)
    return complain(TG_EXIT_FAILED, "--user: the rights of %s cannot be taken; only root may",
                    name);
  return TG_EXIT_OK;
}

static int boot(struct tg_process *process) {
  /* Threads that are there lose all of root's rights; those begun later would have what main keeps
   * for its listeners. */
  if (process->options->user) tg_pool_start(process->pool_is_sized);
  int failed = lower_rights(process);
  if (failed) return failed;
  struct tg_generation *generation = build_first(process, false);
  if (!generation && process->options->dev && !process->stopping)
    generation = build_first(process, true); /* its errors are the page on every path */
  if (process->stopping) {                   /* before it has served */
    if (generation) tg_reload_discard(process, generation);
    return TG_EXIT_OK;
  }
  if (!generation) return TG_EXIT_FAILED;
  take_settings(process, generation);
  failed = take_addresses(process, generation);
  if (!failed) failed = serve(process, generation);
  if (failed && !atomic_load(&process->current)) tg_reload_discard(process, generation);
  return failed;
}

static int serve_process(void *arg, struct tg_supervision *supervision) {
  const struct tg_options *options = arg;
  struct tg_process process = {
      .options = options, .supervision = supervision, .started = tg_clock_wall()};
  struct tg_shutdown signals = {0};
  char *dir = realpath(options->dir, NULL);
  if (!dir) return complain(TG_EXIT_FAILED, "no such folder: %s", options->dir);
  process.pool_is_sized = tg_pool_set_size(POOL_THREADS);
  process.main_pid = supervision->channel >= 0 ? getppid() : getpid();
  tg_list_init(&process.waiting);
  tg_list_init(&process.told);
  tg_settings_init(&process.settings);
  process.host = (struct tg_host){.settings = &process.settings,
                                  .log = tg_log_new(STDERR_FILENO, 0),
                                  .shared = tg_shared_registry_new(tg_clock_now),
                                  .gates = tg_gates_new(),
                                  .tls_clients = tg_tls_clients_new(),
                                  .lua_dir = options->lua_dir,
                                  .watch_signal = tg_signals_watch,
                                  .app_dir = dir,
                                  .dev = options->dev,
                                  .trace = options->trace,
                                  .process = &process,
                                  .run_job = tg_dispatch_job,
                                  .run_on_loop = tg_dispatch_call,
                                  .look = tg_worker_look,
                                  .load_errors = options->dev ? tg_dev_load_errors : NULL};
  tg_dev_notes_init(&process.dev_notes);
  process.host.groups = tg_groups_new(process.host.log, NULL);
  TG_CHECK(process.host.log && process.host.shared && process.host.gates &&
           process.host.tls_clients && process.host.groups);
  tg_forwarder_init(&process.forwarder, process.host.log, process.host.groups);
  process.host.forwarder = &process.forwarder;
  if (isatty(STDERR_FILENO))
    tg_log_set_form(process.host.log, getenv("NO_COLOR") ? TG_LOG_READABLE : TG_LOG_COLOUR);
  TG_CHECK(tg_loop_init(&process.control, 0) == TG_OK);
  process.watchdog = tg_watchdog_new();
  process.builder = tg_builder_new(process.watchdog);
  process.tickets = tg_tls_tickets_new(tg_clock_now);
  TG_CHECK(process.watchdog && process.builder && process.tickets);
  tg_shutdown_open(&process, &signals);
  int status = boot(&process);
  close_all(&process, &signals);
  return status;
}

int tg_process_main(const struct tg_options *options) {
  if (strcmp(options->command, "run") == 0 && !options->alone)
    return tg_supervisor_run(serve_process, (void *)options);
  struct tg_supervision alone = {.channel = -1};
  return serve_process((void *)options, &alone);
}
