/* The walk over routes/, lib/ and templates/: which names count, and what is wrong with those that
 * cannot.
 *
 * Faults are collected, not returned, because a user wants to see all of them at once. A folder
 * that contains itself through a link is a fault where the circle closes. */
#include "app/source_tree.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"

#define DEPTH_MAX 64
#define FILES_MAX 100000

/* A folder that is being listed, and those around it. */
struct level {
  const struct level *outer;
  const char *full;
  const char *path;
  enum tg_file_kind kind; /* of the files in it */
  unsigned depth;
  dev_t device;
  ino_t inode;
};

/* Room for one more element; doubles, so that n elements cost O(n). */
static void *grow(void *array, size_t count, size_t *cap, size_t size) {
  if (count < *cap) return array;
  *cap = *cap ? *cap * 2 : 16;
  void *grown = realloc(array, *cap * size);
  TG_CHECK(grown);
  return grown;
}

static void add_text(char ***array, size_t *count, size_t *cap, const char *text) {
  *array = grow(*array, *count, cap, sizeof **array);
  (*array)[(*count)++] = tg_check_strdup(text);
}

__attribute__((format(printf, 1, 2))) static char *print(const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *text = NULL;
  int n = vasprintf(&text, format, args);
  va_end(args);
  TG_CHECK(n >= 0);
  return text;
}

void tg_source_tree_fault(struct tg_source_tree *tree, const char *path, const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *message = NULL;
  int n = vasprintf(&message, format, args);
  va_end(args);
  TG_CHECK(n >= 0);
  tree->faults = grow(tree->faults, tree->fault_count, &tree->fault_cap, sizeof *tree->faults);
  size_t at = tree->fault_count++;
  for (; at && strcmp(tree->faults[at - 1].path, path) > 0; at--)
    tree->faults[at] = tree->faults[at - 1];
  tree->faults[at] = (struct tg_bundle_fault){tg_check_strdup(path), message};
}

/* Does `dir` stand for this path's last step being a link? Remembers it for the watcher. */
static bool note_link(struct tg_source_tree *tree, const char *full) {
  struct stat st;
  if (lstat(full, &st) != 0 || !S_ISLNK(st.st_mode)) return false;
  add_text(&tree->links, &tree->link_count, &tree->link_cap, full);
  return true;
}

static void add_file(struct tg_source_tree *tree, const char *full, const char *path,
                     enum tg_file_kind kind, const struct stat *st) {
  tree->files = grow(tree->files, tree->file_count, &tree->file_cap, sizeof *tree->files);
  tree->files[tree->file_count++] = (struct tg_source_file){
      .path = tg_check_strdup(path), .full = tg_check_strdup(full), .kind = kind, .stat = *st};
}

static bool ends_in_lua(const char *name) {
  size_t len = strlen(name);
  return len > 4 && memcmp(name + len - 4, ".lua", 4) == 0;
}

/* Is it read, by its name? In templates/ all is but what editors leave. */
static bool is_wanted(enum tg_file_kind kind, const char *name) {
  if (kind != TG_FILE_TEMPLATE) return ends_in_lua(name);
  return name[0] != '#' && name[strlen(name) - 1] != '~';
}

static void walk(struct tg_source_tree *tree, const struct level *level);

static void visit_folder(struct tg_source_tree *tree, const struct level *outer, const char *full,
                         const char *path, const struct stat *st) {
  struct level level = {.outer = outer,
                        .full = full,
                        .path = path,
                        .kind = outer->kind,
                        .depth = outer->depth + 1,
                        .device = st->st_dev,
                        .inode = st->st_ino};
  for (const struct level *at = outer; at; at = at->outer) {
    if (at->device != st->st_dev || at->inode != st->st_ino) continue;
    tg_source_tree_fault(tree, path, "a symbolic link that leads back to %s: a circle", at->path);
    return;
  }
  if (level.depth > DEPTH_MAX) {
    tg_source_tree_fault(tree, path, "more than %d folders deep", DEPTH_MAX);
    return;
  }
  walk(tree, &level);
}

static void visit(struct tg_source_tree *tree, const struct level *level,
                  const struct dirent *row) {
  const char *name = row->d_name;
  bool is_group = level->kind == TG_FILE_ROUTE && strcmp(name, "_group.lua") == 0;
  if (name[0] == '.' || (level->kind == TG_FILE_ROUTE && name[0] == '_' && !is_group)) return;
  char *full = print("%s/%s", level->full, name);
  char *path = print("%s/%s", level->path, name);
  struct stat st;
  bool may_link = row->d_type == DT_LNK || row->d_type == DT_UNKNOWN;
  bool is_link = may_link && note_link(tree, full), wanted = is_wanted(level->kind, name);
  if (stat(full, &st) != 0) {
    int error = errno;
    /* gone since it was listed, or a broken link that no rule would have read */
    if (wanted && (error != ENOENT || is_link))
      tg_source_tree_fault(tree, path, is_link ? "a symbolic link that leads nowhere: %s" : "%s",
                           strerror(error));
  } else if (S_ISDIR(st.st_mode) && (!wanted || level->kind == TG_FILE_TEMPLATE)) {
    visit_folder(tree, level, full, path, &st);
  } else if (!wanted) {
    /* not of the application */
  } else if (S_ISDIR(st.st_mode)) {
    tg_source_tree_fault(tree, path, "a folder, where its name promises a Lua file");
  } else if (!S_ISREG(st.st_mode)) {
    tg_source_tree_fault(tree, path, "not a regular file");
  } else {
    add_file(tree, full, path, is_group ? TG_FILE_GROUP : level->kind, &st);
  }
  free(full);
  free(path);
}

