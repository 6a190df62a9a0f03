/* See hosts.h. Rows are sorted by name once, so that a file of a hundred thousand lines costs a
 * search of seventeen steps. */
#include "loop/hosts.h"

#include <stdlib.h>

void tg_hosts_init(struct tg_hosts *hosts, const char *path) {
  *hosts = (struct tg_hosts){0};
  tg_watched_file_init(&hosts->file, path);
}

void tg_hosts_deinit(struct tg_hosts *hosts) {
  tg_buffer_deinit(&hosts->text);
  free(hosts->rows);
  hosts->rows = NULL;
  hosts->count = hosts->cap = 0;
}

static struct tg_slice name_of(const struct tg_hosts *hosts, const struct tg_hosts_row *row) {
  return tg_slice(hosts->text.data + row->name, row->name_len);
}

static int compare_names(struct tg_slice a, struct tg_slice b) {
  int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
  return order ? order : a.len < b.len ? -1 : a.len > b.len;
}

static int compare_rows(const void *left, const void *right, void *hosts) {
  const struct tg_hosts_row *a = left, *b = right;
  int order = compare_names(name_of(hosts, a), name_of(hosts, b));
  return order ? order : a->name < b->name ? -1 : a->name > b->name;
}

static void add(struct tg_hosts *hosts, size_t name, size_t len,
                const struct tg_dns_address *address) {
  if (hosts->count == hosts->cap) {
    size_t cap = hosts->cap ? hosts->cap * 2 : 32;
    struct tg_hosts_row *rows = realloc(hosts->rows, cap * sizeof *rows);
    if (!rows) return;
    hosts->rows = rows;
    hosts->cap = cap;
  }
  hosts->rows[hosts->count++] =
      (struct tg_hosts_row){.name = name, .name_len = len, .address = *address};
}

static bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of the line that ends at `end`; false where there is none. */
static bool next_word(const char *text, size_t *at, size_t end, size_t *len) {
  while (*at < end && is_space(text[*at])) (*at)++;
  size_t to = *at;
  while (to < end && !is_space(text[to])) to++;
  *len = to - *at;
  return *len > 0;
}

static void parse_line(struct tg_hosts *hosts, size_t at, size_t end) {
  const char *text = hosts->text.data;
  const char *comment = memchr(text + at, '#', end - at);
  struct tg_dns_address address = {0};
  size_t len = 0;
  if (comment) end = (size_t)(comment - text);
  if (!next_word(text, &at, end, &len)) return;
  if (!tg_dns_address_read(tg_slice(text + at, len), &address)) return;
  for (at += len; next_word(text, &at, end, &len); at += len)
    add(hosts, at, text[at + len - 1] == '.' ? len - 1 : len, &address);
}

static void refresh(struct tg_hosts *hosts, uint64_t now) {
  if (!tg_watched_file_look(&hosts->file, now, &hosts->text)) return;
  hosts->count = 0;
  struct tg_buffer *text = &hosts->text;
  for (size_t i = 0; i < text->len; i++)
    if (text->data[i] >= 'A' && text->data[i] <= 'Z') text->data[i] = (char)(text->data[i] | 0x20);
  for (size_t at = 0; at < text->len;) {
    const char *newline = memchr(text->data + at, '\n', text->len - at);
    size_t end = newline ? (size_t)(newline - text->data) : text->len;
    parse_line(hosts, at, end);
    at = end + 1;
  }
  if (hosts->count) qsort_r(hosts->rows, hosts->count, sizeof *hosts->rows, compare_rows, hosts);
}

/* The first row whose name is not before `name`. */
static size_t lower_bound(const struct tg_hosts *hosts, struct tg_slice name) {
  size_t low = 0, high = hosts->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (compare_names(name_of(hosts, &hosts->rows[middle]), name) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

size_t tg_hosts_find(struct tg_hosts *hosts, uint64_t now, const char *name, int family,
                     struct tg_dns_address *out, size_t max) {
  size_t found = 0;
  struct tg_slice wanted = tg_slice_cstr(name);
  refresh(hosts, now);
  for (size_t i = lower_bound(hosts, wanted); i < hosts->count && found < max; i++) {
    const struct tg_hosts_row *row = &hosts->rows[i];
    if (!tg_slice_eq(name_of(hosts, row), wanted)) break;
    if (!family || row->address.family == family) out[found++] = row->address;
  }
  return found;
}

void tg_hosts_find_names(struct tg_hosts *hosts, uint64_t now, const struct tg_dns_address *address,
                         void (*each)(void *owner, struct tg_slice name), void *owner) {
  refresh(hosts, now);
  for (size_t i = 0; i < hosts->count; i++) {
    const struct tg_hosts_row *row = &hosts->rows[i];
    if (row->address.family == address->family &&
        memcmp(row->address.bytes, address->bytes, tg_dns_address_size(address)) == 0)
      each(owner, name_of(hosts, row));
  }
}
