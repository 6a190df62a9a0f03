/* See resolv_conf.h. As in glibc: the last of `search` and `domain` holds, ndots is 15 at most. */
#include "loop/resolv_conf.h"

#include <stdlib.h>

#define NDOTS_MAX 15

void tg_resolv_conf_init(struct tg_resolv_conf *conf, const char *path) {
  *conf = (struct tg_resolv_conf){.ndots = 1};
  tg_watched_file_init(&conf->file, path);
}

static bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == ',';
}

static struct tg_slice take_word(struct tg_slice *rest) {
  while (rest->len && is_space(rest->ptr[0])) *rest = tg_slice_skip(*rest, 1);
  size_t len = 0;
  while (len < rest->len && !is_space(rest->ptr[len])) len++;
  struct tg_slice word = tg_slice(rest->ptr, len);
  *rest = tg_slice_skip(*rest, len);
  return word;
}

void tg_resolv_conf_set_search(struct tg_resolv_conf *conf, struct tg_slice list) {
  struct tg_slice word;
  bool absolute;
  conf->search_count = 0;
  while ((word = take_word(&list)).len && conf->search_count < TG_RESOLV_SEARCH_MAX)
    if (!tg_dns_name_check(word, false, conf->search[conf->search_count], &absolute))
      conf->search_count++;
}

static void set_option(struct tg_resolv_conf *conf, struct tg_slice word) {
  static const char name[] = "ndots:";
  char digits[8] = "";
  if (!tg_slice_starts(word, TG_SLICE("ndots:"))) return;
  word = tg_slice_skip(word, sizeof name - 1);
  if (word.len == 0 || word.len >= sizeof digits) return;
  memcpy(digits, word.ptr, word.len);
  long value = strtol(digits, NULL, 10);
  conf->ndots = value < 0 ? 0 : value > NDOTS_MAX ? NDOTS_MAX : (unsigned)value;
}

static void parse_line(struct tg_resolv_conf *conf, struct tg_slice line) {
  struct tg_slice key = take_word(&line), word;
  if (tg_slice_eq(key, TG_SLICE("search")) || tg_slice_eq(key, TG_SLICE("domain")))
    tg_resolv_conf_set_search(conf, line);
  else if (tg_slice_eq(key, TG_SLICE("options")))
    while ((word = take_word(&line)).len) set_option(conf, word);
}

bool tg_resolv_conf_refresh(struct tg_resolv_conf *conf, uint64_t now) {
  struct tg_buffer text = {0};
  if (!tg_watched_file_look(&conf->file, now, &text)) return false;
  conf->search_count = 0;
  conf->ndots = 1;
  struct tg_slice rest = tg_buffer_slice(&text);
  while (rest.len) {
    const char *newline = memchr(rest.ptr, '\n', rest.len);
    size_t len = newline ? (size_t)(newline - rest.ptr) : rest.len;
    parse_line(conf, tg_slice(rest.ptr, len));
    rest = tg_slice_skip(rest, newline ? len + 1 : len);
  }
  tg_buffer_deinit(&text);
  return true;
}