static void walk(struct tg_source_tree *tree, const struct level *level) {
  add_text(&tree->folders, &tree->folder_count, &tree->folder_cap, level->full);
  DIR *stream = opendir(level->full);
  if (!stream) {
    tg_source_tree_fault(tree, level->path, "cannot be listed: %s", strerror(errno));
    return;
  }
  for (struct dirent *row; (row = readdir(stream));) {
    if (tree->file_count >= FILES_MAX) {
      tg_source_tree_fault(tree, level->path, "more than %d files", FILES_MAX);
      break;
    }
    visit(tree, level, row);
  }
  closedir(stream);
}

/* routes/ must be there, because an application without it is a mistyped --dir. */
static void walk_top(struct tg_source_tree *tree, const char *name, enum tg_file_kind kind) {
  char *full = print("%s/%s", tree->dir, name);
  struct stat st;
  note_link(tree, full);
  if (stat(full, &st) != 0) {
    if (errno != ENOENT || kind == TG_FILE_ROUTE)
      tg_source_tree_fault(tree, name, "cannot be opened in %s: %s", tree->dir, strerror(errno));
  } else if (!S_ISDIR(st.st_mode)) {
    tg_source_tree_fault(tree, name, "not a folder");
  } else {
    walk(tree,
         &(struct level){
             .full = full, .path = name, .kind = kind, .device = st.st_dev, .inode = st.st_ino});
  }
  free(full);
}

static void visit_config(struct tg_source_tree *tree, const char *config) {
  char *full = config ? tg_source_path(config) : print("%s/tidegate.lua", tree->dir);
  const char *path = config ? config : "tidegate.lua";
  struct stat st;
  bool is_link = note_link(tree, full);
  if (stat(full, &st) != 0) {
    if (errno != ENOENT || config || is_link)
      tg_source_tree_fault(tree, path, "cannot be read: %s", strerror(errno));
  } else if (!S_ISREG(st.st_mode)) {
    tg_source_tree_fault(tree, path, "not a regular file");
  } else {
    add_file(tree, full, path, TG_FILE_CONFIG, &st);
  }
  free(full);
}

static int by_path(const void *a, const void *b) {
  const struct tg_source_file *x = a, *y = b;
  return strcmp(x->path, y->path);
}

void tg_source_tree_init(struct tg_source_tree *tree, const char *dir, const char *config) {
  *tree = (struct tg_source_tree){.dir = tg_source_path(dir)};
  note_link(tree, tree->dir);
  visit_config(tree, config);
  walk_top(tree, "routes", TG_FILE_ROUTE);
  walk_top(tree, "lib", TG_FILE_LIB);
  walk_top(tree, "templates", TG_FILE_TEMPLATE);
  if (tree->file_count) qsort(tree->files, tree->file_count, sizeof *tree->files, by_path);
}

static void free_texts(char **texts, size_t count) {
  for (size_t i = 0; i < count; i++) free(texts[i]);
  free(texts);
}

void tg_source_tree_deinit(struct tg_source_tree *tree) {
  for (size_t i = 0; i < tree->file_count; i++) {
    free(tree->files[i].path);
    free(tree->files[i].full);
  }
  free(tree->files);
  tg_bundle_faults_free(tree->faults, tree->fault_count);
  free_texts(tree->folders, tree->folder_count);
  free_texts(tree->links, tree->link_count);
  free(tree->dir);
  *tree = (struct tg_source_tree){0};
}

static bool same_file(const struct stat *a, const struct stat *b) {
  return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
         a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
         a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

bool tg_source_tree_same(const struct tg_source_tree *a, const struct tg_source_tree *b) {
  if (a->file_count != b->file_count) return false;
  for (size_t i = 0; i < a->file_count; i++)
    if (strcmp(a->files[i].path, b->files[i].path) != 0 ||
        !same_file(&a->files[i].stat, &b->files[i].stat))
      return false;
  return true;
}

char *tg_source_path(const char *path) {
  if (path[0] == '/') return tg_check_strdup(path);
  while (path[0] == '.' && path[1] == '/') {
    path += 2;
    while (path[0] == '/') path++;
  }
  char *here = getcwd(NULL, 0);
  if (!here) here = tg_check_strdup(".");
  if (path[0] == 0 || strcmp(path, ".") == 0) return here;
  char *full = print("%s%s%s", here, strcmp(here, "/") == 0 ? "" : "/", path);
  free(here);
  return full;
}
