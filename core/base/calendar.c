/* Days are counted from 1 March of the year 0, so that the leap day is the last of a year; eras of
 * 400 years have the same number of days (Howard Hinnant's civil_from_days). */
#include "base/calendar.h"

#include <stdio.h>

#include "base/check.h"

#define DAY           86400
#define DAYS_AN_ERA   146097
#define DAYS_TO_EPOCH 719468 /* from 0000-03-01 to 1970-01-01 */

static const char days[] = "SunMonTueWedThuFriSat";
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

void tg_calendar_split(struct tg_calendar *calendar, int64_t seconds) {
  TG_CHECK(seconds >= TG_CALENDAR_LEAST && seconds <= TG_CALENDAR_MOST);
  int64_t day = seconds / DAY - (seconds % DAY < 0);
  unsigned rest = (unsigned)(seconds - day * DAY);
  /* One era earlier, because the first two months of the year 0 belong to the year before. */
  uint64_t shifted = (uint64_t)(day + DAYS_TO_EPOCH + DAYS_AN_ERA);
  uint64_t era = shifted / DAYS_AN_ERA;
  unsigned of_era = (unsigned)(shifted % DAYS_AN_ERA);
  unsigned year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  unsigned of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  unsigned month = (5 * of_year + 2) / 153;
  calendar->day = of_year - (153 * month + 2) / 5 + 1;
  calendar->month = month < 10 ? month + 3 : month - 9;
  calendar->year = (int)(year_of_era + era * 400) - 400 + (calendar->month <= 2);
  calendar->hour = rest / 3600;
  calendar->minute = rest / 60 % 60;
  calendar->second = rest % 60;
  calendar->weekday = (unsigned)((day + 4 + 7ll * DAYS_AN_ERA * 5) % 7);
}

int64_t tg_calendar_join(const struct tg_calendar *calendar) {
  int64_t year = calendar->year - (calendar->month <= 2) + 400;
  int64_t era = year / 400, year_of_era = year % 400;
  int64_t month = calendar->month > 2 ? calendar->month - 3 : calendar->month + 9;
  int64_t of_year = (153 * month + 2) / 5 + calendar->day - 1;
  int64_t of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
  int64_t day = (era - 1) * DAYS_AN_ERA + of_era - DAYS_TO_EPOCH;
  return day * DAY + calendar->hour * 3600 + calendar->minute * 60 + calendar->second;
}

/* ---- writing ---- */

size_t tg_calendar_write_rfc3339(int64_t seconds, uint32_t nanoseconds, int digits, int offset,
                                 char out[TG_CALENDAR_TEXT]) {
  struct tg_calendar c;
  bool is_z = offset == TG_CALENDAR_Z;
  tg_calendar_split(&c, seconds + (is_z ? 0 : offset * 60));
  int len = snprintf(out, TG_CALENDAR_TEXT, "%04d-%02u-%02uT%02u:%02u:%02u", c.year, c.month, c.day,
                     c.hour, c.minute, c.second);
  char fraction[16];
  snprintf(fraction, sizeof fraction, "%09u", nanoseconds);
  if (digits > 0)
    len += snprintf(out + len, TG_CALENDAR_TEXT - (size_t)len, ".%.*s", digits, fraction);
  if (is_z) {
    len += snprintf(out + len, TG_CALENDAR_TEXT - (size_t)len, "Z");
  } else {
    int minutes = offset < 0 ? -offset : offset;
    len += snprintf(out + len, TG_CALENDAR_TEXT - (size_t)len, "%c%02d:%02d",
                    offset < 0 ? '-' : '+', minutes / 60, minutes % 60);
  }
  return (size_t)len;
}

size_t tg_calendar_write_http(int64_t seconds, char out[TG_CALENDAR_TEXT]) {
  struct tg_calendar c;
  tg_calendar_split(&c, seconds);
  return (size_t)snprintf(out, TG_CALENDAR_TEXT, "%.3s, %02u %.3s %04d %02u:%02u:%02u GMT",
                          days + (size_t)3 * c.weekday, c.day, months + (size_t)3 * (c.month - 1),
                          c.year, c.hour, c.minute, c.second);
}

/* ---- reading ---- */

/* A cursor that remembers that something was not as it should be. */
struct reader {
  struct tg_slice left;
  bool failed;
};

