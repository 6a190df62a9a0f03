/* How long a request took, for the one who writes its route: the server-timing field of answers in
 * `dev`, and with --trace a picture on stderr. Both from script/trace.h. */
#ifndef TG_BIND_TIMING_H
#define TG_BIND_TIMING_H

#include "bind/handler.h"
#include "script/trace.h"

/* Begins to record, where the state is traced; before the handling has a task. */
void tg_timing_begin(struct tg_handling *handling);

/* Appends the field to `fields`, if there is one and room for it; returns the new count. `text`
 * holds its value and must last as long as the fields. */
size_t tg_timing_add(const struct tg_handling *handling, struct tg_response_field *fields,
                     size_t count, size_t most, char text[TG_TRACE_HEADER_MAX]);

/* The request is over, its answer decided: draws it where that is wanted, and ends the record. */
void tg_timing_end(struct tg_handling *handling);

#endif
