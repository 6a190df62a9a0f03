/* Schemas: what values must be, compiled into programs that C runs over Lua values.
 *
 * lua/tidegate/schema.lua declares nodes, lua/tidegate/_core/schema_program.lua turns them into a
 * description, schema_build.c makes an immutable program of that (a userdata, one a state), and
 * schema_check.c and its kin run it over a value: one pass that checks, converts, fills defaults
 * and drops what is unknown. When that pass finds anything wrong, a second one goes over the value
 * in the order of the declaration and reports all of it. schema_encode.c writes a value as JSON by
 * a program.
 *
 * A program holds no Lua value itself: keys, defaults and sets lie in a table, its environment. */
#ifndef TG_BIND_SCHEMA_H
#define TG_BIND_SCHEMA_H

#include <lua.h>
#include <stdbool.h>

#include "base/buffer.h"
#include "bind/json.h"

struct tg_schema_program;

/* The program at `index`, or NULL where it is something else. Needs two free stack slots; never
 * throws. */
const struct tg_schema_program *tg_schema_find(lua_State *L, int index);

/* Appends the value at `index` as JSON, by the program at `program` (both positive): what the
 * schema does not declare is left out, absent fields get their defaults. Scalars of another type
 * are written as they are; a table where none is declared is TG_EINVALID. Otherwise as
 * tg_json_encode, but `pretty` and `sorted` do not count. May throw where the schema calls a
 * function of the user, or memory is gone: hold nothing but the buffer. */
TG_MUST_CHECK tg_status tg_schema_encode(lua_State *L, int program, int index,
                                         struct tg_buffer *out, const struct tg_json_options *opts,
                                         struct tg_json_error *err);

/* Is the value at `index` what the program at `program` promises? If not, pushes the list of rows
 * that say what is wrong. May throw as tg_schema_encode. */
bool tg_schema_promise(lua_State *L, int program, int index);

/* Pushes the first row of the list at `rows` as a sentence: "items.0.price must be a number (and 2
 * more)". May throw (memory). */
void tg_schema_push_sentence(lua_State *L, int rows);

#endif
