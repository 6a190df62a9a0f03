/* Reading an application so that no mixture of two versions of it is ever seen.
 *
 * The files are listed, read, and listed again: where the second list shows anything else (another
 * inode, size or time, a file more or less), something was being written, and all is read anew. */
#include "app/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/source_tree.h"
#include "base/check.h"

#define FILE_MAX (16u << 20)
#define TRIES    3

/* FNV-1a, 64 bits: tells contents apart, defends against nobody. */
#define FNV_START 0xcbf29ce484222325ull
#define FNV_PRIME 0x100000001b3ull

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t len) {
  const unsigned char *at = bytes;
  for (size_t i = 0; i < len; i++) hash = (hash ^ at[i]) * FNV_PRIME;
  return hash;
}

/* Lengths go in, too: else "ab" + "c" and "a" + "bc" were the same. */
static uint64_t hash_slice(uint64_t hash, struct tg_slice bytes) {
  uint64_t len = bytes.len;
  return hash_bytes(hash_bytes(hash, &len, sizeof len), bytes.ptr, bytes.len);
}

static uint64_t hash_file(uint64_t hash, const char *path, struct tg_slice source) {
  return hash_slice(hash_slice(hash, tg_slice_cstr(path)), source);
}

/* Fills `data`, and asks for one byte more, which shows that the file has grown. What is short by
 * that byte alone is the end: it is not asked for again. */
static ssize_t read_all(int fd, char *data, size_t len) {
  size_t done = 0;
  ssize_t n;
  do {
    n = read(fd, data + done, len + 1 - done);
    if (n < 0 && errno != EINTR) return -errno;
    if (n > 0) done += (size_t)n;
  } while (n < 0 || (n > 0 && done < len));
  return (ssize_t)done;
}

