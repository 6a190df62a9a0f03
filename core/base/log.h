/* The log: lines go into a bounded ring in memory and one thread writes them out.
 *
 * Any thread may write; writing copies the line under a short lock and never waits for a file, a
 * pipe or a terminal. When the ring is full the line is dropped and counted; when the descriptor
 * refuses bytes (EPIPE, ENOSPC, EIO ..) their lines are lost and counted, and the log goes on. The
 * writer collects what comes within a few milliseconds into one write, so that a busy log costs its
 * callers no system call. How a line looks is base/log_record.h. */
#ifndef TG_BASE_LOG_H
#define TG_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

/* TG_LOG_OFF is no level of a line: a log at that level takes none. */
enum tg_log_level { TG_LOG_DEBUG, TG_LOG_INFO, TG_LOG_WARN, TG_LOG_ERROR, TG_LOG_OFF };

/* How its lines look (base/log_record.h): JSON, readable text, or that with colours for a terminal.
 */
enum tg_log_form { TG_LOG_JSON, TG_LOG_READABLE, TG_LOG_COLOUR };

#define TG_LOG_RING_DEFAULT (1u << 20)

struct tg_log;

/* Starts a log of level info and form JSON that writes to `fd`, which stays the caller's and must
 * outlive the log (or -1: lines wait for tg_log_reopen). `ring_bytes` is rounded up to a power of
 * two, at least 4096; 0 means TG_LOG_RING_DEFAULT. NULL when memory or threads are gone. */
struct tg_log *tg_log_new(int fd, size_t ring_bytes);

/* Writes out what is left for at most `timeout_ns`, then ends the thread. Nobody may use the log
 * any more. When the descriptor blocks past the deadline, the thread frees everything by itself if
 * it ever gets out; NULL is allowed. */
void tg_log_free(struct tg_log *log, uint64_t timeout_ns);

/* Takes a copy of `line`, which ends with its line feed. Never blocks. Not filtered by level: ask
 * tg_log_enabled before the line is made. */
void tg_log_write(struct tg_log *log, struct tg_slice line);

/* Waits until everything written before this call has left the ring. TG_ETIMEOUT after
 * `timeout_ns`. */
TG_MUST_CHECK tg_status tg_log_flush(struct tg_log *log, uint64_t timeout_ns);

/* Opens `path` to append (created with mode 0640) and writes there from now on: for the start and
 * for a log that was rotated. After an error (negative errno) the log goes on as before. */
TG_MUST_CHECK tg_status tg_log_reopen(struct tg_log *log, const char *path);

/* Lines that did not reach the descriptor so far: the ring was full, or writing failed. */
uint64_t tg_log_dropped(const struct tg_log *log);
uint64_t tg_log_lost(const struct tg_log *log);

/* Least level that the log takes; may be changed at any time. */
enum tg_log_level tg_log_level(const struct tg_log *log);
void tg_log_set_level(struct tg_log *log, enum tg_log_level level);
bool tg_log_enabled(const struct tg_log *log, enum tg_log_level level);

/* Form of the lines that records make for this log; may be changed at any time. */
enum tg_log_form tg_log_form(const struct tg_log *log);
void tg_log_set_form(struct tg_log *log, enum tg_log_form form);

/* "debug", "info", "warn", "error", "off"; static storage. */
struct tg_slice tg_log_level_name(enum tg_log_level level);

/* The level of that name; false when there is none. */
bool tg_log_level_find(struct tg_slice name, enum tg_log_level *level);

#endif
