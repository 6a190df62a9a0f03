/* From inotify's hints to "the contents have changed".
 *
 * A scan (off the loop) walks the application, lists the folders to watch, and hashes. On the loop
 * its list becomes the watches: new ones are added, others closed. As something may have happened
 * in a folder before its watch was there, a scan that adds a watch is followed by another.
 *
 * Folders of routes, modules and templates are watched whole. Where only one name in a folder
 * matters (the application itself, a symbolic link, the file that one leads to), others in it, like
 * a database or a log, wake nobody. */
#include "app/watcher.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/bundle.h"
#include "app/source_tree.h"
#include "base/check.h"

#define SILENCE  (50 * 1000000ull)
#define NOISE    (500 * 1000000ull)
#define HOPS_MAX 40 /* links on the way to one file, as in the kernel */

/* What a scan wants watched. */
struct place {
  char *folder; /* no links in it */
  char *name;   /* NULL: everything in it */
};

struct places {
  struct place *rows;
  size_t count, cap;
};

struct watch {
  struct tg_list link;
  struct tg_watcher *watcher;
  uv_fs_event_t event;
  char *folder;
  struct places names; /* whose `name` matters; a row with NULL: everything */
  bool stale;          /* the folder itself was moved or deleted: the kernel has let it go */
  bool wanted;
};

struct scan {
  uv_work_t work;
  struct tg_watcher *watcher;
  struct places places;
  tg_status status;
  uint64_t hash;
};

struct tg_watcher {
  struct tg_loop *loop;
  const char *dir, *config;
  void (*changed)(void *owner);
  void *owner;
  struct tg_list watches;
  unsigned open; /* handles that are not closed yet */
  struct scan scan;
  bool scanning;
  bool again; /* something happened during the scan */
  bool has_hash;
  uint64_t hash;
  struct tg_timer timer;
  uint64_t since; /* first event of this burst */
  bool closing;
};

/* --- places ----------------------------------------------------------------------------------- */

static void places_add(struct places *places, const char *folder, const char *name) {
  if (places->count == places->cap) {
    places->cap = places->cap ? places->cap * 2 : 16;
    places->rows = realloc(places->rows, places->cap * sizeof *places->rows);
    TG_CHECK(places->rows);
  }
  places->rows[places->count++] =
      (struct place){folder ? tg_check_strdup(folder) : NULL, name ? tg_check_strdup(name) : NULL};
}

static void places_deinit(struct places *places) {
  for (size_t i = 0; i < places->count; i++) {
    free(places->rows[i].folder);
    free(places->rows[i].name);
  }
  free(places->rows);
  *places = (struct places){0};
}

static int compare_places(const void *a, const void *b) {
  const struct place *x = a, *y = b;
  int order = strcmp(x->folder, y->folder);
  if (order) return order;
  return strcmp(x->name ? x->name : "", y->name ? y->name : "");
}

/* Cuts the last step off a path without links: "/a/b" -> "/a", "/a" -> "/". */
static void cut_last(char *path) {
  char *slash = strrchr(path, '/');
  if (slash == path) slash++;
  *slash = 0;
}

/* Puts the target of the link in front of what is left of the way. False where it has no end. */
static bool follow_link(const char *link, char *here, char *rest) {
  char target[PATH_MAX], joined[PATH_MAX];
  ssize_t len = readlink(link, target, sizeof target - 1);
  if (len <= 0) return false;
  target[len] = 0;
  if ((size_t)len + 1 + strlen(rest) >= sizeof joined) return false;
  memcpy(joined, target, (size_t)len);
  joined[len] = '/';
  memcpy(joined + len + 1, rest, strlen(rest) + 1);
  memcpy(rest, joined, strlen(joined) + 1);
  if (target[0] == '/') memcpy(here, "/", 2);
  return true;
}

/* Goes the way of `path` step by step, as the kernel does, and adds every name on it that, changed,
 * would lead elsewhere: each link, the file at the end, and the first step that is missing. */
static void add_way(struct places *places, const char *path) {
  char here[PATH_MAX] = "/", rest[PATH_MAX], step[PATH_MAX], next[2 * PATH_MAX];
  int hops = 0;
  if (strlen(path) >= sizeof rest) return;
  memcpy(rest, path, strlen(path) + 1);
  while (rest[0]) {
    size_t len = strcspn(rest, "/");
    memcpy(step, rest, len);
    step[len] = 0;
    memmove(rest, rest + len + (rest[len] == '/'), strlen(rest) - len + (rest[len] != '/'));
    if (len == 0 || strcmp(step, ".") == 0) continue;
    if (strcmp(step, "..") == 0) {
      cut_last(here);
      continue;
    }
    struct stat st;
    int n = snprintf(next, sizeof next, "%s/%s", strcmp(here, "/") == 0 ? "" : here, step);
    if (n >= PATH_MAX) return;
    bool is_there = lstat(next, &st) == 0;
    if (!is_there || !S_ISDIR(st.st_mode)) places_add(places, here, step);
    if (!is_there) return;
    if (!S_ISLNK(st.st_mode))
      memcpy(here, next, (size_t)n + 1);
    else if (++hops > HOPS_MAX || !follow_link(next, here, rest))
      return;
  }
}

