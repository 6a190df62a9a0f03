/* One pass over the text, word by word. What is open around the present place is a stack: numbers
 * of constructors, and marks of other brackets and of blocks. */
#include "script/key_scan.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/utf8.h"

#define IN_BRACKET (-1)
#define IN_BLOCK   (-2)

/* How far a declaration `local a, b` has come. */
enum local { LOCAL_NONE, LOCAL_NAME, LOCAL_NAMED };

struct scanner {
  struct tg_key_scan *scan;
  const char *begin, *at, *end;
  enum local local;
  bool want_key;    /* a key may begin here */
  bool returned;    /* right behind `return` */
  bool of_function; /* right behind `function` */
  uint32_t pending; /* the key whose value begins here */
  tg_status status;
};

/* ---- memory ---- */

void tg_key_scan_init(struct tg_key_scan *scan) {
  *scan = (struct tg_key_scan){.root = TG_KEY_NONE};
  tg_arena_init(&scan->names, NULL, 0);
}

void tg_key_scan_deinit(struct tg_key_scan *scan) {
  tg_arena_reset(&scan->names);
  free(scan->keys);
  free(scan->assigned);
  free(scan->slots);
  free(scan->open);
  tg_key_scan_init(scan);
}

static void forget(struct tg_key_scan *scan) {
  tg_arena_reset(&scan->names);
  if (scan->slots) memset(scan->slots, 0xff, scan->slot_count * sizeof *scan->slots);
  scan->key_count = scan->assigned_count = scan->open_count = 0;
  scan->table_count = 0;
  scan->root = TG_KEY_NONE;
}

/* Room for one more; what is there may move. */
static bool make_room(void **items, size_t *room, size_t count, size_t size) {
  if (count < *room) return true;
  size_t more = *room ? *room * 2 : 32;
  void *moved = realloc(*items, more * size);
  if (!moved) return false;
  *items = moved;
  *room = more;
  return true;
}

#define MAKE_ROOM(scan, items, count, room) \
  make_room((void **)&(scan)->items, &(scan)->room, (scan)->count, sizeof *(scan)->items)

static bool fail(struct scanner *s) {
  s->status = TG_ENOMEM;
  s->at = s->end;
  return false;
}

/* ---- keys by their names ---- */

static size_t first_slot(const struct tg_key_scan *scan, uint32_t table, struct tg_slice name) {
  static const struct tg_hash_seed seed = {{0}}; /* who writes the keys may stall the load anyhow */
  return (tg_hash(&seed, name) + table * UINT64_C(0x9e3779b97f4a7c15)) & (scan->slot_count - 1);
}

/* The slot of a key, or an empty one. */
static uint32_t *find_slot(const struct tg_key_scan *scan, uint32_t table, struct tg_slice name) {
  for (size_t i = first_slot(scan, table, name);; i = (i + 1) & (scan->slot_count - 1)) {
    uint32_t number = scan->slots[i];
    if (number == TG_KEY_NONE) return &scan->slots[i];
    const struct tg_key *key = &scan->keys[number];
    if (key->table == table && tg_slice_eq(key->name, name)) return &scan->slots[i];
  }
}

static bool make_slots(struct tg_key_scan *scan) {
  if (scan->key_count * 2 < scan->slot_count) return true;
  size_t count = scan->slot_count ? scan->slot_count * 2 : 64;
  uint32_t *slots = malloc(count * sizeof *slots);
  if (!slots) return false;
  memset(slots, 0xff, count * sizeof *slots);
  free(scan->slots);
  scan->slots = slots;
  scan->slot_count = count;
  for (uint32_t i = 0; i < scan->key_count; i++)
    *find_slot(scan, scan->keys[i].table, scan->keys[i].name) = i;
  return true;
}

