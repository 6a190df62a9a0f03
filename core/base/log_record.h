/* One line of a log, built field by field in memory of the caller's.
 *
 * Two forms: JSON, {"time":RFC 3339,"level":..,"msg":..,fields..}, for programs; and a readable
 * one, "time level message key=value", for a terminal. In both, what comes from outside is escaped:
 * one record is one line, and no control byte reaches a terminal. A value that is too long is cut
 * and marked with "..[+N bytes]"; a field for which the record has no room is left out. */
#ifndef TG_BASE_LOG_RECORD_H
#define TG_BASE_LOG_RECORD_H

#include "base/log.h"

#define TG_LOG_RECORD_MAX 8192 /* bytes of a whole line */
#define TG_LOG_VALUE_MAX  4096 /* escaped bytes of one value or message */

struct tg_log_record {
  enum tg_log_form form;
  size_t len;
  char bytes[TG_LOG_RECORD_MAX];
};

/* Begins a line of the log's form with the time of now. Whether the log takes the level is not
 * asked here: see tg_log_enabled. */
void tg_log_record_begin(struct tg_log_record *record, const struct tg_log *log,
                         enum tg_log_level level, struct tg_slice message);

/* The same for a line that goes elsewhere. `wall_ns` as from tg_clock_wall; shown in UTC in JSON,
 * as local time of day else. */
void tg_log_record_start(struct tg_log_record *record, enum tg_log_form form,
                         enum tg_log_level level, uint64_t wall_ns, struct tg_slice message);

/* Add a field. The keys time, level and msg are taken: such a key gets a '_' behind it. */
void tg_log_record_text(struct tg_log_record *record, const char *key, struct tg_slice value);
void tg_log_record_int(struct tg_log_record *record, const char *key, int64_t value);
void tg_log_record_number(struct tg_log_record *record, const char *key, double value);
void tg_log_record_flag(struct tg_log_record *record, const char *key, bool value);

/* A value that is valid JSON in one line already; left out where it does not fit whole. */
void tg_log_record_json(struct tg_log_record *record, const char *key, struct tg_slice json);

/* Words for people, without a key: in the readable forms only. */
void tg_log_record_words(struct tg_log_record *record, struct tg_slice words);

/* Ends the line and writes it to the log. */
void tg_log_record_end(struct tg_log_record *record, struct tg_log *log);

/* Ends the line; the answer, with its line feed, lies in the record. */
struct tg_slice tg_log_record_line(struct tg_log_record *record);

#endif
