/* Text that nobody checked, made safe for a line of JSON, a log or a terminal.
 *
 * One place for the rules: control bytes (C0, DEL and C1) leave as \uXXXX or a short escape, a
 * quote and a backslash are escaped, and bytes that are not UTF-8 become U+FFFD, one for each byte.
 * What comes out never holds a line end, so one text stays one line. */
#ifndef TG_BASE_ESCAPE_H
#define TG_BASE_ESCAPE_H

#include "base/buffer.h"
#include "base/slice.h"
#include "base/status.h"

/* Longest output for one byte of input. */
#define TG_ESCAPE_MAX 6

/* Writes `text` as the inside of a JSON string (RFC 8259 section 7), without the quotes, into
 * `out`. Stops before the first character that does not fit into `room` bytes. Returns the bytes
 * written; *used gets the bytes of `text` that they stand for. */
size_t tg_escape_json(struct tg_slice text, char *out, size_t room, size_t *used);

/* Appends `text` as a JSON string, with its quotes. */
TG_MUST_CHECK tg_status tg_escape_append(struct tg_buffer *buffer, struct tg_slice text);

#endif
