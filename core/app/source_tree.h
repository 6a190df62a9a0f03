/* What lies on the disk of an application, by name: the files that make a generation, the folders
 * and symbolic links on the way to them.
 *
 * Made in one walk by the reader of bundles and by the watcher; no contents are read. */
#ifndef TG_APP_SOURCE_TREE_H
#define TG_APP_SOURCE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "app/bundle.h"

struct tg_source_file {
  char *path; /* as in struct tg_bundle_file */
  char *full; /* for open */
  enum tg_file_kind kind;
  struct stat stat; /* of what the name leads to */
};

struct tg_source_tree {
  char *dir;                    /* absolute, links in it not followed */
  struct tg_source_file *files; /* by path */
  size_t file_count, file_cap;
  struct tg_bundle_fault *faults; /* by path */
  size_t fault_count, fault_cap;
  char **folders; /* absolute: each folder that was listed */
  size_t folder_count, folder_cap;
  char **links; /* absolute: each symbolic link met below `dir`, and `dir` and `config` */
  size_t link_count, link_cap;
};

/* Walks the application. Aborts when there is no memory for the names. `config` may be NULL. */
void tg_source_tree_init(struct tg_source_tree *tree, const char *dir, const char *config);
void tg_source_tree_deinit(struct tg_source_tree *tree);

/* Adds a fault about `path`. */
__attribute__((format(printf, 3, 4))) void tg_source_tree_fault(struct tg_source_tree *tree,
                                                                const char *path,
                                                                const char *format, ...);

/* Do two walks show the same files, none of them touched in between? */
bool tg_source_tree_same(const struct tg_source_tree *a, const struct tg_source_tree *b);

/* An absolute path for `path`, which may be relative to the working folder; malloc'ed. Links are
 * not followed, the path need not exist. */
char *tg_source_path(const char *path);

#endif
