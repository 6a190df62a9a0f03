/* A host, a loop and a thread for one command. */
#include "app/offline.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/watchdog.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "loop/thread.h"
#include "net/tls_clients.h"
#include "store/shared.h"
#include "upstream/gates.h"
#include "upstream/groups.h"

struct job {
  const struct tg_options *options;
  int (*body)(struct tg_offline *offline);
  char *dir;
  int exit;
};

static struct tg_log *open_log(const struct tg_options *options) {
  struct tg_log *log = tg_log_new(STDERR_FILENO, 0);
  enum tg_log_level level = options->verbose ? TG_LOG_DEBUG : TG_LOG_WARN;
  TG_CHECK(log);
  if (options->log_level) tg_log_level_find(tg_slice_cstr(options->log_level), &level);
  tg_log_set_level(log, level);
  tg_log_set_form(log, TG_LOG_READABLE);
  return log;
}

static void close_generation(struct tg_generation *generation) {
  if (!generation) return;
  for (unsigned i = 0; i < generation->vm_count; i++) tg_generation_free_vm(generation->vms[i]);
  tg_generation_release(generation);
}

static void *on_thread(void *arg) {
  struct job *job = arg;
  struct tg_offline offline = {.options = job->options};
  tg_settings_init(&offline.settings);
  offline.host = (struct tg_host){.settings = &offline.settings,
                                  .log = open_log(job->options),
                                  .app_dir = job->dir,
                                  .shared = tg_shared_registry_new(tg_clock_now),
                                  .gates = tg_gates_new(),
                                  .tls_clients = tg_tls_clients_new(),
                                  .groups = tg_groups_new(NULL, NULL),
                                  .lua_dir = job->options->lua_dir};
  offline.watchdog = tg_watchdog_new();
  TG_CHECK(offline.host.shared && offline.host.gates && offline.host.tls_clients &&
           offline.host.groups && offline.watchdog && tg_loop_init(&offline.loop, 0) == TG_OK);
  tg_watchdog_add(offline.watchdog, &offline.watch);
  job->exit = job->body(&offline);
  close_generation(offline.generation);
  tg_watchdog_remove(offline.watchdog, &offline.watch);
  tg_watchdog_free(offline.watchdog);
  tg_loop_deinit(&offline.loop);
  tg_groups_free(offline.host.groups);
  tg_gates_free(offline.host.gates);
  tg_tls_clients_free(offline.host.tls_clients);
  tg_shared_registry_free(offline.host.shared);
  tg_log_free(offline.host.log, TG_SECOND);
  return NULL;
}

int tg_offline_run(const struct tg_options *options, int (*body)(struct tg_offline *offline)) {
  struct job job = {.options = options, .body = body, .dir = realpath(options->dir, NULL)};
  pthread_t thread;
  if (!job.dir) {
    fprintf(stderr, "error: no such folder: %s\n", options->dir);
    return TG_EXIT_FAILED;
  }
  tg_status status = tg_thread_start(&thread, "offline", on_thread, &job);
  if (status) {
    fprintf(stderr, "error: no thread: %s\n", tg_status_text(status));
    job.exit = TG_EXIT_FAILED;
  } else {
    pthread_join(thread, NULL);
  }
  free(job.dir);
  return job.exit;
}

bool tg_offline_has_application(const struct tg_offline *offline) {
  char path[4096];
  snprintf(path, sizeof path, "%.4000s/routes", offline->host.app_dir);
  return access(path, F_OK) == 0 || offline->options->config;
}

int tg_offline_load(struct tg_offline *offline) {
  const struct tg_options *options = offline->options;
  struct tg_build build = {.host = &offline->host,
                           .loop = &offline->loop,
                           .dir = offline->host.app_dir,
                           .config = options->config,
                           .number = 1,
                           .watch = &offline->watch,
                           .opens_tls = strcmp(options->command, "check") == 0,
                           .loops = 0};
  struct tg_load_errors errors;
  offline->generation = tg_generation_build(&build, &errors);
  if (offline->generation) {
    const struct tg_config *config = &offline->generation->config;
    if (tg_groups_apply(offline->host.groups, config->upstreams, config->upstream_count, 1) ==
        TG_OK)
      return TG_EXIT_OK;
    fputs("error: out of memory\n", stderr);
    return TG_EXIT_FAILED;
  }
  if (options->json)
    printf("%s\n", errors.json ? errors.json : "[]");
  else
    fputs(errors.text ? errors.text : "error: out of memory\n", stderr);
  tg_load_errors_deinit(&errors);
  return TG_EXIT_FAILED;
}