static bool take(struct reader *reader, const char *literal) {
  struct tg_slice wanted = tg_slice_cstr(literal);
  if (reader->failed || !tg_slice_starts(reader->left, wanted)) {
    reader->failed = true;
    return false;
  }
  reader->left = tg_slice_skip(reader->left, wanted.len);
  return true;
}

static bool take_either(struct reader *reader, char a, char b) {
  if (reader->failed || !reader->left.len ||
      (reader->left.ptr[0] != a && reader->left.ptr[0] != b)) {
    reader->failed = true;
    return false;
  }
  reader->left = tg_slice_skip(reader->left, 1);
  return true;
}

static bool at_digit(const struct reader *reader) {
  return reader->left.len && reader->left.ptr[0] >= '0' && reader->left.ptr[0] <= '9';
}

static unsigned take_digits(struct reader *reader, int count) {
  unsigned number = 0;
  for (int i = 0; i < count; i++) {
    if (reader->failed || !at_digit(reader)) {
      reader->failed = true;
      return 0;
    }
    number = number * 10 + (unsigned)(reader->left.ptr[0] - '0');
    reader->left = tg_slice_skip(reader->left, 1);
  }
  return number;
}

/* Index of the name of three letters that comes next. */
static unsigned take_name(struct reader *reader, const char *names, unsigned count) {
  for (unsigned i = 0; !reader->failed && i < count; i++) {
    if (!tg_slice_starts(reader->left, tg_slice(names + (size_t)3 * i, 3))) continue;
    reader->left = tg_slice_skip(reader->left, 3);
    return i;
  }
  reader->failed = true;
  return 0;
}

static bool at_end(const struct reader *reader) {
  return !reader->failed && reader->left.len == 0;
}

static bool exists(const struct tg_calendar *c) {
  static const unsigned char lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (c->month < 1 || c->month > 12 || c->hour > 23 || c->minute > 59 || c->second > 60)
    return false;
  bool leap = c->year % 4 == 0 && (c->year % 100 != 0 || c->year % 400 == 0);
  unsigned most = lengths[c->month - 1] + (c->month == 2 && leap ? 1u : 0u);
  return c->day >= 1 && c->day <= most;
}

/* Leap seconds come at the end of a month of UTC only. */
static bool leap_second_fits(int64_t after) {
  struct tg_calendar next;
  if (after > TG_CALENDAR_MOST || after < TG_CALENDAR_LEAST) return false;
  tg_calendar_split(&next, after);
  return next.day == 1 && next.hour == 0 && next.minute == 0 && next.second == 0;
}

static tg_status settle(const struct tg_calendar *calendar, int offset, int64_t *seconds) {
  int64_t sum = tg_calendar_join(calendar) - (int64_t)offset * 60;
  if (calendar->second == 60 && !leap_second_fits(sum)) return TG_ERANGE;
  if (sum < TG_CALENDAR_LEAST || sum > TG_CALENDAR_MOST) return TG_ERANGE;
  *seconds = sum;
  return TG_OK;
}

static void take_time(struct reader *reader, struct tg_calendar *c) {
  c->hour = take_digits(reader, 2);
  take(reader, ":");
  c->minute = take_digits(reader, 2);
  take(reader, ":");
  c->second = take_digits(reader, 2);
}

/* What is finer than a nanosecond is cut. */
static uint32_t take_fraction(struct reader *reader) {
  uint32_t nanoseconds = take_digits(reader, 1) * 100000000u;
  for (uint32_t unit = 10000000u; at_digit(reader); unit /= 10)
    nanoseconds += take_digits(reader, 1) * unit;
  return nanoseconds;
}

/* Minutes east of UTC; TG_CALENDAR_Z where there is no such offset. */
static int take_offset(struct reader *reader) {
  bool is_z = reader->left.len && (reader->left.ptr[0] == 'Z' || reader->left.ptr[0] == 'z');
  if (is_z) {
    take_either(reader, 'Z', 'z');
    return 0;
  }
  bool west = reader->left.len && reader->left.ptr[0] == '-';
  take_either(reader, '+', '-');
  unsigned hours = take_digits(reader, 2);
  take(reader, ":");
  unsigned minutes = take_digits(reader, 2);
  if (hours > 23 || minutes > 59) return TG_CALENDAR_Z;
  int offset = (int)(hours * 60 + minutes);
  return west ? -offset : offset;
}

