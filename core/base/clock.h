/* Time: a monotonic clock for everything that waits, a wall clock for everything that is shown.
 *
 * Deadlines and durations are monotonic nanoseconds; stepping the wall clock moves none of them. */
#ifndef TG_BASE_CLOCK_H
#define TG_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define TG_SECOND      1000000000ull
#define TG_MILLISECOND 1000000ull

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t tg_clock_now(void);

/* Nanoseconds since 1970 of CLOCK_REALTIME. */
uint64_t tg_clock_wall(void);

/* CPU nanoseconds of the calling thread. */
uint64_t tg_clock_thread_cpu(void);

#define TG_HTTP_DATE_LEN 29

/* Writes an IMF-fixdate (RFC 9110 section 5.6.7), TG_HTTP_DATE_LEN bytes and a NUL. */
void tg_clock_http_date(uint64_t wall_seconds, char out[TG_HTTP_DATE_LEN + 1]);

/* Writes RFC 3339 UTC with milliseconds, "2026-01-02T03:04:05.678Z"; returns its length (24). */
size_t tg_clock_rfc3339(uint64_t wall_ns, char out[32]);

/* Reads any of the three HTTP date forms (RFC 9110 section 5.6.7) as seconds since 1970; -1 when
 * malformed. */
int64_t tg_clock_parse_http_date(const char *text, size_t len);

#endif
