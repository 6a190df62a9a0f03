/* Boot, reload and shutdown, in the order of a process's life. All of it runs on the main thread;
 * other threads are told by letters and tell by letters. */
#include "app/process.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/builder.h"
#include "app/control.h"
#include "app/loop_thread.h"
#include "app/status_report.h"
#include "app/watchdog.h"
#include "app/watcher.h"
#include "app/worker_job.h"
#include "base/check.h"
#include "base/log_record.h"
#include "bind/handler.h"
#include "loop/thread.h"
#include "store/shared.h"

struct tg_reload_waiter {
  struct tg_list link;
  tg_reload_cb done;
  void *owner;
};

struct main_signals {
  uv_signal_t handles[5];
  struct tg_process *process;
  struct tg_timer drain;
  struct tg_timer last;
};

/* ---- an exchange whose route was found ---- */

static void handle(struct tg_exchange *exchange) {
  struct tg_generation *generation = exchange->routing->owner;
  struct tg_process *process = generation->process;
  int pool = exchange->route->pool;
  if (pool >= 0) {
    tg_worker_pool_submit(process->pools[pool], generation, exchange);
    return;
  }
  struct tg_vm *vm = generation->vms[exchange->server->loop->index];
  struct tg_app_state *state = vm->owner;
  tg_handler_start(vm, exchange, state->run_refs[exchange->match.route]);
}

/* Jobs go to the default pool, and from loops only: while the builder runs a state's hooks, nobody
 * promises that the pool is there. */
static tg_status run_job(struct tg_vm *vm, struct tg_job *job) {
  struct tg_process *process = vm->host->process;
  struct tg_app_state *state = vm->owner;
  bool serves = state->generation->process && vm->loop == &process->loops[vm->index]->loop;
  if (!serves) return TG_EUNSUPPORTED;
  return tg_worker_job_give(process->pools[0], state->generation, vm->loop, job);
}

/* ---- pools ---- */

static void watch_worker(void *owner, struct tg_watch *watch, bool begins) {
  struct tg_process *process = owner;
  if (begins)
    tg_watchdog_add(process->watchdog, watch);
  else
    tg_watchdog_remove(process->watchdog, watch);
}

static int find_pool(const struct tg_process *process, const char *name) {
  for (unsigned i = 0; i < process->pool_count; i++)
    if (strcmp(process->pool_names[i], name) == 0) return (int)i;
  return -1;
}

static void limits_of(const struct tg_process *process, const struct tg_config_pool *row,
                      struct tg_worker_limits *limits) {
  const struct tg_settings *settings = &process->settings;
  *limits = (struct tg_worker_limits){.size = (unsigned)settings->workers_size,
                                      .queue = (unsigned)settings->workers_queue,
                                      .max_wait = settings->workers_max_wait};
  snprintf(limits->name, sizeof limits->name, "%s", row ? row->name : "default");
  if (row && row->size) limits->size = row->size;
  if (row && row->queue) limits->queue = row->queue;
  if (row && row->max_wait) limits->max_wait = row->max_wait;
}

/* Finds or makes the pool of a configuration's row (NULL: the default one). */
static int need_pool(struct tg_process *process, const struct tg_config_pool *row) {
  struct tg_worker_limits limits;
  limits_of(process, row, &limits);
  int found = find_pool(process, limits.name);
  if (found >= 0) {
    tg_worker_pool_set_limits(process->pools[found], &limits);
    return found;
  }
  if (process->pool_count == TG_POOLS_MAX) return 0;
  struct tg_worker_pool *pool = tg_worker_pool_new(&process->host, &limits);
  if (!pool) return 0;
  tg_worker_pool_set_watch(pool, watch_worker, process);
  memcpy(process->pool_names[process->pool_count], limits.name, sizeof limits.name);
  process->pools[process->pool_count] = pool;
  return (int)process->pool_count++;
}

