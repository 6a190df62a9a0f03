/* Regular expressions of schemas: PCRE2 with its JIT, held to limits.
 *
 * A pattern is searched for anywhere in the text, as JSON Schema says; `^` and `$` are the ends of
 * the text, `\d` and `\w` are ASCII. No text can make it run for long: a match that needs more
 * steps, memory or depth than the limits allow is given up, which is an outcome of its own. A
 * pattern is a userdata of its state; all of them share one match context there. */
#ifndef TG_BIND_PATTERN_H
#define TG_BIND_PATTERN_H

#include <lua.h>
#include <stdint.h>

#include "base/slice.h"

struct tg_pattern;

enum tg_pattern_outcome { TG_PATTERN_NO, TG_PATTERN_YES, TG_PATTERN_LIMIT };

/* Pushes the pattern that the string at `index` says. Where it is malformed: pushes nil and a text
 * that says what is wrong and where. */
int tg_pattern_push(lua_State *L, int index);

/* The pattern at `index`, or NULL. */
struct tg_pattern *tg_pattern_find(lua_State *L, int index);

#define TG_PATTERN_BUDGET 20000000ull /* nanoseconds of CPU for the searches of one pass */

/* Is it found in `text`, which must be UTF-8? What it takes is subtracted from the budget, and no
 * search begins where nothing is left. Never throws, allocates nothing that it keeps. */
enum tg_pattern_outcome tg_pattern_search(const struct tg_pattern *pattern, struct tg_slice text,
                                          uint64_t *budget);

/* The pattern as it was written, in UTF-8; lives as long as it. */
struct tg_slice tg_pattern_text(const struct tg_pattern *pattern);

#endif