static void add_child(struct places *places, const char *dir, const char *name) {
  char path[PATH_MAX];
  if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path) return;
  add_way(places, path);
  char *folder = realpath(dir, NULL);
  if (folder) places_add(places, folder, name);
  free(folder);
}

/* The name of the application in the folder around it, so that a move to or from it is seen. */
static void add_dir(struct places *places, const char *dir) {
  char *folder = realpath(dir, NULL);
  add_way(places, dir);
  if (folder && strcmp(folder, "/") != 0) {
    char *name = tg_check_strdup(strrchr(folder, '/') + 1);
    cut_last(folder);
    places_add(places, folder, name);
    free(name);
  }
  free(folder);
}

static void list_places(struct places *places, const struct tg_source_tree *tree,
                        const char *config) {
  for (size_t i = 0; i < tree->folder_count; i++) {
    char *folder = realpath(tree->folders[i], NULL);
    if (folder) places_add(places, folder, NULL);
    free(folder);
  }
  for (size_t i = 0; i < tree->link_count; i++) add_way(places, tree->links[i]);
  add_dir(places, tree->dir);
  add_child(places, tree->dir, "routes");
  add_child(places, tree->dir, "lib");
  add_child(places, tree->dir, "templates");
  if (config) {
    char *path = tg_source_path(config);
    add_way(places, path);
    free(path);
  } else {
    add_child(places, tree->dir, "tidegate.lua");
  }
  if (places->count) qsort(places->rows, places->count, sizeof *places->rows, compare_places);
}

/* --- watches ---------------------------------------------------------------------------------- */

static void free_if_done(struct tg_watcher *watcher) {
  if (watcher->closing && !watcher->open && !watcher->scanning) free(watcher);
}

static void on_watch_closed(uv_handle_t *handle) {
  struct watch *watch = handle->data;
  struct tg_watcher *watcher = watch->watcher;
  places_deinit(&watch->names);
  free(watch->folder);
  free(watch);
  watcher->open--;
  free_if_done(watcher);
}

static void close_watch(struct watch *watch) {
  tg_list_remove(&watch->link);
  uv_close((uv_handle_t *)&watch->event, on_watch_closed);
}

static void scan_soon(struct tg_watcher *watcher);

static bool matters(const struct watch *watch, const char *name) {
  if (!name) return true;
  for (size_t i = 0; i < watch->names.count; i++) {
    const char *wanted = watch->names.rows[i].name;
    if (!wanted || strcmp(wanted, name) == 0) return true;
  }
  return false;
}

/* What happens to the folder itself comes under its own name. */
static void on_event(uv_fs_event_t *event, const char *name, int events, int status) {
  struct watch *watch = event->data;
  const char *own_name = strrchr(watch->folder, '/') + 1;
  bool is_self = name && (events & UV_RENAME) && strcmp(name, own_name) == 0;
  if (status || is_self) watch->stale = true;
  if (status || is_self || matters(watch, name)) scan_soon(watch->watcher);
}

static struct watch *find_watch(struct tg_watcher *watcher, const char *folder) {
  for (struct tg_list *at = watcher->watches.next; at != &watcher->watches; at = at->next) {
    struct watch *watch = TG_CONTAINER(at, struct watch, link);
    if (!watch->stale && strcmp(watch->folder, folder) == 0) return watch;
  }
  return NULL;
}

/* NULL where the folder has gone again, or inotify gives no more. */
static struct watch *new_watch(struct tg_watcher *watcher, const char *folder) {
  struct watch *watch = tg_check_calloc(1, sizeof *watch);
  watch->watcher = watcher;
  watch->folder = tg_check_strdup(folder);
  watch->event.data = watch;
  tg_list_append(&watcher->watches, &watch->link);
  TG_CHECK(uv_fs_event_init(&watcher->loop->uv, &watch->event) == 0);
  watcher->open++;
  if (uv_fs_event_start(&watch->event, on_event, folder, 0) == 0) return watch;
  close_watch(watch);
  return NULL;
}

static void close_unwanted(struct tg_watcher *watcher) {
  for (struct tg_list *at = watcher->watches.next; at != &watcher->watches;) {
    struct watch *watch = TG_CONTAINER(at, struct watch, link);
    at = at->next;
    if (!watch->wanted) close_watch(watch);
  }
}

