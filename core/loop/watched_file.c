/* See watched_file.h. */
#include "loop/watched_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

void tg_watched_file_init(struct tg_watched_file *file, const char *path) {
  *file = (struct tg_watched_file){0};
  snprintf(file->path, sizeof file->path, "%s", path);
}

static void read_all(int fd, struct tg_buffer *text) {
  while (text->len < TG_WATCHED_FILE_MAX && tg_buffer_reserve(text, 65536) == TG_OK) {
    ssize_t n = read(fd, tg_buffer_tail(text), 65536);
    if (n <= 0) break;
    tg_buffer_wrote(text, (size_t)n);
  }
}

bool tg_watched_file_look(struct tg_watched_file *file, uint64_t now, struct tg_buffer *text) {
  struct stat st = {0};
  if (file->checked && now - file->checked < TG_SECOND) return false;
  bool first = file->checked == 0;
  file->checked = now ? now : 1;
  if (stat(file->path, &st) != 0 || !S_ISREG(st.st_mode)) st = (struct stat){0};
  bool same = st.st_dev == file->dev && st.st_ino == file->ino && st.st_size == file->size &&
              st.st_mtim.tv_sec == file->changed.tv_sec &&
              st.st_mtim.tv_nsec == file->changed.tv_nsec;
  if (same && !first) return false;
  file->dev = st.st_dev;
  file->ino = st.st_ino;
  file->size = st.st_size;
  file->changed = st.st_mtim;
  tg_buffer_clear(text);
  int fd = st.st_ino ? open(file->path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return true;
  read_all(fd, text);
  close(fd);
  return true;
}
