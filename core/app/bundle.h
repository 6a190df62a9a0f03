/* The files of an application as one consistent reading: what a generation is made of.
 *
 * Read once on the builder's thread; every state of the generation loads from here, so that all of
 * them run the same text however the disk changes meanwhile. Immutable after tg_bundle_read, but
 * for the bytecode, which the first state's load adds, file by file, before others look at it. */
#ifndef TG_APP_BUNDLE_H
#define TG_APP_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"
#include "base/status.h"

enum tg_file_kind { TG_FILE_CONFIG, TG_FILE_GROUP, TG_FILE_ROUTE, TG_FILE_LIB, TG_FILE_TEMPLATE };

struct tg_bundle_file {
  const char *path; /* relative to the application: "routes/v1/users.lua" */
  enum tg_file_kind kind;
  struct tg_slice source;
  struct tg_slice bytecode; /* len 0 until it was compiled */
};

struct tg_bundle {
  char *dir;                    /* absolute path of the application */
  struct tg_bundle_file *files; /* by path */
  size_t count;
  uint64_t hash;          /* of all paths and contents, in order */
  struct tg_arena memory; /* paths, sources and bytecode */
};

/* Something on the disk that could not be read: a folder instead of a file, no permission, too
 * large ... */
struct tg_bundle_fault {
  char *path;
  char *message;
};

/* Reads tidegate.lua (or `config`, which may be elsewhere), routes/, lib/ and templates/ below
 * `dir`. Names that begin with "_" (except _group.lua) or "." are no routes; editors' left-overs
 * ("x~", "#x#", ".x.swp") do not end in .lua and are not read. In templates/ all others are. A file
 * that changes while it is read is read again (TG_EAGAIN after three tries). A missing routes/ is a
 * fault. On success *out is the caller's. On failure *faults (malloc'ed, *fault_count of them) say
 * what is wrong with each file; free them by tg_bundle_faults_free. A file over 16 MiB is a fault.
 */
TG_MUST_CHECK tg_status tg_bundle_read(const char *dir, const char *config, struct tg_bundle **out,
                                       struct tg_bundle_fault **faults, size_t *fault_count);

/* One without any file. */
TG_MUST_CHECK tg_status tg_bundle_empty(const char *dir, struct tg_bundle **out);

void tg_bundle_free(struct tg_bundle *bundle);
void tg_bundle_faults_free(struct tg_bundle_fault *faults, size_t count);

/* Does a source hold this text? */
bool tg_bundle_mentions(const struct tg_bundle *bundle, struct tg_slice text);

struct tg_bundle_file *tg_bundle_find(struct tg_bundle *bundle, struct tg_slice path);

/* The hash alone (the same value as bundle->hash), without keeping contents; for the watcher. */
TG_MUST_CHECK tg_status tg_bundle_hash(const char *dir, const char *config, uint64_t *hash);

#endif
