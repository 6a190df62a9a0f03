/* Text that nobody checked, made safe for HTML.
 *
 * What is escaped for text is safe in the value of an attribute, too, in quotes of either kind, and
 * as the name of an attribute. It is not safe where a browser runs it: in scripts, styles and URLs.
 * Pure functions. */
#ifndef TG_BASE_HTML_H
#define TG_BASE_HTML_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/slice.h"
#include "base/status.h"

/* Appends the text with & < > " ' ` = as character references (WHATWG HTML section 13.1.4) and NUL
 * as U+FFFD. TG_ENOMEM may leave a part of it appended. */
TG_MUST_CHECK tg_status tg_html_append(struct tg_buffer *out, struct tg_slice text);

/* Appends a text of JSON so that it can stand in a script: < > & and U+2028 and U+2029, which occur
 * in strings only, become \uXXXX. TG_ENOMEM may leave a part of it appended. */
TG_MUST_CHECK tg_status tg_html_append_json(struct tg_buffer *out, struct tg_slice json);

/* Does a browser that follows the URL run nothing of it? True for relative URLs, and for the
 * schemes http, https, mailto, tel and ftp; blanks and control bytes that browsers leave out are
 * left out here, too (WHATWG URL section 4.4). */
bool tg_html_url_is_safe(struct tg_slice url);

#endif
