/* See tls_clients.h. A short list, the last used first: contexts are large, and who would make ever
 * new ones only makes the oldest go. */
#include "net/tls_clients.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/list.h"

#define KEPT 32u

#define FILES 3

struct file_state {
  char *path; /* NULL: none */
  struct timespec changed;
  off_t size;
  ino_t inode;
};

struct entry {
  struct tg_list link;
  struct tg_tls_context *context; /* held */
  bool verify;
  enum tg_tls_version min;
  struct file_state files[FILES];
};

struct tg_tls_clients {
  pthread_mutex_t lock;
  struct tg_list entries;
  unsigned count;
};

static const char *file_of(const struct tg_tls_client_options *options, int which) {
  const char *const files[FILES] = {options->ca_file, options->cert_file, options->key_file};
  return files[which];
}

static struct file_state look_at(const char *path) {
  struct file_state state = {0};
  struct stat info;
  if (path && stat(path, &info) == 0) {
    state.changed = info.st_mtim;
    state.size = info.st_size;
    state.inode = info.st_ino;
  }
  return state;
}

/* It is in no list any more. */
static void free_entry(struct entry *entry) {
  tg_tls_context_release(entry->context);
  for (int i = 0; i < FILES; i++) free(entry->files[i].path);
  free(entry);
}

static void drop(struct tg_tls_clients *clients, struct entry *entry) {
  tg_list_remove(&entry->link);
  clients->count--;
  free_entry(entry);
}

struct tg_tls_clients *tg_tls_clients_new(void) {
  struct tg_tls_clients *clients = calloc(1, sizeof *clients);
  if (!clients) return NULL;
  TG_CHECK(pthread_mutex_init(&clients->lock, NULL) == 0);
  tg_list_init(&clients->entries);
  return clients;
}

void tg_tls_clients_free(struct tg_tls_clients *clients) {
  if (!clients) return;
  struct tg_list *link;
  while ((link = tg_list_take_first(&clients->entries)))
    free_entry(TG_CONTAINER(link, struct entry, link));
  pthread_mutex_destroy(&clients->lock);
  free(clients);
}

static bool same_text(const char *a, const char *b) {
  return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_options(const struct entry *entry, const struct tg_tls_client_options *options) {
  for (int i = 0; i < FILES; i++)
    if (!same_text(entry->files[i].path, file_of(options, i))) return false;
  return entry->verify == options->verify && entry->min == options->min;
}

static bool is_fresh(const struct entry *entry) {
  for (int i = 0; i < FILES; i++) {
    const struct file_state *then = &entry->files[i];
    struct file_state now = look_at(then->path);
    if (now.changed.tv_sec != then->changed.tv_sec || now.changed.tv_nsec != then->changed.tv_nsec)
      return false;
    if (now.size != then->size || now.inode != then->inode) return false;
  }
  return true;
}

/* One that is stale goes. */
static struct entry *find(struct tg_tls_clients *clients,
                          const struct tg_tls_client_options *options) {
  struct tg_list *list = &clients->entries;
  for (struct tg_list *link = list->next; link != list; link = link->next) {
    struct entry *entry = TG_CONTAINER(link, struct entry, link);
    if (!same_options(entry, options)) continue;
    if (is_fresh(entry)) {
      tg_list_remove(link);
      tg_list_prepend(list, link);
      return entry;
    }
    drop(clients, entry);
    return NULL;
  }
  return NULL;
}

/* Before the files are read: what changes meanwhile is seen the next time. */
static struct entry *new_entry(const struct tg_tls_client_options *options) {
  struct entry *entry = calloc(1, sizeof *entry);
  if (!entry) return NULL;
  tg_list_init(&entry->link);
  entry->verify = options->verify;
  entry->min = options->min;
  for (int i = 0; i < FILES; i++) {
    const char *path = file_of(options, i);
    entry->files[i] = look_at(path);
    entry->files[i].path = path ? strdup(path) : NULL;
  }
  return entry;
}

static tg_status make(struct tg_tls_clients *clients, const struct tg_tls_client_options *options,
                      char *why, size_t why_size, struct entry **made) {
  struct entry *entry = new_entry(options);
  if (!entry) return TG_ENOMEM;
  tg_status status = tg_tls_context_new_client(options, why, why_size, &entry->context);
  if (status) {
    for (int i = 0; i < FILES; i++) free(entry->files[i].path);
    free(entry);
    return status;
  }
  tg_list_prepend(&clients->entries, &entry->link);
  if (++clients->count > KEPT)
    drop(clients, TG_CONTAINER(clients->entries.prev, struct entry, link));
  *made = entry;
  return TG_OK;
}

tg_status tg_tls_clients_get(struct tg_tls_clients *clients,
                             const struct tg_tls_client_options *options, char *why,
                             size_t why_size, struct tg_tls_context **context) {
  tg_status status = TG_OK;
  pthread_mutex_lock(&clients->lock); /* also while files are read: nobody reads them twice */
  struct entry *entry = find(clients, options);
  if (!entry) status = make(clients, options, why, why_size, &entry);
  if (status == TG_OK) *context = tg_tls_context_hold(entry->context);
  pthread_mutex_unlock(&clients->lock);
  return status;
}

/* What is wrong with them is told to who asks for them. */
void tg_tls_clients_prepare(struct tg_tls_clients *clients) {
  const struct tg_tls_client_options options = {.verify = true};
  struct tg_tls_context *context;
  char why[TG_TLS_WHY];
  if (tg_tls_clients_get(clients, &options, why, sizeof why, &context) == TG_OK)
    tg_tls_context_release(context);
}
