/* Dates: seconds since 1970 to what people and protocols write, and back.
 *
 * The proleptic Gregorian calendar in UTC, years 0 to 9999, without leap seconds: a 60th second is
 * read where one may stand, and is the first of the next minute. Readers are strict: what they take
 * is a date that exists, in the form that its RFC gives. */
#ifndef TG_BASE_CALENDAR_H
#define TG_BASE_CALENDAR_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

#define TG_CALENDAR_LEAST (-62167219200ll) /* 0000-01-01T00:00:00Z */
#define TG_CALENDAR_MOST  253402300799ll   /* 9999-12-31T23:59:59Z */

/* Room for what the writers write, with its NUL. */
#define TG_CALENDAR_TEXT 48

struct tg_calendar {
  int year;
  unsigned month, day; /* from 1 */
  unsigned hour, minute, second;
  unsigned weekday; /* 0 is Sunday */
};

/* Splits seconds that lie between TG_CALENDAR_LEAST and TG_CALENDAR_MOST. */
void tg_calendar_split(struct tg_calendar *calendar, int64_t seconds);

/* Seconds of a date that exists; its weekday is not looked at. */
int64_t tg_calendar_join(const struct tg_calendar *calendar);

/* RFC 3339: `digits` (0 to 9) of the fraction, cut; the offset in minutes east of UTC, or
 * TG_CALENDAR_Z for "Z". The local date must lie within the years. Returns the length. */
#define TG_CALENDAR_Z 10000
size_t tg_calendar_write_rfc3339(int64_t seconds, uint32_t nanoseconds, int digits, int offset,
                                 char out[TG_CALENDAR_TEXT]);

/* IMF-fixdate (RFC 9110 section 5.6.7). Returns the length. */
size_t tg_calendar_write_http(int64_t seconds, char out[TG_CALENDAR_TEXT]);

/* RFC 3339 section 5.6. TG_ESYNTAX: not of that form; TG_ERANGE: no such date or time. */
TG_MUST_CHECK tg_status tg_calendar_read_rfc3339(struct tg_slice text, int64_t *seconds,
                                                 uint32_t *nanoseconds);

/* The date alone (RFC 3339's full-date); `seconds` are those of its first moment in UTC. */
TG_MUST_CHECK tg_status tg_calendar_read_date(struct tg_slice text, int64_t *seconds);

/* Any of the three forms of RFC 9110 section 5.6.7; the weekday must be right. Years of two digits
 * are those that lie at most 50 years after `now`. */
TG_MUST_CHECK tg_status tg_calendar_read_http(struct tg_slice text, int64_t now, int64_t *seconds);

#endif
