/* What the JSON encoder writes that is no table: strings, numbers, words; and the path of an error.
 *
 * Nothing here allocates but the buffer, or calls back, so that it cannot throw. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>

#include "base/number.h"
#include "base/utf8.h"
#include "bind/json_encoder.h"
#include "script/plain.h"

#define TYPE_CDATA 10 /* LuaJIT's, without a name in lua.h */

/* --- errors --- */

struct path {
  char *text;
  size_t len, cap;
};

static void path_add(struct path *path, const char *text, size_t len) {
  size_t room = path->cap - path->len;
  if (len >= room) len = room - 1;
  memcpy(path->text + path->len, text, len);
  path->len += len;
  path->text[path->len] = 0;
}

static bool is_name(struct tg_slice key) {
  for (size_t i = 0; i < key.len; i++) {
    char c = key.ptr[i];
    bool letter = ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_';
    if (!letter && (i == 0 || c < '0' || c > '9')) return false;
  }
  return key.len > 0;
}

/* A key of any bytes becomes one line of valid UTF-8. */
static void path_add_key(struct path *path, struct tg_slice key) {
  size_t len = key.len > 60 ? 60 : key.len;
  if (is_name(key)) {
    path_add(path, ".", 1);
    path_add(path, key.ptr, len);
    return;
  }
  path_add(path, "[\"", 2);
  for (size_t i = 0, n; i < len; i += n) {
    n = tg_utf8_sequence(key.ptr + i, key.len - i);
    char c = key.ptr[i];
    bool plain = n > 1 || (n == 1 && c >= 0x20 && c != 0x7f && c != '"');
    path_add(path, plain ? key.ptr + i : "?", plain ? n : 1);
    if (!n) n = 1;
  }
  path_add(path, "\"]", 2);
}

static void path_add_frame(struct path *path, const struct tg_json_frame *frame) {
  if (!frame) return;
  path_add_frame(path, frame->up);
  if (frame->index) {
    char text[TG_NUMBER_LEN + 2] = "[";
    size_t len = 1 + tg_number_write_u64(frame->index, text + 1);
    text[len++] = ']';
    path_add(path, text, len);
  } else if (frame->key.ptr) {
    path_add_key(path, frame->key);
  }
}

tg_status tg_json_fail(struct tg_json_encoder *enc, tg_status status, const char *text,
                       size_t offset) {
  struct tg_json_error *err = enc->err;
  if (!err) return status;
  *err = (struct tg_json_error){.text = text, .offset = offset};
  struct path path = {err->path, 0, sizeof err->path};
  path_add(&path, "$", 1);
  path_add_frame(&path, enc->frame);
  if (path.len + 1 == path.cap) {
    size_t whole = path.len - 3;
    whole = tg_utf8_check(path.text, whole);
    memcpy(path.text + whole, "...", 4);
  }
  return status;
}

/* --- the encoder --- */

void tg_json_encoder_init(struct tg_json_encoder *enc, lua_State *L, struct tg_buffer *out,
                          const struct tg_json_options *opts, struct tg_json_error *err) {
  static const struct tg_json_options defaults;
  if (!opts) opts = &defaults;
  unsigned depth = opts->max_depth ? opts->max_depth : TG_JSON_DEPTH;
  size_t size_max = opts->max_size ? opts->max_size : TG_JSON_SIZE_MAX;
  *enc =
      (struct tg_json_encoder){.L = L,
                               .out = out,
                               .size_max = tg_buffer_size(out) + size_max,
                               .depth_max = depth < TG_JSON_DEPTH_MAX ? depth : TG_JSON_DEPTH_MAX,
                               .pretty = opts->pretty,
                               .sorted = opts->sorted,
                               .err = err};
}

tg_status tg_json_encoder_end(struct tg_json_encoder *enc, tg_status status, size_t before) {
  if (!status && tg_buffer_size(enc->out) > enc->size_max)
    status = tg_json_fail(enc, TG_ETOO_LARGE, "the text is too long", 0);
  if (status) enc->out->len = enc->out->head + before;
  return status;
}

tg_status tg_json_grow(struct tg_json_encoder *enc, size_t extra) {
  if (tg_buffer_size(enc->out) + extra > enc->size_max + 64)
    return tg_json_fail(enc, TG_ETOO_LARGE, "the text is too long", 0);
  tg_status status = tg_buffer_reserve(enc->out, extra);
  return status ? tg_json_fail(enc, status, "out of memory", 0) : TG_OK;
}

/* --- strings --- */

#define ONES  0x0101010101010101u
#define HIGHS 0x8080808080808080u

/* Nonzero when one of eight bytes is no ASCII character that stands for itself. */
static inline uint64_t is_special(uint64_t word) {
  uint64_t quote = word ^ (ONES * '"'), slash = word ^ (ONES * '\\');
  return ((word - ONES * 0x20) | (quote - ONES) | (slash - ONES) | word) & HIGHS;
}

