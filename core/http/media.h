/* Media types by file name, for tg.file and the like. */
#ifndef TG_HTTP_MEDIA_H
#define TG_HTTP_MEDIA_H

#include "base/slice.h"

/* Media type of a file name's ending ("text/html; charset=utf-8" for .html), or
 * application/octet-stream. Static storage. */
struct tg_slice tg_media_of_path(struct tg_slice path);

/* Splits "type/subtype; a=b": *type gets "type/subtype" without parameters, trimmed. False when the
 * value is no media type (RFC 9110 section 8.3.1). */
bool tg_media_parse(struct tg_slice value, struct tg_slice *type);

#endif
