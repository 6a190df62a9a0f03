/* One sorted table of file name endings. Text types carry charset=utf-8, because the files that a
 * gateway serves are its own. */
#include "http/media.h"

#include "http/parameter.h"

struct row {
  const char *ending;
  struct tg_slice type;
};

#define ROW(ending, type)    \
  {                          \
    ending, {                \
      type, sizeof(type) - 1 \
    }                        \
  }

/* Sorted by ending; the lookup halves its way through. */
static const struct row rows[] = {
    ROW("7z", "application/x-7z-compressed"),
    ROW("aac", "audio/aac"),
    ROW("apng", "image/apng"),
    ROW("atom", "application/atom+xml"),
    ROW("avif", "image/avif"),
    ROW("bmp", "image/bmp"),
    ROW("bz2", "application/x-bzip2"),
    ROW("css", "text/css; charset=utf-8"),
    ROW("csv", "text/csv; charset=utf-8"),
    ROW("eot", "application/vnd.ms-fontobject"),
    ROW("epub", "application/epub+zip"),
    ROW("flac", "audio/flac"),
    ROW("geojson", "application/geo+json"),
    ROW("gif", "image/gif"),
    ROW("gz", "application/gzip"),
    ROW("htm", "text/html; charset=utf-8"),
    ROW("html", "text/html; charset=utf-8"),
    ROW("ico", "image/x-icon"),
    ROW("ics", "text/calendar; charset=utf-8"),
    ROW("jpeg", "image/jpeg"),
    ROW("jpg", "image/jpeg"),
    ROW("js", "text/javascript; charset=utf-8"),
    ROW("json", "application/json"),
    ROW("jsonld", "application/ld+json"),
    ROW("jxl", "image/jxl"),
    ROW("log", "text/plain; charset=utf-8"),
    ROW("lua", "text/plain; charset=utf-8"),
    ROW("m4a", "audio/mp4"),
    ROW("map", "application/json"),
    ROW("md", "text/markdown; charset=utf-8"),
    ROW("mjs", "text/javascript; charset=utf-8"),
    ROW("mp3", "audio/mpeg"),
    ROW("mp4", "video/mp4"),
    ROW("oga", "audio/ogg"),
    ROW("ogg", "audio/ogg"),
    ROW("ogv", "video/ogg"),
    ROW("opus", "audio/ogg"),
    ROW("otf", "font/otf"),
    ROW("pdf", "application/pdf"),
    ROW("png", "image/png"),
    ROW("rss", "application/rss+xml"),
    ROW("rtf", "application/rtf"),
    ROW("svg", "image/svg+xml"),
    ROW("tar", "application/x-tar"),
    ROW("tif", "image/tiff"),
    ROW("tiff", "image/tiff"),
    ROW("ttf", "font/ttf"),
    ROW("txt", "text/plain; charset=utf-8"),
    ROW("wasm", "application/wasm"),
    ROW("wav", "audio/wav"),
    ROW("weba", "audio/webm"),
    ROW("webm", "video/webm"),
    ROW("webmanifest", "application/manifest+json"),
    ROW("webp", "image/webp"),
    ROW("woff", "font/woff"),
    ROW("woff2", "font/woff2"),
    ROW("xhtml", "application/xhtml+xml"),
    ROW("xml", "application/xml"),
    ROW("yaml", "application/yaml"),
    ROW("yml", "application/yaml"),
    ROW("zip", "application/zip"),
    ROW("zst", "application/zstd"),
};

#define ENDING_MAX 16

struct tg_slice tg_media_of_path(struct tg_slice path) {
  struct tg_slice unknown = TG_SLICE("application/octet-stream");
  char ending[ENDING_MAX];
  size_t len = 0;
  while (len < path.len && path.ptr[path.len - len - 1] != '.') {
    unsigned char c = (unsigned char)path.ptr[path.len - len - 1];
    if (c == '/' || c == '\0' || ++len >= ENDING_MAX) return unknown;
    ending[ENDING_MAX - 1 - len] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
  }
  if (len == 0 || len >= path.len) return unknown;
  ending[ENDING_MAX - 1] = '\0';
  const char *name = ending + ENDING_MAX - 1 - len;
  size_t low = 0, high = sizeof rows / sizeof rows[0];
  while (low < high) {
    size_t middle = (low + high) / 2;
    int order = strcmp(name, rows[middle].ending);
    if (order == 0) return rows[middle].type;
    if (order < 0)
      high = middle;
    else
      low = middle + 1;
  }
  return unknown;
}

bool tg_media_parse(struct tg_slice value, struct tg_slice *type) {
  const char *semicolon = value.len ? memchr(value.ptr, ';', value.len) : NULL;
  if (semicolon) value.len = (size_t)(semicolon - value.ptr);
  value = tg_slice_trim(value);
  size_t slash = value.len;
  for (size_t i = 0; i < value.len; i++) {
    if (value.ptr[i] == '/' && slash == value.len)
      slash = i;
    else if (!tg_parameter_is_token((unsigned char)value.ptr[i]))
      return false;
  }
  if (slash == 0 || slash + 1 >= value.len) return false;
  *type = value;
  return true;
}

static bool ends_with(struct tg_slice s, struct tg_slice ending) {
  return s.len > ending.len && tg_slice_ieq(tg_slice_skip(s, s.len - ending.len), ending);
}

bool tg_media_matches(struct tg_slice value, struct tg_slice pattern) {
  struct tg_slice type, wanted;
  if (!tg_media_parse(value, &type) || !tg_media_parse(pattern, &wanted)) return false;
  if (tg_slice_eq(wanted, TG_SLICE("*/*")) || tg_slice_ieq(type, wanted)) return true;
  const char *slash = memchr(wanted.ptr, '/', wanted.len);
  size_t kind = (size_t)(slash - wanted.ptr) + 1;
  bool same_kind =
      type.len > kind && tg_slice_ieq(tg_slice(type.ptr, kind), tg_slice(wanted.ptr, kind));
  if (!same_kind) return false;
  struct tg_slice rest = tg_slice_skip(wanted, kind);
  if (tg_slice_ieq(rest, TG_SLICE("json")))
    return kind == sizeof "application/" - 1 &&
           ends_with(tg_slice_skip(type, kind), TG_SLICE("+json"));
  if (rest.ptr[0] != '*') return false;
  return rest.len == 1 ||
         (rest.ptr[1] == '+' && ends_with(tg_slice_skip(type, kind), tg_slice_skip(rest, 1)));
}

enum tg_media_charset tg_media_charset(struct tg_slice value) {
  enum tg_media_charset found = TG_CHARSET_NONE;
  struct tg_parameter parameter;
  const char *semicolon = value.len ? memchr(value.ptr, ';', value.len) : NULL;
  if (!semicolon) return found;
  struct tg_slice rest = tg_slice_skip(value, (size_t)(semicolon - value.ptr));
  for (;;) {
    enum tg_parameter_step step = tg_parameter_next(&rest, &parameter);
    if (step == TG_PARAMETER_END) return found;
    if (step == TG_PARAMETER_BAD) return TG_CHARSET_BAD;
    if (!tg_slice_ieq(parameter.name, TG_SLICE("charset"))) continue;
    if (found != TG_CHARSET_NONE) return TG_CHARSET_BAD;
    bool utf8 = tg_parameter_is(&parameter, TG_SLICE("utf-8")) ||
                tg_parameter_is(&parameter, TG_SLICE("utf8"));
    found = utf8 ? TG_CHARSET_UTF8 : TG_CHARSET_OTHER;
  }
}