static inline bool is_plain(unsigned char c) {
  return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static tg_status put_escape(struct tg_json_encoder *enc, unsigned char c) {
  static const char letters[] = "btn?fr"; /* from 8 on */
  static const char hex[] = "0123456789abcdef";
  char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
  if (c == '"' || c == '\\') {
    text[1] = (char)c;
  } else if (c >= 8 && c <= 13 && c != 11) {
    text[1] = letters[c - 8];
  } else {
    return tg_json_put(enc, text, 6);
  }
  return tg_json_put(enc, text, 2);
}

/* The rest of a string, from its first byte at `i` that is not plain. */
static tg_status put_string_rest(struct tg_json_encoder *enc, const char *ptr, size_t i,
                                 size_t len) {
  size_t run = i;
  tg_status status = TG_OK;
  while (i < len && !status) {
    unsigned char c = (unsigned char)ptr[i];
    if (is_plain(c)) {
      i++;
    } else if (c >= 0x80) {
      size_t n = tg_utf8_sequence(ptr + i, len - i);
      if (!n) return tg_json_fail(enc, TG_EINVALID, "invalid UTF-8", i + 1);
      i += n;
    } else {
      status = tg_json_put(enc, ptr + run, i - run);
      if (!status) status = put_escape(enc, c);
      run = ++i;
    }
  }
  if (!status) status = tg_json_put(enc, ptr + run, i - run);
  return status ? status : tg_json_put_char(enc, '"');
}

/* Copies the text while it stands for itself: all of it, or no further than where it does not. The
 * last word may overlap the one before it. */
static inline size_t copy_plain(char *to, const char *ptr, size_t len) {
  uint64_t word;
  size_t i = 0;
  for (; len - i >= 8; i += 8) {
    memcpy(&word, ptr + i, 8);
    if (is_special(word)) return i;
    memcpy(to + i, &word, 8);
  }
  if (i == len) return len;
  if (len >= 8) {
    memcpy(&word, ptr + len - 8, 8);
    if (is_special(word)) return i;
    memcpy(to + len - 8, &word, 8);
    return len;
  }
  if (len >= 4) {
    uint32_t first, last;
    memcpy(&first, ptr, 4);
    memcpy(&last, ptr + len - 4, 4);
    if (is_special((uint64_t)first << 32 | last)) return 0;
    memcpy(to, &first, 4);
    memcpy(to + len - 4, &last, 4);
    return len;
  }
  for (; i < len && is_plain((unsigned char)ptr[i]); i++) to[i] = ptr[i];
  return i;
}

tg_status tg_json_put_string(struct tg_json_encoder *enc, const char *ptr, size_t len) {
  tg_status status = tg_json_room(enc, len + 2);
  if (status) return status;
  char *to = tg_buffer_tail(enc->out);
  to[0] = '"';
  size_t copied = copy_plain(to + 1, ptr, len);
  tg_buffer_wrote(enc->out, 1 + copied);
  if (TG_UNLIKELY(copied < len)) return put_string_rest(enc, ptr, copied, len);
  to[1 + len] = '"';
  tg_buffer_wrote(enc->out, 1);
  return TG_OK;
}

/* --- scalars --- */

static tg_status put_number(struct tg_json_encoder *enc, double value) {
  if (!isfinite(value))
    return tg_json_fail(enc, TG_EINVALID, isnan(value) ? "NaN" : "an infinity", 0);
  tg_status status = tg_json_room(enc, TG_NUMBER_LEN);
  if (status) return status;
  tg_buffer_wrote(enc->out, tg_number_write(value, tg_buffer_tail(enc->out)));
  return TG_OK;
}

static tg_status put_int64(struct tg_json_encoder *enc) {
  uint64_t bits;
  bool is_unsigned;
  if (!tg_plain_get_int64(enc->L, -1, &bits, &is_unsigned))
    return tg_json_fail(enc, TG_EINVALID, "a cdata that is no 64-bit integer", 0);
  tg_status status = tg_json_room(enc, TG_NUMBER_LEN);
  if (status) return status;
  char *tail = tg_buffer_tail(enc->out);
  tg_buffer_wrote(enc->out, is_unsigned ? tg_number_write_u64(bits, tail)
                                        : tg_number_write_i64((int64_t)bits, tail));
  return TG_OK;
}

tg_status tg_json_put_scalar(struct tg_json_encoder *enc) {
  lua_State *L = enc->L;
  size_t len;
  const char *ptr;
  switch (lua_type(L, -1)) {
    case LUA_TSTRING: ptr = lua_tolstring(L, -1, &len); return tg_json_put_string(enc, ptr, len);
    case LUA_TNUMBER: return put_number(enc, lua_tonumber(L, -1));
    case LUA_TBOOLEAN:
      return lua_toboolean(L, -1) ? tg_json_put(enc, "true", 4) : tg_json_put(enc, "false", 5);
    case LUA_TNIL: return tg_json_put(enc, "null", 4);
    case LUA_TLIGHTUSERDATA:
      if (!lua_touserdata(L, -1)) return tg_json_put(enc, "null", 4);
      return tg_json_fail(enc, TG_EINVALID, "a userdata", 0);
    case TYPE_CDATA: return put_int64(enc);
    case LUA_TFUNCTION: return tg_json_fail(enc, TG_EINVALID, "a function", 0);
    case LUA_TTHREAD: return tg_json_fail(enc, TG_EINVALID, "a coroutine", 0);
    case LUA_TTABLE: return tg_json_fail(enc, TG_EINVALID, "a table", 0);
    default: return tg_json_fail(enc, TG_EINVALID, "a userdata", 0);
  }
}