/* Routes name pools by their place in the configuration; pools outlive configurations. */
static void resolve_pools(struct tg_process *process, struct tg_generation *generation) {
  int place[TG_POOLS_MAX + 1] = {0};
  place[0] = need_pool(process, NULL);
  for (size_t i = 0; i < generation->config.pool_count && i < TG_POOLS_MAX; i++)
    place[i + 1] = need_pool(process, &generation->config.pools[i]);
  for (uint32_t i = 0; i < generation->route_count; i++) {
    int pool = generation->routes[i].pool;
    if (pool >= 0) generation->routes[i].pool = pool <= TG_POOLS_MAX ? place[pool] : 0;
  }
}

/* ---- generations ---- */

static void publish(struct tg_process *process, struct tg_generation *generation) {
  generation->process = process;
  resolve_pools(process, generation);
  for (unsigned i = 0; i < process->loop_count; i++) {
    generation->vms[i]->loop = &process->loops[i]->loop;
    generation->vms[i]->watch = &process->loops[i]->watch;
  }
  struct tg_generation *old = atomic_exchange(&process->current, generation);
  if (!old) return;
  for (unsigned i = 0; i < process->loop_count; i++) tg_loop_thread_retire(process->loops[i], old);
  for (unsigned i = 0; i < process->pool_count; i++)
    tg_worker_pool_retire(process->pools[i], generation);
  tg_generation_release(old);
}

static void discard(struct tg_process *process, struct tg_generation *generation) {
  for (unsigned i = 0; i < generation->vm_count; i++)
    tg_builder_close_vm(process->builder, generation->vms[i]);
  tg_generation_release(generation);
}

static void say(struct tg_process *process, enum tg_log_level level, const char *message,
                const char *key, const char *value) {
  struct tg_log_record record;
  if (!tg_log_enabled(process->host.log, level)) return;
  tg_log_record_begin(&record, process->host.log, level, tg_slice_cstr(message));
  if (key) tg_log_record_text(&record, key, tg_slice_cstr(value));
  tg_log_record_end(&record, process->host.log);
}

static void note_outcome(struct tg_process *process, struct tg_generation *generation,
                         const struct tg_load_errors *errors, uint64_t took) {
  free(process->last_error);
  process->last_error = NULL;
  if (generation) {
    char text[128];
    snprintf(text, sizeof text, "generation %llu, %u routes, %.1f ms",
             (unsigned long long)generation->number, generation->route_count, (double)took / 1e6);
    process->reloads++;
    say(process, TG_LOG_INFO, "reloaded", "now", text);
    return;
  }
  process->failed_reloads++;
  process->last_error = strdup(errors->text ? errors->text : "");
  if (process->options->dev && errors->text)
    fprintf(stderr, "\n%s\nthe last good version goes on serving\n", errors->text);
  else
    say(process, TG_LOG_ERROR, "reload failed; the last good version goes on serving", "errors",
        errors->text ? errors->text : "");
}

static void start_build(struct tg_process *process);

static void on_rebuilt(void *owner, struct tg_generation *generation,
                       const struct tg_load_errors *errors, uint64_t took) {
  struct tg_process *process = owner;
  struct tg_list waiting;
  tg_list_init(&waiting);
  process->building = false;
  if (process->stopping) {
    if (generation) discard(process, generation);
    generation = NULL;
    tg_list_move(&process->told, &process->waiting);
  }
  tg_list_move(&waiting, &process->told);
  if (!process->stopping) note_outcome(process, generation, errors, took);
  if (generation) {
    publish(process, generation);
    if (process->watcher) tg_watcher_set_hash(process->watcher, generation->bundle->hash);
  }
  uint64_t number = atomic_load(&process->current)->number;
  struct tg_list *link;
  while ((link = tg_list_take_first(&waiting))) {
    struct tg_reload_waiter *waiter = TG_CONTAINER(link, struct tg_reload_waiter, link);
    if (waiter->done) waiter->done(waiter->owner, number, generation ? NULL : errors);
    free(waiter);
  }
  if (process->build_again && !process->stopping) start_build(process);
}

