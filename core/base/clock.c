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

uint64_t tg_clock_now(void) { return read_clock(CLOCK_MONOTONIC); }

uint64_t tg_clock_wall(void) { return read_clock(CLOCK_REALTIME); }

uint64_t tg_clock_thread_cpu(void) { return read_clock(CLOCK_THREAD_CPUTIME_ID); }

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

size_t tg_clock_rfc3339(uint64_t wall_ns, char out[32]) {
  time_t t = (time_t)(wall_ns / TG_SECOND);
  struct tm tm;
  gmtime_r(&t, &tm);
  int n = snprintf(out, 32, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", (tm.tm_year + 1900) % 10000,
                   tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                   (unsigned)(wall_ns / TG_MILLISECOND % 1000));
  return n < 0 ? 0 : (size_t)n;
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
