/* See tls_sites.h. */
#include "app/tls_sites.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/generation.h"
#include "app/process.h"
#include "app/tls_list.h"
#include "base/check.h"

#define LOOK_EVERY TG_SECOND

struct site {
  pthread_mutex_t lock;
  struct tg_tls_context *context; /* NULL: plain */
  char *address;                  /* as tidegate.lua has it; NULL: not of there */
  uint64_t loaded, seen;          /* stamps of the files: as they were read, at the last look */
};

struct tg_tls_sites {
  struct tg_process *process;
  struct tg_timer timer;
  size_t count;
  struct site all[];
};

/* ---- files ---- */

static uint64_t mix(uint64_t stamp, uint64_t value) {
  return (stamp ^ value) * UINT64_C(0x9e3779b97f4a7c15) + (stamp >> 29);
}

static uint64_t add_file(uint64_t stamp, const char *path) {
  struct stat st;
  if (!path) return mix(stamp, 1);
  if (stat(path, &st) != 0) return mix(stamp, 2);
  stamp = mix(mix(stamp, st.st_ino), st.st_dev);
  stamp = mix(mix(stamp, (uint64_t)st.st_size), (uint64_t)st.st_mtim.tv_sec);
  return mix(stamp, (uint64_t)st.st_mtim.tv_nsec);
}

static uint64_t stamp_of(const struct tg_tls_spec *spec) {
  uint64_t stamp = spec->count;
  for (size_t i = 0; i < spec->count; i++) {
    const struct tg_tls_certificate *certificate = &spec->certificates[i];
    stamp = add_file(add_file(stamp, certificate->cert_file), certificate->key_file);
    stamp = add_file(add_file(stamp, certificate->ocsp_file), certificate->client_ca_file);
  }
  return stamp;
}

/* ---- contexts ---- */

/* Takes the reference over. */
static void replace(struct site *site, struct tg_tls_context *context) {
  pthread_mutex_lock(&site->lock);
  struct tg_tls_context *old = site->context;
  site->context = context;
  pthread_mutex_unlock(&site->lock);
  tg_tls_context_release(old);
}

struct tg_tls_context *tg_tls_sites_hold(struct tg_tls_sites *sites, size_t index) {
  if (!tg_tls_sites_has(sites, index)) return NULL;
  struct site *site = &sites->all[index];
  pthread_mutex_lock(&site->lock);
  struct tg_tls_context *context = tg_tls_context_hold(site->context);
  pthread_mutex_unlock(&site->lock);
  return context;
}

/* It never changes: an address that is plain stays so. */
bool tg_tls_sites_has(const struct tg_tls_sites *sites, size_t index) {
  return sites && sites->all[index].context;
}

/* What the configuration says about the site's address now; the same place first, since an address
 * may be there twice (port 0). */
static const struct tg_tls_spec *find_spec(const struct tg_tls_sites *sites, size_t index,
                                           const struct tg_generation *generation) {
  const struct tg_config *config = &generation->config;
  const char *address = sites->all[index].address;
  if (!address || !sites->all[index].context) return NULL;
  for (size_t i = 0; i < config->tls_count; i++) {
    size_t at = (index + i) % config->tls_count;
    if (strcmp(config->listen[at], address) == 0 && config->tls[at].count) return &config->tls[at];
  }
  return NULL;
}

void tg_tls_sites_take(struct tg_tls_sites *sites, const struct tg_generation *generation) {
  for (size_t i = 0; sites && i < sites->count; i++) {
    struct site *site = &sites->all[i];
    const struct tg_tls_spec *spec = find_spec(sites, i, generation);
    if (!spec || !spec->context || spec->context == site->context) continue;
    replace(site, tg_tls_context_hold(spec->context));
    site->loaded = site->seen = stamp_of(spec);
  }
}