/* Reads one file. TG_EAGAIN: it is not what was listed any more. */
static tg_status read_file(const struct tg_source_file *file, struct tg_arena *memory,
                           struct tg_slice *source) {
  struct stat st;
  int fd = open(file->full, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return errno == ENOENT ? TG_EAGAIN : -errno;
  tg_status status = fstat(fd, &st) == 0 ? TG_OK : -errno;
  if (!status && (st.st_ino != file->stat.st_ino || st.st_dev != file->stat.st_dev ||
                  st.st_size != file->stat.st_size))
    status = TG_EAGAIN;
  if (!status && st.st_size > (off_t)FILE_MAX) status = TG_ETOO_LARGE;
  size_t len = (size_t)file->stat.st_size;
  char *data = status ? NULL : tg_arena_alloc(memory, len + 1);
  if (!status && !data) status = TG_ENOMEM;
  if (!status) {
    ssize_t n = read_all(fd, data, len);
    if (n < 0)
      status = (tg_status)n;
    else if ((size_t)n != len)
      status = TG_EAGAIN;
  }
  close(fd);
  if (status) return status;
  data[len] = 0;
  *source = tg_slice(data, len);
  return TG_OK;
}

static void keep_file(struct tg_bundle *bundle, const struct tg_source_file *file,
                      struct tg_slice source) {
  struct tg_slice path = {file->path, strlen(file->path) + 1};
  path = tg_arena_copy(&bundle->memory, path);
  TG_CHECK(path.ptr);
  bundle->files[bundle->count++] =
      (struct tg_bundle_file){.path = path.ptr, .kind = file->kind, .source = source};
}

/* Reads every listed file. What cannot be read becomes a fault. TG_EAGAIN, TG_ENOMEM: given up. */
static tg_status read_files(struct tg_source_tree *tree, uint64_t *hash,
                            struct tg_bundle *keep_in) {
  tg_status status = TG_OK;
  struct tg_arena own, *memory = keep_in ? &keep_in->memory : &own;
  tg_arena_init(&own, NULL, 0);
  *hash = FNV_START;
  for (size_t i = 0; i < tree->file_count; i++) {
    const struct tg_source_file *file = &tree->files[i];
    struct tg_slice source = {0};
    status = read_file(file, memory, &source);
    if (status == TG_EAGAIN || status == TG_ENOMEM) break;
    if (status == TG_ETOO_LARGE) {
      tg_source_tree_fault(tree, file->path, "larger than %u MiB", FILE_MAX >> 20);
    } else if (status) {
      tg_source_tree_fault(tree, file->path, "cannot be read: %s", strerror(-status));
    } else {
      *hash = hash_file(*hash, file->path, source);
      if (keep_in) keep_file(keep_in, file, source);
    }
    status = TG_OK;
    tg_arena_reset(&own);
  }
  tg_arena_reset(&own);
  return status;
}

/* One reading between two lists; TG_EAGAIN where they differ. */
static tg_status read_once(struct tg_source_tree *tree, const char *dir, const char *config,
                           uint64_t *hash, struct tg_bundle *keep_in) {
  tg_status status = read_files(tree, hash, keep_in);
  if (status) return status;
  struct tg_source_tree after;
  tg_source_tree_init(&after, dir, config);
  if (!tg_source_tree_same(tree, &after)) status = TG_EAGAIN;
  tg_source_tree_deinit(&after);
  return status;
}

static struct tg_bundle *new_bundle(const struct tg_source_tree *tree) {
  struct tg_bundle *bundle = tg_check_calloc(1, sizeof *bundle);
  bundle->dir = tg_check_strdup(tree->dir);
  bundle->files = tg_check_calloc(tree->file_count + 1, sizeof *bundle->files);
  return bundle;
}

tg_status tg_bundle_read(const char *dir, const char *config, struct tg_bundle **out,
                         struct tg_bundle_fault **faults, size_t *fault_count) {
  *out = NULL;
  *faults = NULL;
  *fault_count = 0;
  tg_status status = TG_EAGAIN;
  for (int i = 0; i < TRIES && status == TG_EAGAIN; i++) {
    struct tg_source_tree tree;
    tg_source_tree_init(&tree, dir, config);
    struct tg_bundle *bundle = new_bundle(&tree);
    status = read_once(&tree, dir, config, &bundle->hash, bundle);
    if (!status && tree.fault_count) {
      status = TG_EINVALID;
      *faults = tree.faults;
      *fault_count = tree.fault_count;
      tree.faults = NULL;
      tree.fault_count = 0;
    }
    if (status)
      tg_bundle_free(bundle);
    else
      *out = bundle;
    tg_source_tree_deinit(&tree);
  }
  return status;
}

/* Faults count as contents, so that an application that breaks has changed, and one that is mended
 * has changed again. */
tg_status tg_bundle_hash(const char *dir, const char *config, uint64_t *hash) {
  tg_status status = TG_EAGAIN;
  for (int i = 0; i < TRIES && status == TG_EAGAIN; i++) {
    struct tg_source_tree tree;
    tg_source_tree_init(&tree, dir, config);
    status = read_once(&tree, dir, config, hash, NULL);
    for (size_t j = 0; j < tree.fault_count; j++)
      *hash = hash_file(*hash, tree.faults[j].path, tg_slice_cstr(tree.faults[j].message));
    tg_source_tree_deinit(&tree);
  }
  return status;
}

tg_status tg_bundle_empty(const char *dir, struct tg_bundle **out) {
  struct tg_bundle *bundle = calloc(1, sizeof *bundle);
  if (bundle) bundle->dir = strdup(dir);
  if (!bundle || !bundle->dir) {
    free(bundle);
    return TG_ENOMEM;
  }
  *out = bundle;
  return TG_OK;
}

void tg_bundle_free(struct tg_bundle *bundle) {
  if (!bundle) return;
  tg_arena_reset(&bundle->memory);
  free(bundle->files);
  free(bundle->dir);
  free(bundle);
}

void tg_bundle_faults_free(struct tg_bundle_fault *faults, size_t count) {
  for (size_t i = 0; i < count; i++) {
    free(faults[i].path);
    free(faults[i].message);
  }
  free(faults);
}

static int compare_path(const void *key, const void *row) {
  const struct tg_slice *path = key;
  const struct tg_bundle_file *file = row;
  size_t len = strlen(file->path);
  int order = memcmp(path->ptr, file->path, path->len < len ? path->len : len);
  if (order) return order;
  return path->len < len ? -1 : path->len > len;
}

bool tg_bundle_mentions(const struct tg_bundle *bundle, struct tg_slice text) {
  for (size_t i = 0; i < bundle->count; i++) {
    struct tg_slice source = bundle->files[i].source;
    if (source.len && memmem(source.ptr, source.len, text.ptr, text.len)) return true;
  }
  return false;
}

struct tg_bundle_file *tg_bundle_find(struct tg_bundle *bundle, struct tg_slice path) {
  if (!bundle->count || !path.len) return NULL;
  return bsearch(&path, bundle->files, bundle->count, sizeof *bundle->files, compare_path);
}