static void describe_build(struct tg_process *process, struct tg_build *build) {
  *build = (struct tg_build){
      .host = &process->host,
      .dir = process->host.app_dir,
      .config = process->options->config,
      .number = ++process->next_generation,
      .loops = (int)process->loop_count,
      .start_hooks = true,
      .handle = handle,
  };
}

static void start_build(struct tg_process *process) {
  struct tg_build build;
  process->building = true;
  process->build_again = false;
  tg_list_move(&process->told, &process->waiting);
  describe_build(process, &build);
  tg_builder_build(process->builder, &build, &process->control, on_rebuilt, process);
}

void tg_process_reload(struct tg_process *process, tg_reload_cb done, void *owner) {
  struct tg_reload_waiter *waiter = tg_check_calloc(1, sizeof *waiter);
  waiter->done = done;
  waiter->owner = owner;
  tg_list_append(&process->waiting, &waiter->link);
  if (process->building)
    process->build_again = true;
  else
    start_build(process);
}

static void on_changed(void *owner) {
  tg_process_reload(owner, NULL, NULL);
}

/* ---- shutdown ---- */

static void on_last_resort(struct tg_timer *timer) {
  (void)timer;
  fputs("tidegate: some work did not end in time; ending without it\n", stderr);
  _exit(TG_EXIT_FAILED);
}

static void on_drain_over(struct tg_timer *timer) {
  struct main_signals *signals = TG_CONTAINER(timer, struct main_signals, drain);
  struct tg_process *process = signals->process;
  for (unsigned i = 0; i < process->loop_count; i++) tg_loop_thread_stop(process->loops[i], true);
  (void)!tg_timer_start(&process->control.timers, &signals->last, tg_clock_now() + 2 * TG_SECOND,
                        on_last_resort);
}

static void start_drain(struct tg_process *process) {
  struct main_signals *signals = process->signals;
  process->stopping = true;
  if (process->watcher) tg_watcher_close(process->watcher);
  process->watcher = NULL;
  say(process, TG_LOG_INFO, "stopping: finishing what was begun", NULL, NULL);
  for (unsigned i = 0; i < process->loop_count; i++) tg_loop_thread_stop(process->loops[i], false);
  (void)!tg_timer_start(&process->control.timers, &signals->drain,
                        tg_clock_now() + process->settings.timeouts_drain, on_drain_over);
}

void tg_process_stop(struct tg_process *process) {
  struct main_signals *signals = process->signals;
  if (!process->stopping) {
    start_drain(process);
  } else if (tg_timer_active(&signals->drain)) {
    tg_timer_stop(&process->control.timers, &signals->drain);
    on_drain_over(&signals->drain);
  }
}

struct ended_letter {
  struct tg_letter letter;
  struct tg_process *process;
  struct tg_loop_thread *thread;
};

static void on_loop_ended(struct tg_letter *letter) {
  struct ended_letter *ended = TG_CONTAINER(letter, struct ended_letter, letter);
  struct tg_process *process = ended->process;
  pthread_join(ended->thread->thread, NULL);
  free(ended);
  if (--process->loops_left == 0) tg_loop_stop(&process->control);
}

void tg_process_loop_ended(struct tg_process *process, struct tg_loop_thread *thread) {
  struct ended_letter *ended = tg_check_calloc(1, sizeof *ended);
  *ended =
      (struct ended_letter){.letter.open = on_loop_ended, .process = process, .thread = thread};
  TG_CHECK(tg_mailbox_post(&process->control.mailbox, &ended->letter) == TG_OK);
}

/* ---- signals ---- */

static void on_signal(uv_signal_t *handle_, int number) {
  struct tg_process *process = handle_->data;
  switch (number) {
    case SIGTERM:
    case SIGINT: tg_process_stop(process); break;
    case SIGHUP:
      if (!process->stopping) tg_process_reload(process, NULL, NULL);
      break;
    default: break; /* SIGUSR1 and SIGPIPE end nothing */
  }
}

