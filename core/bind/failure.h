/* The answer to a handler that has failed: what the error value says, what of it a client may read,
 * and what goes to the log.
 *
 * Made when the task has ended and its coroutine is still there (tg_failure_new), answered when the
 * scope of the request is empty (tg_failure_answer). */
#ifndef TG_BIND_FAILURE_H
#define TG_BIND_FAILURE_H

#include "bind/handler.h"

struct tg_failure;

/* Reads the error value on top of `from`. NULL without memory. Never throws. */
struct tg_failure *tg_failure_new(struct tg_handling *handling, lua_State *from);

/* Logs it, if it is one of the handler's, and answers with a problem document, if nothing was sent
 * yet; else breaks the answer off. */
void tg_failure_answer(struct tg_handling *handling, const struct tg_failure *failure);

/* What the error value says. */
const struct tg_error_view *tg_failure_view(const struct tg_failure *failure);

/* Appends the problem document of the error value at `index`: what a client may read of it. */
TG_MUST_CHECK tg_status tg_failure_describe(const struct tg_handling *handling, lua_State *L,
                                            int index, struct tg_buffer *out);

void tg_failure_free(struct tg_failure *failure);

#endif
