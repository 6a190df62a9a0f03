/* What one request waited for: the recorder behind server-timing and `--trace`.
 *
 * A trace hangs from the top scope of a request (scope->trace) in states that are traced
 * (vm->traced: `dev`, or --trace). The scheduler and op.c tell it of steps, tasks, suspensions and
 * what comes after them; bind/ asks for the header and the picture. It keeps a bounded number of
 * rows and counts the rest. States that are not traced pay one branch at each of these places. */
#ifndef TG_SCRIPT_TRACE_H
#define TG_SCRIPT_TRACE_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/slice.h"

struct tg_op;
struct tg_task;
struct tg_trace;

/* Begins now. NULL when memory is gone: then the request is not traced. */
struct tg_trace *tg_trace_new(void);
void tg_trace_free(struct tg_trace *trace);

/* ---- what is told, from states that are traced; each finds its trace, or does nothing */

/* A task was made, by the running one where there is one. */
void tg_trace_task(const struct tg_task *task);

/* The outermost step of a thread begins, and is over. */
void tg_trace_enter(const struct tg_task *task);
void tg_trace_leave(const struct tg_task *task);

/* The running task suspends: on `op`, or for one round of the ready list (NULL). */
void tg_trace_suspend(lua_State *L, const struct tg_op *op);

/* A task takes what it has suspended for. */
void tg_trace_resume(const struct tg_task *task, const struct tg_op *op);

/* ---- what is asked */

#define TG_TRACE_HEADER_MAX 128

/* The value of a Server-Timing field as of now; returns its length. Milliseconds of Lua code, of
 * everything else, and how often a task was suspended. */
size_t tg_trace_header(const struct tg_trace *trace, char out[TG_TRACE_HEADER_MAX]);

/* Appends the picture: a line with `title`, a row for each suspension with a bar, and hints where
 * waits that look independent came one after another. Without memory it is cut short. */
void tg_trace_draw(const struct tg_trace *trace, struct tg_slice title, bool with_hints,
                   struct tg_buffer *out);

#endif
