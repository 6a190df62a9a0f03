/* Why an application cannot be built: text in the caret form for people, a JSON array for programs.
 *
 * Made by whoever loads (app/generation.c) and by hooks; shown by commands, the log and the control
 * socket. Each of the functions below sets errors that were empty. */
#ifndef TG_APP_LOAD_ERRORS_H
#define TG_APP_LOAD_ERRORS_H

#include <lua.h>
#include <stddef.h>

struct tg_bundle;
struct tg_bundle_fault;

struct tg_load_errors {
  size_t count;
  char *text; /* both malloc'ed; NULL where memory was gone */
  char *json;
};

/* One line that is about no file. */
void tg_load_errors_set_text(struct tg_load_errors *errors, const char *text);

/* What was wrong before any Lua ran. */
void tg_load_errors_set_faults(struct tg_load_errors *errors, const struct tg_bundle_fault *faults,
                               size_t count);

/* The error value on top of `from`, a coroutine that has failed, or L itself. `instead` (may be
 * NULL) is what is said at the error's place, where somebody knows better. Never throws. */
void tg_load_errors_set_raised(struct tg_load_errors *errors, const struct tg_bundle *bundle,
                               lua_State *L, lua_State *from, const char *instead);

/* Renders the list of errors at stack index `errors`; throws when that fails. */
void tg_load_errors_report(struct tg_load_errors *out, lua_State *L, int errors,
                           const struct tg_bundle *bundle);

void tg_load_errors_deinit(struct tg_load_errors *errors);

#endif
