/* Reading JSON text in place, without a Lua state: what the control socket carries.
 *
 * Values are slices of the text. What is malformed, or nested too deeply, has no value; nothing
 * here reads past the end. */
#ifndef TG_APP_JSON_SCAN_H
#define TG_APP_JSON_SCAN_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/slice.h"

/* The one value that `text` is, without white space around it; {NULL, 0} where it is none. */
struct tg_slice tg_json_scan_value(struct tg_slice text);

/* Goes over the members of an object or the elements of an array (key {NULL, 0}). `rest` begins as
 * a value from tg_json_scan_value and is changed. False at the end. */
bool tg_json_scan_next(struct tg_slice *rest, struct tg_slice *key, struct tg_slice *value);

/* The member `key` of an object; {NULL, 0} where there is none. Keys with escapes are not found. */
struct tg_slice tg_json_scan_find(struct tg_slice object, const char *key);

/* Appends a string's characters, escapes undone; any other value as it is written. */
TG_MUST_CHECK tg_status tg_json_scan_text(struct tg_slice value, struct tg_buffer *out);

#endif
