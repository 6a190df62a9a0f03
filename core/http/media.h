/* Media types: by file name, for tg.file and the like, and as Content-Type says them. */
#ifndef TG_HTTP_MEDIA_H
#define TG_HTTP_MEDIA_H

#include "base/slice.h"

/* Media type of a file name's ending ("text/html; charset=utf-8" for .html), or
 * application/octet-stream. Static storage. */
struct tg_slice tg_media_of_path(struct tg_slice path);

/* Splits "type/subtype; a=b": *type gets "type/subtype" without parameters, trimmed. False when the
 * value is no media type (RFC 9110 section 8.3.1). */
bool tg_media_parse(struct tg_slice value, struct tg_slice *type);

/* Is a Content-Type of the type that `pattern` names: one type, all of a kind ("text/" and a star),
 * or any (two stars)? Case does not count, parameters are not compared. "application/json" stands
 * for every type whose syntax is JSON, application/problem+json and the like, too (RFC 6839 section
 * 3.1). */
bool tg_media_matches(struct tg_slice value, struct tg_slice pattern);

enum tg_media_charset { TG_CHARSET_NONE, TG_CHARSET_UTF8, TG_CHARSET_OTHER, TG_CHARSET_BAD };

/* What the parameter charset of a Content-Type says; BAD where the parameters are malformed. */
enum tg_media_charset tg_media_charset(struct tg_slice value);

#endif
