/* Lines of the log: see log_record.h. */
#include "base/log_record.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/escape.h"
#include "base/number.h"

#define MARK_MAX 32 /* "..[+N bytes]" and a byte more, for the quote behind it */
#define TAIL     16 /* always left: the end of a colour, "}" and the line feed */

#define DIM   "\x1B[2m"
#define PLAIN "\x1B[0m"

static size_t room(const struct tg_log_record *record) {
  return TG_LOG_RECORD_MAX - TAIL - record->len;
}

static void put(struct tg_log_record *record, struct tg_slice text) {
  if (text.len == 0 || text.len > room(record)) return;
  memcpy(record->bytes + record->len, text.ptr, text.len);
  record->len += text.len;
}

static void put_escaped(struct tg_log_record *record, struct tg_slice text) {
  if (room(record) < MARK_MAX) return;
  size_t most = room(record) - MARK_MAX, used;
  if (most > TG_LOG_VALUE_MAX) most = TG_LOG_VALUE_MAX;
  record->len += tg_escape_json(text, record->bytes + record->len, most, &used);
  if (used == text.len) return;
  char mark[MARK_MAX];
  int len = snprintf(mark, sizeof mark, "..[+%zu bytes]", text.len - used);
  put(record, tg_slice(mark, (size_t)len));
}

static bool taken(struct tg_slice key) {
  return tg_slice_eq(key, TG_SLICE("time")) || tg_slice_eq(key, TG_SLICE("level")) ||
         tg_slice_eq(key, TG_SLICE("msg"));
}

/* Must the readable form quote this text so that its end can be seen? */
static bool needs_quotes(struct tg_slice text) {
  for (size_t i = 0; i < text.len; i++) {
    unsigned char c = (unsigned char)text.ptr[i];
    if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7F) return true;
  }
  return text.len == 0;
}

/* False when there is no room for the field; `value_len` is what must fit for it to make sense. */
static bool put_key(struct tg_log_record *record, const char *name, size_t value_len) {
  struct tg_slice key = tg_slice_cstr(name);
  size_t longest = key.len > 128 ? 128 : key.len;
  if (room(record) < longest * TG_ESCAPE_MAX + 16 + 2 * MARK_MAX + value_len) return false;
  char text[128 * TG_ESCAPE_MAX];
  size_t used;
  size_t len = tg_escape_json(tg_slice(key.ptr, longest), text, sizeof text, &used);
  if (record->form == TG_LOG_COLOUR) put(record, TG_SLICE(DIM));
  put(record, record->form == TG_LOG_JSON ? TG_SLICE(",\"") : TG_SLICE(" "));
  put(record, tg_slice(text, len));
  if (taken(key)) put(record, TG_SLICE("_"));
  put(record, record->form == TG_LOG_JSON ? TG_SLICE("\":") : TG_SLICE("="));
  if (record->form == TG_LOG_COLOUR) put(record, TG_SLICE(PLAIN));
  return true;
}

static void put_raw(struct tg_log_record *record, const char *key, struct tg_slice value) {
  if (put_key(record, key, value.len)) put(record, value);
}

/* --- the beginning of a line ------------------------------------------------------------------------ */

static void begin_json(struct tg_log_record *record, enum tg_log_level level, uint64_t wall_ns,
                       struct tg_slice message) {
  char time[32];
  put(record, TG_SLICE("{\"time\":\""));
  put(record, tg_slice(time, tg_clock_rfc3339(wall_ns, time)));
  put(record, TG_SLICE("\",\"level\":\""));
  put(record, tg_log_level_name(level));
  put(record, TG_SLICE("\",\"msg\":\""));
  put_escaped(record, message);
  put(record, TG_SLICE("\""));
}

static struct tg_slice colour_of(enum tg_log_level level) {
  switch (level) {
    case TG_LOG_WARN: return TG_SLICE("\x1B[33m");
    case TG_LOG_ERROR: return TG_SLICE("\x1B[31m");
    case TG_LOG_INFO: return TG_SLICE("\x1B[32m");
    case TG_LOG_DEBUG:
    case TG_LOG_OFF: break;
  }
  return TG_SLICE(DIM);
}

