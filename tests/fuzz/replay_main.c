/*
 * Runs a fuzz target over kept inputs, without libFuzzer: every file of the folders and every file
 * named on the command line, once. Every build but `fuzz` links the targets with this, so that an
 * input that once broke something is a test for ever.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t replayed;

static void replay_file(const char *path, size_t size) {
  FILE *file = fopen(path, "rb");
  /* Exactly as large as the input, so that the sanitizer sees a read past its end. */
  uint8_t *data = malloc(size ? size : 1);
  if (file == NULL || data == NULL || fread(data, 1, size, file) != size) {
    fprintf(stderr, "replay: cannot read %s\n", path);
    exit(2);
  }
  fclose(file);
  fprintf(stderr, "replay: %s\n", path);
  LLVMFuzzerTestOneInput(data, size);
  free(data);
  replayed++;
}

static void replay_path(const char *path);

static void replay_folder(const char *path) {
  struct dirent **entries;
  const int count = scandir(path, &entries, NULL, alphasort);
  for (int i = 0; i < count; i++) {
    char inner[4096];
    if (entries[i]->d_name[0] != '.') {
      snprintf(inner, sizeof inner, "%s/%s", path, entries[i]->d_name);
      replay_path(inner);
    }
    free(entries[i]);
  }
  if (count >= 0) free(entries);
}

static void replay_path(const char *path) {
  struct stat status;
  if (stat(path, &status) != 0) {
    fprintf(stderr, "replay: no %s\n", path);
    exit(2);
  }
  if (S_ISDIR(status.st_mode)) {
    replay_folder(path);
  } else {
    replay_file(path, (size_t)status.st_size);
  }
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) replay_path(argv[i]);
  if (replayed == 0) {
    fprintf(stderr, "replay: no inputs\n");
    return 2;
  }
  printf("replayed %zu inputs\n", replayed);
  return 0;
}