/* Makes the watches what the sorted places say. True where one was added. */
static bool set_watches(struct tg_watcher *watcher, const struct places *places) {
  bool added = false;
  for (struct tg_list *at = watcher->watches.next; at != &watcher->watches; at = at->next) {
    struct watch *watch = TG_CONTAINER(at, struct watch, link);
    watch->wanted = false;
    places_deinit(&watch->names);
  }
  for (size_t i = 0; i < places->count;) {
    const char *folder = places->rows[i].folder;
    struct watch *watch = find_watch(watcher, folder);
    if (!watch) {
      watch = new_watch(watcher, folder);
      added = added || watch;
    }
    if (watch) watch->wanted = true;
    for (; i < places->count && strcmp(places->rows[i].folder, folder) == 0; i++)
      if (watch) places_add(&watch->names, NULL, places->rows[i].name);
  }
  close_unwanted(watcher);
  return added;
}

/* --- scans ------------------------------------------------------------------------------------ */

static void on_scan(uv_work_t *work) {
  struct scan *scan = TG_CONTAINER(work, struct scan, work);
  struct tg_source_tree tree;
  tg_source_tree_init(&tree, scan->watcher->dir, scan->watcher->config);
  list_places(&scan->places, &tree, scan->watcher->config);
  tg_source_tree_deinit(&tree);
  scan->status = tg_bundle_hash(scan->watcher->dir, scan->watcher->config, &scan->hash);
}

static void compare(struct tg_watcher *watcher) {
  const struct scan *scan = &watcher->scan;
  if (scan->status) {
    watcher->again = watcher->again || scan->status == TG_EAGAIN;
    return;
  }
  bool differs = watcher->has_hash && scan->hash != watcher->hash;
  watcher->hash = scan->hash;
  watcher->has_hash = true;
  if (differs) watcher->changed(watcher->owner);
}

/* `changed` may close the watcher; it is freed not before `scanning` is false. */
static void on_scanned(uv_work_t *work, int status) {
  struct tg_watcher *watcher = TG_CONTAINER(work, struct scan, work)->watcher;
  if (!watcher->closing && !status) {
    if (set_watches(watcher, &watcher->scan.places)) watcher->again = true;
    compare(watcher);
  }
  places_deinit(&watcher->scan.places);
  watcher->scanning = false;
  if (watcher->again && !watcher->closing) scan_soon(watcher);
  free_if_done(watcher);
}

static void on_silence(struct tg_timer *timer) {
  struct tg_watcher *watcher = TG_CONTAINER(timer, struct tg_watcher, timer);
  watcher->again = false;
  watcher->scanning =
      uv_queue_work(&watcher->loop->uv, &watcher->scan.work, on_scan, on_scanned) == 0;
}

/* Each event puts the scan off by the silence, but the burst as a whole by the noise at most. */
static void scan_soon(struct tg_watcher *watcher) {
  watcher->again = true;
  if (watcher->scanning || watcher->closing) return;
  uint64_t now = tg_clock_now();
  if (!tg_timer_active(&watcher->timer)) watcher->since = now;
  tg_timer_stop(&watcher->loop->timers, &watcher->timer);
  uint64_t due = now + SILENCE;
  if (due > watcher->since + NOISE) due = watcher->since + NOISE;
  TG_CHECK(tg_timer_start(&watcher->loop->timers, &watcher->timer, due, on_silence) == TG_OK);
}

/* --- the watcher ------------------------------------------------------------------------------ */

struct tg_watcher *tg_watcher_open(struct tg_loop *loop, const char *dir, const char *config,
                                   void (*changed)(void *owner), void *owner) {
  struct tg_watcher *watcher = calloc(1, sizeof *watcher);
  if (!watcher) return NULL;
  watcher->loop = loop;
  watcher->dir = dir;
  watcher->config = config;
  watcher->changed = changed;
  watcher->owner = owner;
  watcher->scan.watcher = watcher;
  tg_list_init(&watcher->watches);
  struct places places = {0};
  struct tg_source_tree tree;
  tg_source_tree_init(&tree, dir, config);
  list_places(&places, &tree, config);
  tg_source_tree_deinit(&tree);
  bool watches = set_watches(watcher, &places);
  places_deinit(&places);
  if (watches) {
    scan_soon(watcher); /* what changed since the application was read */
    return watcher;
  }
  tg_watcher_close(watcher);
  return NULL;
}

void tg_watcher_set_hash(struct tg_watcher *watcher, uint64_t hash) {
  watcher->hash = hash;
  watcher->has_hash = true;
}

void tg_watcher_close(struct tg_watcher *watcher) {
  watcher->closing = true;
  tg_timer_stop(&watcher->loop->timers, &watcher->timer);
  while (!tg_list_empty(&watcher->watches))
    close_watch(TG_CONTAINER(watcher->watches.next, struct watch, link));
  if (watcher->scanning) uv_cancel((uv_req_t *)&watcher->scan.work);
  free_if_done(watcher);
}

void tg_watcher_each(struct tg_watcher *watcher, void (*each)(void *owner, const char *path),
                     void *owner) {
  for (struct tg_list *at = watcher->watches.next; at != &watcher->watches; at = at->next) {
    const struct watch *watch = TG_CONTAINER(at, struct watch, link);
    for (size_t i = 0; i < watch->names.count; i++)
      if (!watch->names.rows[i].name) each(owner, watch->folder);
  }
}
