/* Error objects: how failures look to Lua code, and how an error value of any kind is read safely.
 *
 * An object is a table {code, message, status?, detail?, headers?, cause?, errors?, traceback?}
 * with a metatable of its own: tostring gives one line, err:is(code) looks inside groups and
 * causes. */
#ifndef TG_SCRIPT_ERROR_H
#define TG_SCRIPT_ERROR_H

#include <lua.h>
#include <stdbool.h>

#include "base/buffer.h"
#include "base/status.h"

/* Pushes a new error object. `code` is a short stable word; the message is formatted by printf's
 * rules and never holds a place: tostring adds it. */
__attribute__((format(printf, 3, 4))) void tg_error_push(lua_State *L, const char *code,
                                                         const char *format, ...);

/* Raises one; does not return. The caller holds no C resource. `where` is filled with the line of
 * the nearest Lua function that is not ours. */
__attribute__((format(printf, 3, 4), noreturn)) void tg_error_throw(lua_State *L, const char *code,
                                                                    const char *format, ...);

/* Misuse: raises an ordinary string error that begins with the caller's line. Does not return. */
__attribute__((format(printf, 2, 3), noreturn)) void tg_error_misuse(lua_State *L,
                                                                     const char *format, ...);

/* Pushes an object for a status of the core; `what` names the operation ("read body"). */
void tg_error_push_status(lua_State *L, tg_status status, const char *what);

/* Raises that, with the line of the nearest Lua function that is not ours; does not return. The
 * caller holds no C resource. */
__attribute__((noreturn)) void tg_error_throw_status(lua_State *L, tg_status status,
                                                     const char *what);

/* What an error value says, read without running any of its code: strings, numbers, our objects,
 * tables with a string `message`; anything else by its type. */
struct tg_error_view {
  struct tg_buffer message;   /* one line or more, at most 4 KiB, valid until deinit */
  struct tg_buffer traceback; /* user frames first, ours folded; empty where there is none */
  int status;                 /* HTTP status that it asks for, else 500 */
  struct tg_buffer detail;    /* what the client may read (tg.abort's detail); else empty */
  struct tg_buffer headers;   /* "name\nvalue\n" lines of tg.abort's headers; else empty */
  char code[32];              /* "" where it is no object of ours */
  char place[256];            /* "routes/x.lua:3", or "" */
};

/* Reads the error value at `index` of `from` (a coroutine that has just failed, or L itself).
 * Runs protected; never throws. The view must be deinited. */
void tg_error_view_init(struct tg_error_view *view, lua_State *L, lua_State *from, int index);
void tg_error_view_deinit(struct tg_error_view *view);

/* Pushes on L what the coroutine `from` has failed with, as an object with its traceback: an error
 * object itself, any other value as the `value` of one with the code "error". `spawned`, if given,
 * is the place where the task was started: a line more at the traceback's end. May throw for want
 * of memory. */
void tg_error_push_failure(lua_State *L, lua_State *from, const char *spawned);

/* Is the value at `index` an object of ours (with that code)? */
bool tg_error_is(lua_State *L, int index);
bool tg_error_has_code(lua_State *L, int index, const char *code);

/* Pushes "routes/x.lua:12" of the nearest user function from `level` on, or "?". */
void tg_error_push_place(lua_State *L, int level);

/* Appends the lines of a luaL_traceback that are the user's, one a line; at most 16 KiB. */
void tg_error_fold(struct tg_buffer *out, const char *trace);

/* Opens the error class into the state (metatable, tg.error); called by the vm. */
void tg_error_open(lua_State *L);

#endif