const struct tg_key *tg_key_scan_find(const struct tg_key_scan *scan, uint32_t table,
                                      struct tg_slice name) {
  if (!scan->key_count) return NULL;
  uint32_t number = *find_slot(scan, table, name);
  return number == TG_KEY_NONE ? NULL : &scan->keys[number];
}

static bool add_key(struct scanner *s, struct tg_slice name, const char *from, const char *stop) {
  struct tg_key_scan *scan = s->scan;
  uint32_t table = (uint32_t)scan->open[scan->open_count - 1];
  if (!MAKE_ROOM(scan, keys, key_count, key_room) || !make_slots(scan)) return fail(s);
  uint32_t *slot = find_slot(scan, table, name);
  uint32_t number = (uint32_t)scan->key_count++;
  scan->keys[number] = (struct tg_key){.name = name,
                                       .from = (uint32_t)(from - s->begin),
                                       .stop = (uint32_t)(stop - s->begin),
                                       .table = table,
                                       .value = TG_KEY_NONE,
                                       .before = *slot};
  *slot = number;
  s->pending = number;
  return true;
}

/* ---- words, strings, comments ---- */

static bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80);
}

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

static const char *after_word(const char *at, const char *end) {
  while (at < end && (is_letter(*at) || is_digit(*at))) at++;
  return at;
}

static const char *after_line(const char *at, const char *end) {
  const char *feed = memchr(at, '\n', (size_t)(end - at));
  return feed ? feed : end;
}

/* Behind the opening of the long bracket at `at`, and its level; NULL where there is none. */
static const char *open_long(const char *at, const char *end, size_t *level) {
  if (at == end || *at != '[') return NULL;
  const char *from = ++at;
  while (at < end && *at == '=') at++;
  if (at == end || *at != '[') return NULL;
  *level = (size_t)(at - from);
  return at + 1;
}

/* Behind the long bracket that begins at `at`; NULL where none does. */
static const char *after_long(const char *at, const char *end) {
  size_t level;
  at = open_long(at, end, &level);
  if (!at) return NULL;
  while ((at = memchr(at, ']', (size_t)(end - at)))) {
    const char *mark = ++at;
    while (mark < end && *mark == '=') mark++;
    if (mark < end && *mark == ']' && (size_t)(mark - at) == level) return mark + 1;
  }
  return end;
}

/* Behind the string whose quote stands at `at`. */
static const char *after_string(const char *at, const char *end) {
  char quote = *at++;
  while (at < end && *at != quote) at += *at == '\\' && at + 1 < end ? 2 : 1;
  return at < end ? at + 1 : end;
}

static const char *after_comment(const char *at, const char *end) {
  const char *stop = after_long(at + 2, end);
  return stop ? stop : after_line(at, end);
}

static bool is_comment(const char *at, const char *end) {
  return end - at >= 2 && at[0] == '-' && at[1] == '-';
}

static const char *skip_space(const char *at, const char *end) {
  for (;;) {
    while (at < end && is_space(*at)) at++;
    if (!is_comment(at, end)) return at;
    at = after_comment(at, end);
  }
}

/* Behind the `=` that comes next; NULL where something else does. */
static const char *after_equals(const char *at, const char *end) {
  at = skip_space(at, end);
  if (at == end || *at != '=' || (end - at > 1 && at[1] == '=')) return NULL;
  return at + 1;
}

/* ---- keys in brackets ---- */