static void take_date(struct reader *reader, struct tg_calendar *c) {
  c->year = (int)take_digits(reader, 4);
  take(reader, "-");
  c->month = take_digits(reader, 2);
  take(reader, "-");
  c->day = take_digits(reader, 2);
}

tg_status tg_calendar_read_date(struct tg_slice text, int64_t *seconds) {
  struct reader reader = {.left = text};
  struct tg_calendar c = {0};
  take_date(&reader, &c);
  if (!at_end(&reader)) return TG_ESYNTAX;
  if (!exists(&c)) return TG_ERANGE;
  *seconds = tg_calendar_join(&c);
  return TG_OK;
}

tg_status tg_calendar_read_rfc3339(struct tg_slice text, int64_t *seconds, uint32_t *nanoseconds) {
  struct reader reader = {.left = text};
  struct tg_calendar c = {0};
  take_date(&reader, &c);
  take_either(&reader, 'T', 't');
  take_time(&reader, &c);
  *nanoseconds = 0;
  if (reader.left.len && reader.left.ptr[0] == '.') {
    take(&reader, ".");
    *nanoseconds = take_fraction(&reader);
  }
  int offset = take_offset(&reader);
  if (!at_end(&reader)) return TG_ESYNTAX;
  if (offset == TG_CALENDAR_Z || !exists(&c)) return TG_ERANGE;
  return settle(&c, offset, seconds);
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static bool take_fixdate(struct reader *reader, struct tg_calendar *c) {
  c->weekday = take_name(reader, days, 7);
  take(reader, ", ");
  c->day = take_digits(reader, 2);
  take(reader, " ");
  c->month = take_name(reader, months, 12) + 1;
  take(reader, " ");
  c->year = (int)take_digits(reader, 4);
  take(reader, " ");
  take_time(reader, c);
  take(reader, " GMT");
  return at_end(reader);
}

static int full_year(unsigned two_digits, int64_t now) {
  struct tg_calendar c;
  tg_calendar_split(&c, now);
  int year = c.year / 100 * 100 + (int)two_digits;
  if (year > c.year + 50) year -= 100;
  return year <= c.year - 50 ? year + 100 : year;
}

/* "Sunday, 06-Nov-94 08:49:37 GMT" */
static bool take_rfc850(struct reader *reader, struct tg_calendar *c, int64_t now) {
  static const char *const rests[] = {"day", "day", "sday", "nesday", "rsday", "day", "urday"};
  c->weekday = take_name(reader, days, 7);
  take(reader, rests[c->weekday]);
  take(reader, ", ");
  c->day = take_digits(reader, 2);
  take(reader, "-");
  c->month = take_name(reader, months, 12) + 1;
  take(reader, "-");
  c->year = full_year(take_digits(reader, 2), now);
  take(reader, " ");
  take_time(reader, c);
  take(reader, " GMT");
  return at_end(reader);
}

/* "Sun Nov  6 08:49:37 1994" */
static bool take_asctime(struct reader *reader, struct tg_calendar *c) {
  c->weekday = take_name(reader, days, 7);
  take(reader, " ");
  c->month = take_name(reader, months, 12) + 1;
  take(reader, " ");
  bool one_digit = reader->left.len && reader->left.ptr[0] == ' ';
  if (one_digit) take(reader, " ");
  c->day = take_digits(reader, one_digit ? 1 : 2);
  take(reader, " ");
  take_time(reader, c);
  take(reader, " ");
  c->year = (int)take_digits(reader, 4);
  return at_end(reader);
}

tg_status tg_calendar_read_http(struct tg_slice text, int64_t now, int64_t *seconds) {
  struct tg_calendar c = {0};
  struct reader first = {.left = text}, second = first, third = first;
  if (!take_fixdate(&first, &c) && !take_rfc850(&second, &c, now) && !take_asctime(&third, &c))
    return TG_ESYNTAX;
  if (!exists(&c)) return TG_ERANGE;
  struct tg_calendar same = c, read;
  same.hour = same.minute = same.second = 0;
  tg_calendar_split(&read, tg_calendar_join(&same));
  if (read.weekday != c.weekday) return TG_ERANGE;
  return settle(&c, 0, seconds);
}
