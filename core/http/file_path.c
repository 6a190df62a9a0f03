/* See file_path.h. Names are judged after decoding, and decoded once. */
#include "http/file_path.h"

static int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = (char)(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The next byte, decoded, and *at behind it; -1 for a bad escape, or what no name can hold. */
static int take_byte(struct tg_slice s, size_t *at) {
  int c = (unsigned char)s.ptr[(*at)++];
  if (c != '%') return c ? c : -1;
  if (s.len - *at < 2) return -1;
  int high = hex_value(s.ptr[*at]), low = hex_value(s.ptr[*at + 1]);
  *at += 2;
  if (high < 0 || low < 0) return -1;
  c = high * 16 + low;
  return c == 0 || c == '/' ? -1 : c;
}

static bool name_fits(const char *name, size_t len, bool hidden) {
  if (len == 0) return false;
  if (name[0] != '.') return true;
  return hidden && len > 1 && !(len == 2 && name[1] == '.');
}

tg_status tg_file_path_decode(struct tg_slice encoded, bool hidden, char out[TG_FILE_PATH_MAX]) {
  size_t len = 0, name = 0, at = 0;
  while (at < encoded.len) {
    bool ends = encoded.ptr[at] == '/';
    int c = take_byte(encoded, &at);
    if (c < 0 || len + 1 >= TG_FILE_PATH_MAX) return TG_ENOT_FOUND;
    if (ends && !name_fits(out + name, len - name, hidden)) return TG_ENOT_FOUND;
    out[len++] = (char)c;
    if (ends) name = len;
  }
  if (len > name && !name_fits(out + name, len - name, hidden)) return TG_ENOT_FOUND;
  out[len] = 0;
  return TG_OK;
}