static unsigned from_hex(char c) {
  if (is_digit(c)) return (unsigned)(c - '0');
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

/* A number of at most `most` digits at *at. */
static uint32_t take_number(const char **at, const char *end, unsigned base, unsigned most) {
  uint32_t value = 0;
  for (; most && *at < end && from_hex(**at) < base; most--)
    value = value * base + from_hex(*(*at)++);
  return value;
}

/* The escape behind a backslash: its bytes go to `out`; returns their number, at most four. */
static size_t take_escape(const char **at, const char *end, char out[4]) {
  static const char letters[] = "a\ab\bf\fn\nr\rt\tv\v";
  char c = *(*at)++;
  out[0] = c;
  if (is_digit(c)) {
    --*at;
    out[0] = (char)take_number(at, end, 10, 3);
  } else if (c == 'x') {
    out[0] = (char)take_number(at, end, 16, 2);
  } else if (c == 'u' && *at < end && **at == '{') {
    ++*at;
    uint32_t code_point = take_number(at, end, 16, 6);
    if (*at < end) ++*at;
    return code_point < 0x110000 ? tg_utf8_write(code_point, out) : 0;
  } else if (c == 'z') {
    while (*at < end && is_space(**at)) ++*at;
    return 0;
  } else {
    for (const char *row = letters; *row; row += 2)
      if (*row == c) out[0] = row[1];
  }
  return 1;
}

/* What a string between quotes means. */
static struct tg_slice unescape(struct scanner *s, struct tg_slice text) {
  if (!text.len || !memchr(text.ptr, '\\', text.len)) return text;
  char *out = tg_arena_alloc(&s->scan->names, text.len + 4);
  if (!out) return fail(s), tg_slice(NULL, 0);
  size_t len = 0;
  for (const char *at = text.ptr, *end = at + text.len; at < end;) {
    if (*at != '\\' || at + 1 == end)
      out[len++] = *at++;
    else
      at++, len += take_escape(&at, end, out + len);
  }
  return tg_slice(out, len);
}

/* A long bracket without its marks, and without a line end that comes first. */
static struct tg_slice inside_long(const char *at, const char *stop) {
  size_t level = 0;
  const char *from = open_long(at, stop, &level);
  stop = (size_t)(stop - from) >= level + 2 ? stop - level - 2 : from;
  if (from < stop && *from == '\r') from++;
  if (from < stop && *from == '\n') from++;
  return tg_slice(from, (size_t)(stop - from));
}

/* `[ "key" ] =` at the present place: adds it. False where it is something else. */
static bool take_bracketed(struct scanner *s) {
  const char *start = skip_space(s->at + 1, s->end), *stop = NULL;
  bool quoted = start < s->end && (*start == '"' || *start == '\'');
  if (start < s->end) stop = quoted ? after_string(start, s->end) : after_long(start, s->end);
  if (!stop) return false;
  const char *close = skip_space(stop, s->end);
  if (close == s->end || *close != ']') return false;
  const char *after = after_equals(close + 1, s->end);
  if (!after) return false;
  struct tg_slice name = quoted ? unescape(s, tg_slice(start + 1, (size_t)(stop - start) - 2))
                                : inside_long(start, stop);
  if (s->status || !add_key(s, name, s->at, close + 1)) return true;
  s->at = after;
  return true;
}

/* ---- the pass ---- */

static bool push(struct scanner *s, int32_t what) {
  struct tg_key_scan *scan = s->scan;
  if (!MAKE_ROOM(scan, open, open_count, open_room)) return fail(s);
  scan->open[scan->open_count++] = what;
  return true;
}

static void pop(struct scanner *s) {
  if (s->scan->open_count) s->scan->open_count--;
}

static bool in_constructor(const struct scanner *s) {
  return s->scan->open_count && s->scan->open[s->scan->open_count - 1] >= 0;
}

static void open_constructor(struct scanner *s, bool returned, uint32_t key) {
  uint32_t number = s->scan->table_count++;
  if (key != TG_KEY_NONE) s->scan->keys[key].value = number;
  if (returned && s->scan->open_count == 0) s->scan->root = number;
  push(s, (int32_t)number);
  s->want_key = true;
}

static bool is_one(struct tg_slice word, const char *const *words) {
  for (; *words; words++)
    if (tg_slice_eq(word, tg_slice_cstr(*words))) return true;
  return false;
}

/* A name, unless it is a field, may be assigned to where `=` or a comma follows. */
static void note_assigned(struct scanner *s, struct tg_slice word, bool declared) {
  struct tg_key_scan *scan = s->scan;
  const char *before = word.ptr - 1, *next = skip_space(s->at, s->end);
  bool is_field = before >= s->begin && *before == '.' && (before == s->begin || before[-1] != '.');
  bool named = s->of_function || after_equals(next, s->end) || (next < s->end && *next == ',');
  if (declared || is_field || !named) return;
  if (!MAKE_ROOM(scan, assigned, assigned_count, assigned_room)) {
    fail(s);
    return;
  }
  scan->assigned[scan->assigned_count++] = word;
}

static void take_word(struct scanner *s, bool want_key, enum local local) {
  static const char *const opens[] = {"function", "if", "do", "repeat", NULL};
  static const char *const closes[] = {"end", "until", NULL};
  struct tg_slice word = {s->at, (size_t)(after_word(s->at, s->end) - s->at)};
  s->at += word.len;
  bool is_function = tg_slice_eq(word, TG_SLICE("function"));
  const char *after = want_key ? after_equals(s->at, s->end) : NULL;
  if (is_one(word, opens)) {
    push(s, IN_BLOCK);
  } else if (is_one(word, closes)) {
    pop(s);
  } else if (after) {
    if (add_key(s, word, word.ptr, s->at)) s->at = after;
  } else {
    note_assigned(s, word, local == LOCAL_NAME);
  }
  s->returned = tg_slice_eq(word, TG_SLICE("return"));
  s->of_function = is_function;
  s->local = tg_slice_eq(word, TG_SLICE("local")) || (is_function && local == LOCAL_NAME)
                 ? LOCAL_NAME
             : local == LOCAL_NAME ? LOCAL_NAMED
                                   : LOCAL_NONE;
}

static void take_bracket(struct scanner *s, bool want_key) {
  const char *after = after_long(s->at, s->end);
  if (after)
    s->at = after;
  else if (!want_key || !take_bracketed(s))
    s->at++, push(s, IN_BRACKET);
}

static void take_number_word(struct scanner *s) {
  while (s->at < s->end && (is_letter(*s->at) || is_digit(*s->at) || *s->at == '.')) s->at++;
}

static void take_mark(struct scanner *s, enum local local) {
  char c = *s->at++;
  if (c == '(')
    push(s, IN_BRACKET);
  else if (c == ')' || c == ']' || c == '}')
    pop(s);
  else if (c == ',' || c == ';')
    s->want_key = in_constructor(s);
  if (c == ',' && local == LOCAL_NAMED) s->local = LOCAL_NAME;
}

/* What comes next, which is no blank and no comment. */
static void take(struct scanner *s) {
  bool want_key = s->want_key, returned = s->returned;
  uint32_t key = s->pending;
  enum local local = s->local;
  char c = *s->at;
  s->want_key = s->returned = false;
  s->pending = TG_KEY_NONE;
  s->local = LOCAL_NONE;
  if (is_letter(c)) {
    take_word(s, want_key, local);
    return;
  }
  s->of_function = false;
  if (c == '"' || c == '\'')
    s->at = after_string(s->at, s->end);
  else if (c == '[')
    take_bracket(s, want_key);
  else if (c == '{')
    s->at++, open_constructor(s, returned, key);
  else if (is_digit(c))
    take_number_word(s);
  else
    take_mark(s, local);
}

tg_status tg_key_scan_run(struct tg_key_scan *scan, struct tg_slice source) {
  forget(scan);
  if (source.len > INT32_MAX) return TG_ETOO_LARGE;
  struct scanner s = {.scan = scan,
                      .begin = source.ptr,
                      .at = source.ptr,
                      .end = source.ptr + source.len,
                      .pending = TG_KEY_NONE};
  while ((s.at = skip_space(s.at, s.end)) < s.end) take(&s);
  if (s.status) forget(scan);
  return s.status;
}