static void load(struct tg_tls_sites *sites, struct site *site, const struct tg_tls_spec *spec,
                 size_t number) {
  struct tg_process *process = sites->process;
  struct tg_tls_context *context = NULL;
  char why[TG_TLS_WHY] = "";
  if (tg_tls_list_make(spec, number, process->tickets, why, &context)) {
    tg_process_say(process, TG_LOG_ERROR, "certificates not reloaded; those before go on", "error",
                   why);
  } else {
    replace(site, context);
    tg_process_say(process, TG_LOG_INFO, "certificates reloaded", "listen", site->address);
  }
}

static void start_timer(struct tg_tls_sites *sites);

static void on_time(struct tg_timer *timer) {
  struct tg_tls_sites *sites = TG_CONTAINER(timer, struct tg_tls_sites, timer);
  const struct tg_generation *generation = atomic_load(&sites->process->current);
  for (size_t i = 0; i < sites->count; i++) {
    struct site *site = &sites->all[i];
    const struct tg_tls_spec *spec = find_spec(sites, i, generation);
    if (!spec) continue;
    uint64_t now = stamp_of(spec);
    if (now != site->loaded && now == site->seen) {
      site->loaded = now;
      load(sites, site, spec, (size_t)(spec - generation->config.tls) + 1);
    }
    site->seen = now;
  }
  start_timer(sites);
}

static void start_timer(struct tg_tls_sites *sites) {
  struct tg_loop *loop = &sites->process->control;
  if (tg_timer_start(&loop->timers, &sites->timer, tg_loop_time(loop) + LOOK_EVERY, on_time))
    tg_process_say(sites->process, TG_LOG_ERROR,
                   "certificates are not looked at any more; use `tidegate reload`", NULL, NULL);
}

/* ---- life ---- */

static tg_status open_site(struct tg_tls_sites *sites, size_t index,
                           const struct tg_generation *generation) {
  struct tg_process *process = sites->process;
  const struct tg_config *config = &generation->config;
  struct site *site = &sites->all[index];
  bool of_file = !process->options->listen_count && index < config->tls_count;
  if (of_file && config->tls[index].context) {
    site->address = strdup(config->listen[index]);
    if (!site->address) return TG_ENOMEM;
    site->context = tg_tls_context_hold(config->tls[index].context);
    site->loaded = site->seen = stamp_of(&config->tls[index]);
  } else if (process->options->tls && !tg_address_is_unix(&process->addresses[index])) {
    char why[TG_TLS_WHY];
    struct tg_tls_server_options own = {.tickets = process->tickets};
    return tg_tls_context_new_server(&own, why, sizeof why, &site->context);
  }
  return TG_OK;
}

struct tg_tls_sites *tg_tls_sites_open(struct tg_process *process,
                                       const struct tg_generation *generation, tg_status *status) {
  size_t count = process->address_count;
  struct tg_tls_sites *sites = tg_check_calloc(1, sizeof *sites + count * sizeof *sites->all);
  bool secured = false;
  sites->process = process;
  sites->count = count;
  *status = TG_OK;
  for (size_t i = 0; i < count; i++) {
    pthread_mutex_init(&sites->all[i].lock, NULL);
    if (*status == TG_OK) *status = open_site(sites, i, generation);
    secured = secured || sites->all[i].context;
  }
  if (secured && *status == TG_OK) return sites;
  tg_tls_sites_free(sites);
  return NULL;
}

void tg_tls_sites_watch(struct tg_tls_sites *sites) {
  if (sites) start_timer(sites);
}

void tg_tls_sites_stop(struct tg_tls_sites *sites) {
  if (sites) tg_timer_stop(&sites->process->control.timers, &sites->timer);
}

void tg_tls_sites_free(struct tg_tls_sites *sites) {
  if (!sites) return;
  for (size_t i = 0; i < sites->count; i++) {
    pthread_mutex_destroy(&sites->all[i].lock);
    tg_tls_context_release(sites->all[i].context);
    free(sites->all[i].address);
  }
  free(sites);
}
