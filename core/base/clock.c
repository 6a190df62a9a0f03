/* Clock readings and the two date formats that the gateway writes. */
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t read_clock(clockid_t id) {
  struct timespec ts;
  clock_gettime(id, &ts);
  return (uint64_t)ts.tv_sec * TG_SECOND + (uint64_t)ts.tv_nsec;
}

uint64_t tg_clock_now(void) {
  return read_clock(CLOCK_MONOTONIC);
}

uint64_t tg_clock_wall(void) {
  return read_clock(CLOCK_REALTIME);
}

uint64_t tg_clock_thread_cpu(void) {
  return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

void tg_clock_http_date(uint64_t wall_seconds, char out[TG_HTTP_DATE_LEN + 1]) {
  static const char days[] = "SunMonTueWedThuFriSat";
  static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  time_t t = (time_t)wall_seconds;
  struct tm tm;
  gmtime_r(&t, &tm);
  char line[64];
  snprintf(line, sizeof line, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * tm.tm_wday,
           tm.tm_mday, months + 3 * tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
  memcpy(out, line, TG_HTTP_DATE_LEN);
  out[TG_HTTP_DATE_LEN] = 0;
}

static char *put_digits(char *out, unsigned number, int count) {
  for (int i = count - 1; i >= 0; i--, number /= 10) out[i] = (char)('0' + number % 10);
  return out + count;
}

/* The date of a day since 1970 (Howard Hinnant's civil_from_days, for days that are not negative):
 * years begin in March, so that the leap day is their last. */
static char *put_date(char *out, uint64_t days) {
  uint64_t shifted = days + 719468, era = shifted / 146097;
  unsigned day_of_era = (unsigned)(shifted % 146097);
  unsigned year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  unsigned month = (5 * day_of_year + 2) / 153;
  unsigned day = day_of_year - (153 * month + 2) / 5 + 1;
  month = month < 10 ? month + 3 : month - 9;
  uint64_t year = year_of_era + era * 400 + (month <= 2);
  out = put_digits(out, (unsigned)(year % 10000), 4);
  *out++ = '-';
  out = put_digits(out, month, 2);
  *out++ = '-';
  return put_digits(out, day, 2);
}

/* By hand, because every line of a log begins with it. */
size_t tg_clock_rfc3339(uint64_t wall_ns, char out[32]) {
  uint64_t seconds = wall_ns / TG_SECOND;
  unsigned rest = (unsigned)(seconds % 86400);
  char *at = put_date(out, seconds / 86400);
  *at++ = 'T';
  at = put_digits(at, rest / 3600, 2);
  *at++ = ':';
  at = put_digits(at, rest / 60 % 60, 2);
  *at++ = ':';
  at = put_digits(at, rest % 60, 2);
  *at++ = '.';
  at = put_digits(at, (unsigned)(wall_ns / TG_MILLISECOND % 1000), 3);
  *at++ = 'Z';
  *at = 0;
  return (size_t)(at - out);
}

int64_t tg_clock_parse_http_date(const char *text, size_t len) {
  static const char *const formats[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                        "%a %b %d %H:%M:%S %Y"};
  char line[64];
  if (len >= sizeof line) return -1;
  memcpy(line, text, len);
  line[len] = 0;
  for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
    struct tm tm = {0};
    const char *end = strptime(line, formats[i], &tm);
    if (end == line + len) return (int64_t)timegm(&tm);
  }
  return -1;
}
