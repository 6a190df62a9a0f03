/* What tg.process.run and .spawn have in common: the description of a program, and why one did not
 * start. */
#ifndef TG_AWAIT_PROGRAM_SPEC_H
#define TG_AWAIT_PROGRAM_SPEC_H

#include <lua.h>

#include "loop/program.h"

/* A program as the table at `index` describes it, which lua/tidegate/process.lua has checked:
 *   argv       list of strings
 *   env        list of names and values in turns; false for a name that is left out
 *   clear_env  boolean
 *   cwd        string or nil
 *   io         list of three numbers, enum tg_program_io
 * The caller's to release; throws when memory is gone. */
struct tg_program *tg_program_read(lua_State *L, int index);

/* Pushes the error of a start that has failed; may throw "not enough memory". `what` is the
 * function as the user calls it. */
void tg_program_push_fault(lua_State *L, const struct tg_program *program, const char *what);

/* The number field of the table at `index` in nanoseconds; 0 where there is none. */
uint64_t tg_program_seconds(lua_State *L, int index, const char *key);

#endif