static void begin_readable(struct tg_log_record *record, enum tg_log_level level, uint64_t wall_ns,
                           struct tg_slice message) {
  bool colour = record->form == TG_LOG_COLOUR;
  time_t seconds = (time_t)(wall_ns / TG_SECOND);
  struct tm tm;
  localtime_r(&seconds, &tm);
  char time[64];
  int len = snprintf(time, sizeof time, "%02d:%02d:%02d.%03u", tm.tm_hour, tm.tm_min, tm.tm_sec,
                     (unsigned)(wall_ns / TG_MILLISECOND % 1000));
  if (colour) put(record, TG_SLICE(DIM));
  put(record, tg_slice(time, (size_t)len));
  if (colour) put(record, TG_SLICE(PLAIN));
  put(record, TG_SLICE(" "));
  if (colour) put(record, colour_of(level));
  put(record, tg_log_level_name(level));
  if (colour) put(record, TG_SLICE(PLAIN));
  put(record, tg_slice("      ", 6 - tg_log_level_name(level).len));
  put_escaped(record, message);
}

void tg_log_record_start(struct tg_log_record *record, enum tg_log_form form,
                         enum tg_log_level level, uint64_t wall_ns, struct tg_slice message) {
  record->form = form;
  record->len = 0;
  if (form == TG_LOG_JSON)
    begin_json(record, level, wall_ns, message);
  else
    begin_readable(record, level, wall_ns, message);
}

void tg_log_record_begin(struct tg_log_record *record, const struct tg_log *log,
                         enum tg_log_level level, struct tg_slice message) {
  tg_log_record_start(record, tg_log_form(log), level, tg_clock_wall(), message);
}

/* --- fields ----------------------------------------------------------------------------------------- */

void tg_log_record_text(struct tg_log_record *record, const char *key, struct tg_slice value) {
  bool quotes = record->form == TG_LOG_JSON || needs_quotes(value);
  if (!put_key(record, key, 2)) return;
  if (quotes) put(record, TG_SLICE("\""));
  put_escaped(record, value);
  if (quotes) record->bytes[record->len++] = '"';
}

void tg_log_record_int(struct tg_log_record *record, const char *key, int64_t value) {
  char text[TG_NUMBER_LEN];
  put_raw(record, key, tg_slice(text, tg_number_write_i64(value, text)));
}

/* JSON has no infinity and no NaN: they become texts. */
void tg_log_record_number(struct tg_log_record *record, const char *key, double value) {
  char text[TG_NUMBER_LEN];
  if (isnan(value))
    tg_log_record_text(record, key, TG_SLICE("nan"));
  else if (isinf(value))
    tg_log_record_text(record, key, value > 0 ? TG_SLICE("inf") : TG_SLICE("-inf"));
  else
    put_raw(record, key, tg_slice(text, tg_number_write(value, text)));
}

void tg_log_record_flag(struct tg_log_record *record, const char *key, bool value) {
  put_raw(record, key, value ? TG_SLICE("true") : TG_SLICE("false"));
}

void tg_log_record_json(struct tg_log_record *record, const char *key, struct tg_slice json) {
  if (json.len <= TG_LOG_VALUE_MAX) put_raw(record, key, json);
}

void tg_log_record_words(struct tg_log_record *record, struct tg_slice words) {
  if (record->form == TG_LOG_JSON) return;
  put(record, TG_SLICE(" "));
  put_escaped(record, words);
}

struct tg_slice tg_log_record_line(struct tg_log_record *record) {
  if (record->form == TG_LOG_JSON) record->bytes[record->len++] = '}';
  record->bytes[record->len++] = '\n';
  return tg_slice(record->bytes, record->len);
}

void tg_log_record_end(struct tg_log_record *record, struct tg_log *log) {
  tg_log_write(log, tg_log_record_line(record));
}