static void open_signals(struct tg_process *process, struct main_signals *signals) {
  static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGPIPE};
  signals->process = process;
  process->signals = signals;
  for (int i = 0; i < 5; i++) {
    uv_signal_init(&process->control.uv, &signals->handles[i]);
    signals->handles[i].data = process;
    uv_signal_start(&signals->handles[i], on_signal, numbers[i]);
    uv_unref((uv_handle_t *)&signals->handles[i]);
  }
}

static void close_signals(struct tg_process *process, struct main_signals *signals) {
  for (int i = 0; i < 5; i++) uv_close((uv_handle_t *)&signals->handles[i], NULL);
  tg_timer_stop(&process->control.timers, &signals->drain);
  tg_timer_stop(&process->control.timers, &signals->last);
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
  if (!generation) fputs(errors->text ? errors->text : "error: out of memory\n", stderr);
  tg_loop_stop(&first->process->control);
}

static struct tg_generation *build_first(struct tg_process *process) {
  struct first_build first = {.process = process};
  struct tg_build build;
  describe_build(process, &build);
  build.loops = process->options->loops > 0 ? process->options->loops : -1;
  tg_builder_build(process->builder, &build, &process->control, on_first_built, &first);
  /* The mailbox keeps the loop alive until the answer is there. */
  tg_loop_run(&process->control);
  return first.generation;
}

static unsigned cores(void) {
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n > 0 ? (unsigned)n : 1;
}

static void take_settings(struct tg_process *process, struct tg_generation *generation) {
  const struct tg_options *options = process->options;
  process->settings = generation->config.settings;
  if (options->workers > 0) process->settings.workers_size = (uint64_t)options->workers;
  if (!process->settings.workers_size)
    process->settings.workers_size = 2 * cores() > 8 ? 2 * cores() : 8;
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
    say(process, TG_LOG_WARN, "the supervisor could not be given the sockets", NULL, NULL);
}

static void announce(struct tg_process *process) {
  if (process->options->silent) return;
  for (size_t i = 0; i < process->address_count; i++) {
    char text[TG_ADDRESS_TEXT];
    tg_address_format(&process->addresses[i], text);
    fprintf(stderr, "tidegate: listening on %s%s\n",
            tg_address_is_unix(&process->addresses[i]) ? "" : "http://", text);
  }
}

static void print_watched(void *owner, const char *path) {
  (void)owner;
  fprintf(stderr, "            %s\n", path);
}

static void print_banner(struct tg_process *process) {
  struct tg_generation *generation = atomic_load(&process->current);
  fprintf(stderr, "\n  %u routes, reloaded when you save; watching\n", generation->route_count);
  if (process->watcher) tg_watcher_each(process->watcher, print_watched, NULL);
  fprintf(stderr, "  in production: tidegate run --dir %s\n\n", process->options->dir);
}

static void open_watcher(struct tg_process *process) {
  if (!process->options->dev && !process->options->watch) return;
  process->watcher = tg_watcher_open(&process->control, process->host.app_dir,
                                     process->options->config, on_changed, process);
  if (!process->watcher) {
    say(process, TG_LOG_WARN, "the folders cannot be watched; use `tidegate reload`", NULL, NULL);
    return;
  }
  tg_watcher_set_hash(process->watcher, atomic_load(&process->current)->bundle->hash);
}

/* Root is needed to open a low port and for nothing after: scripts must not have its rights. All
 * threads change, also those that run already. */
static int drop_rights(struct tg_process *process) {
  const char *name = process->options->user;
  if (!name) {
    if (geteuid() == 0)
      say(process, TG_LOG_INFO, "running as root, scripts too; --user NAME gives those rights up",
          NULL, NULL);
    return TG_EXIT_OK;
  }
  struct passwd *user = getpwnam(name);
  if (!user) return complain(TG_EXIT_FAILED, "--user: there is no user named %s", name);
  if (initgroups(name, user->pw_gid) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)
    return complain(TG_EXIT_FAILED, "--user: the rights of %s cannot be taken; only root may",
                    name);
  return TG_EXIT_OK;
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
  int failed = open_loops(process);
  if (!failed) failed = drop_rights(process);
  if (failed) return failed;
  publish(process, generation);
  for (unsigned i = 0; i < process->loop_count; i++) {
    TG_CHECK(tg_loop_thread_start(process->loops[i]) == TG_OK);
    process->loops_left++;
  }
  share_sockets(process);
  open_watcher(process);
  announce(process);
  if (process->options->dev) print_banner(process);
  tg_loop_run(&process->control);
  return process->exit_status;
}

