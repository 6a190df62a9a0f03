/* See fs_notify.h. The kernel knows each watched folder by a number; a table, sorted by them, says
 * where it lies below the root. */
#include "await/fs_notify.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"

#define CREATED (IN_CREATE | IN_MOVED_TO)
#define DELETED (IN_DELETE | IN_MOVED_FROM)
#define CHANGED (IN_MODIFY | IN_ATTRIB)
#define GONE    (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)

/* As many as one read gives. */
#define BATCH 16384

struct tg_notify_place {
  int number;
  char *below; /* the root: "", "a", "a/b" */
};

/* ---- the table ---- */

static size_t find_index(const struct tg_notify *notify, int number) {
  size_t low = 0, high = notify->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (notify->places[middle].number < number)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static struct tg_notify_place *find_place(const struct tg_notify *notify, int number) {
  size_t i = find_index(notify, number);
  bool is_there = i < notify->count && notify->places[i].number == number;
  return is_there ? &notify->places[i] : NULL;
}

static void forget(struct tg_notify *notify, struct tg_notify_place *place) {
  size_t i = (size_t)(place - notify->places);
  free(place->below);
  notify->count--;
  memmove(place, place + 1, (notify->count - i) * sizeof *place);
}

static tg_status remember(struct tg_notify *notify, int number, const char *below) {
  char *copy = strdup(below);
  if (!copy) return TG_ENOMEM;
  struct tg_notify_place *old = find_place(notify, number);
  if (old) { /* a folder that was moved keeps its number */
    free(old->below);
    old->below = copy;
    return TG_OK;
  }
  if (notify->count == notify->cap) {
    size_t cap = notify->cap ? notify->cap * 2 : 8;
    struct tg_notify_place *places = realloc(notify->places, cap * sizeof *places);
    if (!places) {
      free(copy);
      return TG_ENOMEM;
    }
    notify->places = places;
    notify->cap = cap;
  }
  size_t i = find_index(notify, number);
  struct tg_notify_place *place = &notify->places[i];
  memmove(place + 1, place, (notify->count - i) * sizeof *place);
  *place = (struct tg_notify_place){number, copy};
  notify->count++;
  return TG_OK;
}

/* A folder below has been moved away with all that is in it. */
static void forget_below(struct tg_notify *notify, const char *below) {
  size_t len = strlen(below);
  for (size_t i = notify->count; i-- > 0;) {
    struct tg_notify_place *place = &notify->places[i];
    bool inside = strncmp(place->below, below, len) == 0 &&
                  (place->below[len] == 0 || place->below[len] == '/');
    if (!inside) continue;
    (void)inotify_rm_watch(notify->fd, place->number);
    forget(notify, place);
  }
}

/* ---- events ---- */

static bool tell(const struct tg_notify *notify, struct tg_list *events, const char *kind,
                 const char *below, const char *name) {
  size_t size = strlen(notify->shown) + strlen(below) + strlen(name) + 3;
  struct tg_fs_event *event = malloc(sizeof *event + size);
  if (!event) return false;
  event->kind = kind;
  const char *end = strrchr(notify->shown, '/');
  bool has_slash = end && !end[1];
  snprintf(event->path, size, "%s%s%s%s%s", notify->shown,
           has_slash || (!*below && !*name) ? "" : "/", below, *below && *name ? "/" : "", name);
  tg_list_append(events, &event->link);
  return true;
}

static bool join(char out[PATH_MAX], const char *front, const char *back) {
  const char *slash = *front && *back ? "/" : "";
  return snprintf(out, PATH_MAX, "%s%s%s", front, slash, back) < PATH_MAX;
}

/* Watches a folder and, with `recursive`, all below it. With `events`, what is found in it is told:
 * it may have come before the watch did. */
static tg_status add(struct tg_notify *notify, const char *below, struct tg_list *events) {
  char path[PATH_MAX];
  if (!join(path, notify->root, below)) return -ENAMETOOLONG;
  unsigned mask = CREATED | DELETED | CHANGED | GONE | IN_ONLYDIR | (*below ? IN_DONT_FOLLOW : 0);
  int number = inotify_add_watch(notify->fd, path, mask);
  if (number < 0) return errno == ENOSPC ? -EMFILE : -errno;
  tg_status status = remember(notify, number, below);
  DIR *folder = notify->recursive && !status ? opendir(path) : NULL;
  const struct dirent *entry;
  while (folder && !status && (entry = readdir(folder))) {
    char inner[PATH_MAX];
    struct stat st;
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (events && !tell(notify, events, "created", below, entry->d_name)) status = TG_ENOMEM;
    bool is_folder = entry->d_type == DT_DIR;
    if (entry->d_type == DT_UNKNOWN)
      is_folder = fstatat(dirfd(folder), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                  S_ISDIR(st.st_mode);
    if (status || !is_folder) continue;
    status = join(inner, below, entry->d_name) ? add(notify, inner, events) : -ENAMETOOLONG;
    /* gone again, or a link by now */
    if (status == -ENOENT || status == -ENOTDIR || status == -ELOOP) status = TG_OK;
  }
  if (folder) closedir(folder);
  return status;
}

static void take_overflow(struct tg_notify *notify, struct tg_list *events) {
  (void)tell(notify, events, "overflow", "", "");
  /* What has come meanwhile is watched from here on. */
  if (notify->recursive) (void)!add(notify, "", NULL);
}

static void take_folder(struct tg_notify *notify, const struct inotify_event *event,
                        const char *below, struct tg_list *events) {
  char inner[PATH_MAX];
  if (!join(inner, below, event->name)) return;
  if (event->mask & DELETED) forget_below(notify, inner);
  if (!(event->mask & CREATED)) return;
  tg_status status = add(notify, inner, events);
  if (status && status != -ENOENT && status != -ENOTDIR) take_overflow(notify, events);
}

static void take_end(struct tg_notify *notify, struct tg_list *events) {
  notify->ended = true;
  (void)tell(notify, events, "deleted", "", "");
}

static void take(struct tg_notify *notify, const struct inotify_event *event,
                 struct tg_list *events) {
  if (event->mask & IN_Q_OVERFLOW) {
    take_overflow(notify, events);
    return;
  }
  if (notify->ended) return;
  if (event->wd == notify->around) {
    bool is_gone = event->mask & DELETED && event->len && strcmp(event->name, notify->name) == 0;
    if (is_gone) take_end(notify, events);
    return;
  }
  struct tg_notify_place *place = find_place(notify, event->wd);
  if (!place) return;
  if (event->mask & GONE && !place->below[0]) take_end(notify, events);
  if (event->mask & IN_IGNORED) forget(notify, place);
  const char *kind = event->mask & CREATED   ? "created"
                     : event->mask & DELETED ? "deleted"
                     : event->mask & CHANGED ? "changed"
                                             : NULL;
  if (!kind || !event->len) return;
  if (notify->only && strcmp(notify->only, event->name) != 0) return;
  char below[PATH_MAX]; /* the table may move */
  if (!join(below, place->below, "")) return;
  bool told = tell(notify, events, kind, below, notify->only ? "" : event->name);
  if (!told) return;
  if (notify->recursive && event->mask & IN_ISDIR) take_folder(notify, event, below, events);
}

void tg_notify_drain(struct tg_notify *notify, struct tg_list *events) {
  _Alignas(struct inotify_event) char bytes[BATCH];
  ssize_t n = read(notify->fd, bytes, sizeof bytes);
  for (ssize_t at = 0; at < n;) {
    const struct inotify_event *event = (const void *)(bytes + at);
    at += (ssize_t)(sizeof *event + event->len);
    take(notify, event, events);
  }
}

/* ---- life ---- */

/* The kernel says that a folder itself is gone when the last file in it is closed, not before. The
 * folder around it knows better. */
static tg_status watch_around(struct tg_notify *notify) {
  char *whole = realpath(notify->root, NULL);
  if (!whole) return -errno;
  char *slash = strrchr(whole, '/');
  notify->name = strdup(slash + 1);
  slash[slash == whole] = 0;
  if (notify->name && notify->name[0])
    notify->around = inotify_add_watch(notify->fd, whole, DELETED | IN_ONLYDIR);
  free(whole);
  return notify->name ? TG_OK : TG_ENOMEM;
}

tg_status tg_notify_open(struct tg_notify *notify, const char *path, const char *shown,
                         bool recursive) {
  struct stat st;
  *notify = (struct tg_notify){.fd = -1, .around = -1, .recursive = recursive};
  if (stat(path, &st)) return -errno;
  notify->root = strdup(path);
  notify->shown = strdup(shown);
  if (!notify->root || !notify->shown) return TG_ENOMEM;
  char *slash = strrchr(notify->root, '/');
  if (!S_ISDIR(st.st_mode) && slash) {
    notify->recursive = false;
    notify->only = strdup(slash + 1);
    if (!notify->only) return TG_ENOMEM;
    slash[slash == notify->root] = 0;
  }
  notify->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (notify->fd < 0) return -errno;
  tg_status status = watch_around(notify);
  return status ? status : add(notify, "", NULL);
}

void tg_notify_close(struct tg_notify *notify) {
  if (notify->fd >= 0) close(notify->fd);
  for (size_t i = 0; i < notify->count; i++) free(notify->places[i].below);
  free(notify->places);
  free(notify->root);
  free(notify->shown);
  free(notify->only);
  free(notify->name);
  *notify = (struct tg_notify){.fd = -1};
}