/* ---- the whole life ---- */

/* The files of unix sockets that we listened on. */
static void remove_sockets(struct tg_process *process) {
  for (size_t i = 0; i < process->address_count; i++)
    if (tg_address_is_unix(&process->addresses[i]))
      (void)unlink(process->addresses[i].addr.un.sun_path);
}

static void close_all(struct tg_process *process, struct main_signals *signals) {
  bool clean = true;
  for (unsigned i = 0; i < process->pool_count; i++)
    clean = tg_worker_pool_close(process->pools[i], TG_SECOND) && clean;
  process->stopping = true;
  /* whoever waits for a reload is told before the socket goes */
  while (process->building) uv_run(&process->control.uv, UV_RUN_ONCE);
  if (process->control_server) tg_control_close(process->control_server);
  if (atomic_load(&process->current)) remove_sockets(process);
  struct tg_generation *current = atomic_exchange(&process->current, NULL);
  if (current) tg_generation_release(current);
  if (process->watcher) tg_watcher_close(process->watcher);
  tg_builder_free(process->builder);
  close_signals(process, signals);
  tg_log_free(process->access_log, TG_SECOND);
  tg_log_free(process->host.log, TG_SECOND);
  if (!clean) _exit(process->exit_status); /* a thread is stuck in C code: its memory stays */
  tg_watchdog_free(process->watchdog);
  tg_shared_registry_free(process->host.shared);
  tg_loop_deinit(&process->control);
  for (unsigned i = 0; process->loops && i < process->loop_count && process->loops[i]; i++) {
    tg_loop_thread_deinit(process->loops[i]);
    free(process->loops[i]);
  }
  free(process->loops);
  free(process->addresses);
  free(process->last_error);
  free((char *)process->host.app_dir);
}

static int boot(struct tg_process *process) {
  struct tg_generation *generation = build_first(process);
  if (!generation) return TG_EXIT_FAILED;
  take_settings(process, generation);
  open_logs(process, &generation->config);
  int failed = take_addresses(process, generation);
  if (!failed) failed = serve(process, generation);
  if (failed && !atomic_load(&process->current)) discard(process, generation);
  return failed;
}

static int serve_process(void *arg, struct tg_supervision *supervision) {
  const struct tg_options *options = arg;
  struct tg_process process = {
      .options = options, .supervision = supervision, .started = tg_clock_wall()};
  struct main_signals signals = {0};
  char *dir = realpath(options->dir, NULL);
  if (!dir) return complain(TG_EXIT_FAILED, "no such folder: %s", options->dir);
  process.main_pid = supervision->channel >= 0 ? getppid() : getpid();
  tg_list_init(&process.waiting);
  tg_list_init(&process.told);
  tg_settings_init(&process.settings);
  process.host = (struct tg_host){.settings = &process.settings,
                                  .log = tg_log_new(STDERR_FILENO, 0),
                                  .shared = tg_shared_registry_new(tg_clock_now),
                                  .lua_dir = options->lua_dir,
                                  .app_dir = dir,
                                  .dev = options->dev,
                                  .process = &process,
                                  .run_job = run_job};
  TG_CHECK(process.host.log && process.host.shared);
  if (isatty(STDERR_FILENO))
    tg_log_set_form(process.host.log, getenv("NO_COLOR") ? TG_LOG_READABLE : TG_LOG_COLOUR);
  TG_CHECK(tg_loop_init(&process.control, 0) == TG_OK);
  process.watchdog = tg_watchdog_new();
  process.builder = tg_builder_new(process.watchdog);
  TG_CHECK(process.watchdog && process.builder);
  open_signals(&process, &signals);
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
